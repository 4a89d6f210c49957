"""Who came, for how long and from where, from the months that a run rewrote."""

from __future__ import annotations

from clicklake.report import charts
from clicklake.report.charts import Series
from clicklake.report.facts import Facts
from clicklake.report.layout import data_table, figures, percent, section
from clicklake.report.markup import Child, Markup, tag
from clicklake.report.visitors import Sessions, Visitors


def visits_of(facts: Facts) -> Markup | None:
    found = facts.visitors
    if not found.total.sessions:
        return None
    stayed = {day: count - found.bounced[day] for day, count in found.sessions.items()}
    kinds = (("kept", "with more events"), ("filtered", "with one event (bounced)"))
    visitors = (("main", "new"), ("duplicate", "returning"))
    return section(
        "Visits",
        figures(_figures(found)),
        tag("h3", "Sessions"),
        charts.legend(kinds),
        charts.by_day(
            [Series(kinds[0][1], "kept", stayed), Series(kinds[1][1], "filtered", found.bounced)],
            "Sessions by day, bounced ones apart",
        ),
        tag("h3", "Visitors"),
        charts.legend(visitors),
        charts.by_day(
            [Series("new", "main", found.new), Series("returning", "duplicate", found.returning)],
            "Visitors by day, new ones apart",
        ),
        note=f"Without bots, by the days of {facts.time_zone}. A visitor is new on the day of the "
        "first session that the lake knows of it.",
    )


def _figures(found: Visitors) -> list[tuple[str, str, str]]:
    total = found.total
    new, returning = sum(found.new.values()), sum(found.returning.values())
    times = [] if found.usual is None else [("usual time", _minutes(found.usual), _long(found))]
    return [
        ("sessions", f"{total.sessions:,}", f"on {len(found.sessions):,} days"),
        ("bounced", percent(total.bounced, total.sessions), "sessions with one event"),
        *times,
        ("events", f"{total.events / total.sessions:.1f}", "in a session, on average"),
        ("new visitors", percent(new, new + returning), "of the visitors of a day"),
    ]


def _minutes(minutes: float) -> str:
    return f"{minutes:.1f}\xa0min"


def _long(found: Visitors) -> str:
    longest = "" if found.long is None else f"; one in ten over {_minutes(found.long)}"
    return f"of the others{longest}"


def sources_of(facts: Facts) -> Markup | None:
    found = facts.visitors
    if not found.total.sessions:
        return None
    parts: list[Child] = []
    if found.campaigns:
        names = ("source", "medium", "campaign", "sessions", "bounced", "events per session")
        rows = [[*each.name, *_counts(each)] for each in found.campaigns]
        parts += [tag("h3", "Campaigns"), data_table(names, rows, "Campaigns by sessions")]
    landings = [[*each.name, *_counts(each)] for each in found.landings]
    heads = ("landing page", "sessions", "bounced", "events per session")
    parts += [tag("h3", "Landing pages"), data_table(heads, landings, "Landing pages by sessions")]
    return section("Campaigns and landing pages", parts, note="The most frequent, without bots.")


def _counts(each: Sessions) -> list[Child]:
    bounced = percent(each.bounced, each.sessions)
    return [f"{each.sessions:,}", bounced, f"{each.events / each.sessions:.1f}"]
