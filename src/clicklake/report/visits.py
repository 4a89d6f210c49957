"""What people did, from the months that a run rewrote."""

from __future__ import annotations

from clicklake.report import charts
from clicklake.report.charts import Series
from clicklake.report.facts import Counts, Facts, Part
from clicklake.report.layout import (
    section,
)
from clicklake.report.markup import Child, Markup, tag


def traffic_of(facts: Facts) -> Markup | None:
    drawn: list[Child] = []
    if facts.people or facts.bots:
        series = [Series("by people", "main", facts.people), Series("by bots", "bots", facts.bots)]
        drawn += [
            tag("h3", "Clickstream events"),
            charts.legend((("main", "by people"), ("bots", "by bots"))),
            charts.by_day(series, "Clickstream events by day, bots apart"),
        ]
    if facts.views:
        series = [Series("page views", "kept", facts.views)]
        drawn += [
            tag("h3", "Page views of signed-in users"),
            charts.by_day(series, "Page views of signed-in users by day"),
        ]
    if not drawn:
        return None
    note = f"All days of the months that this run rewrote, by the days of {facts.time_zone}."
    note += _told(facts.traffic_part)
    return section("Traffic by day", drawn, note=note)


def _told(part: Part) -> str:
    """What to say of a picture that is not drawn from everything."""
    if part.rows == part.of:
        return ""
    return f" The run was large: only the newest {part.rows:,} of {part.of:,} rows are counted."


def tops_of(facts: Facts) -> Markup | None:
    lists = [
        _top("Top pages of all visitors", facts.pages, "events"),
        _top("Top pages of signed-in users", facts.viewed, "views"),
        _top("Where sessions come from", _named(facts.campaigns), "sessions"),
    ]
    if not any(lists):
        return None
    return section(
        "What people look at",
        tag("div", lists, class_="columns"),
        note="In the months that this run rewrote, without bots." + _told(facts.top_part),
    )


def _named(campaigns: Counts) -> Counts:
    return [(name or "no utm_source: direct, search, links", count) for name, count in campaigns]


def _top(title: str, counts: Counts, unit: str) -> Markup | None:
    if not counts:
        return None
    most = counts[0][1]
    rows = [
        tag(
            "li",
            tag("span", tag("span", name, class_="name", title=name)),
            tag("span", f"{count:,}", class_="count"),
            charts.bar(count / most),
            class_="row",
        )
        for name, count in counts
    ]
    return tag("div", tag("h3", f"{title}, by {unit}"), tag("ol", rows, class_="top"))
