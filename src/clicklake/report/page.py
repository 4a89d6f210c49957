"""The page of one run: pure, from the run's numbers to HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clicklake.report import charts
from clicklake.report.charts import Series
from clicklake.report.facts import Counts, Facts, Part, Sample
from clicklake.report.findings import bad_share, findings
from clicklake.report.layout import (
    FATES,
    Metrics,
    data_table,
    document,
    duration,
    percent,
    section,
    size,
    started,
    totals,
)
from clicklake.report.markup import Child, Markup, tag
from clicklake.schemas import TABLES

ENGINES = {"sail": "Sail", "spark": "Spark", "duckdb": "DuckDB"}
REASONS = {
    "record_too_long": "longer than 1 MiB",
    "invalid_utf8": "not UTF-8 text",
    "unclosed_quote": "a quote is not closed",
    "wrong_field_count": "too few or too many fields",
    "malformed_json": "no valid JSON",
    "not_an_object": "JSON, but no object",
    "missing_environment": "no environment",
    "invalid_user_id": "the user's id is no whole number",
    "missing_visitor": "no visitor's id",
    "missing_url": "no URL",
    "invalid_time": "no time that exists",
    "time_out_of_range": "a time before 2000 or in the future",
    "invalid_email": "no e-mail address",
}


def render(metrics: Metrics, earlier: Sequence[Metrics], facts: Facts) -> str:
    """The report of a run. `earlier`: the metrics of runs before it, newest last."""
    before = next((run for run in reversed(earlier) if run["books"]), None)
    return document(
        f"clicklake: run of {started(metrics)}",
        tag("header", tag("a", "All runs", href="../index.html"), _title(metrics)),
        tag(
            "main",
            _warnings(findings(metrics, earlier)),
            _figures(metrics),
            _books(metrics) if metrics["books"] else None,
            _quarantine(metrics, facts.samples) if metrics["books"] else None,
            _traffic(facts),
            _tops(facts),
            _lake(metrics, before),
            _comparison(metrics, before),
            _stages(metrics),
            _words(metrics),
        ),
    )


def _title(metrics: Metrics) -> Markup:
    read = totals(metrics)["read"]
    told = "No new rows were read; tables were computed anew with other settings."
    if read:
        told = f"{_rows_of(read)} read, and each of them is accounted for."
    if metrics.get("replayed"):
        told = f"Refused rows were replayed: {told}"
    if "forgotten" in metrics:
        gone = sum(metrics["forgotten"].values())
        told = f"A person was forgotten. Rows that left the lake: {gone:,}."
    return tag("div", tag("h1", f"Run of {started(metrics)}"), tag("p", told, class_="lead"))


def _rows_of(count: int) -> str:
    return "1 row was" if count == 1 else f"{count:,} rows were"


def _warnings(found: Sequence[str]) -> Markup | None:
    if not found:
        return None
    items = tag("ul", [tag("li", each) for each in found])
    return tag("section", tag("h2", "Worth a look"), items, class_="warnings")


def _figures(metrics: Metrics) -> Markup:
    books, tables = totals(metrics), metrics["tables"].values()
    read = [
        ("rows read", f"{books['read']:,}", f"from {len(metrics['books'])} sources"),
        ("kept", f"{books['kept']:,}", percent(books["kept"], books["read"])),
        ("quarantined", f"{books['quarantined']:,}", percent(books["quarantined"], books["read"])),
    ]
    figures = [
        *(read if metrics["books"] else []),
        (
            "in the lake now",
            f"{sum(table['rows'] for table in tables):,}",
            f"rows in {size(sum(table['bytes'] for table in tables))}",
        ),
        ("took", duration(metrics["seconds"]), f"on {ENGINES[metrics['engine']]}"),
    ]
    return tag(
        "dl",
        [
            tag("div", tag("dt", name), tag("dd", tag("strong", value), tag("span", more)))
            for name, value, more in figures
        ],
        class_="figures",
    )


def _books(metrics: Metrics) -> Markup:
    pictures = [_fates(source, books) for source, books in metrics["books"].items()]
    rows = [
        [source, f"{books['read']:,}", *(f"{books[fate]:,}" for fate in FATES)]
        for source, books in (*metrics["books"].items(), ("all", totals(metrics)))
    ]
    return section(
        "Every row has one fate",
        charts.legend((fate, f"{fate}: {meaning}") for fate, meaning in FATES.items()),
        pictures,
        data_table(
            ("source", "read", *FATES),
            rows,
            "Read = kept + duplicate + filtered + quarantined, for each source",
        ),
        note="A row that was read is kept, or there is a reason why not. Nothing is lost silently.",
    )


def _fates(source: str, books: Mapping[str, int]) -> Markup:
    parts = [(fate, fate, books[fate]) for fate in FATES]
    told = ", ".join(f"{percent(count, books['read'])} {name}" for _, name, count in parts if count)
    return tag(
        "div",
        tag("p", tag("strong", source), tag("span", f"{books['read']:,} rows"), class_="named"),
        charts.stacked(parts, f"{source}: {told}") if books["read"] else None,
        tag("p", told or "nothing new", class_="note"),
        class_="book",
    )


def _quarantine(metrics: Metrics, samples: Sequence[Sample]) -> Markup:
    sources = {source: counts for source, counts in metrics["reasons"].items() if counts}
    if not sources:
        return section("Refused rows", tag("p", "None: every row of this run was understood."))
    most = max(count for counts in sources.values() for count in counts.values())
    blocks = []
    for source, counts in sources.items():
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        rows = [
            _reason(
                reason,
                count,
                count / most,
                [each for each in samples if (each.source, each.reason) == (source, reason)],
            )
            for reason, count in ordered
        ]
        blocks.append(tag("div", tag("h3", source), rows))
    return section(
        "Refused rows",
        tag("div", blocks, class_="columns"),
        note="Open a reason to see rows that were refused for it. Addresses, names and ids are "
        "masked here; the table quarantine has the rows as they came.",
    )


def _reason(reason: str, count: int, share: float, samples: Sequence[Sample]) -> Markup:
    name = tag("span", tag("strong", reason), tag("span", REASONS.get(reason), class_="note"))
    line = [name, tag("span", f"{count:,}", class_="count"), charts.bar(share, "bad")]
    if not samples:
        return tag("div", line, class_="row")
    shown = [
        tag("li", tag("code", each.text), tag("span", f"{each.file}, line {each.line:,}"))
        for each in samples
    ]
    return tag("details", tag("summary", tag("span", line, class_="row")), tag("ul", shown))


def _traffic(facts: Facts) -> Markup | None:
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
    note = "All days of the months that this run rewrote, in UTC." + _told(facts.traffic_part)
    return section("Traffic by day", drawn, note=note)


def _told(part: Part) -> str:
    """What to say of a picture that is not drawn from everything."""
    if part.rows == part.of:
        return ""
    return f" The run was large: only the newest {part.rows:,} of {part.of:,} rows are counted."


def _tops(facts: Facts) -> Markup | None:
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


def _lake(metrics: Metrics, before: Metrics | None) -> Markup:
    largest = max((table["bytes"] for table in metrics["tables"].values()), default=0) or 1
    rows: list[list[Child]] = []
    for name, table in metrics["tables"].items():
        was = before["tables"].get(name, {"rows": 0}) if before else None
        rows.append(
            [
                name,
                f"{table['rows']:,}",
                _change(table["rows"], was["rows"]) if was else "first run",
                size(table["bytes"]),
                charts.bar(table["bytes"] / largest),
                f"{table['files']:,}",
                _months(name, metrics["months"].get(name, [])),
            ]
        )
    heads = (
        "table",
        "rows",
        "since the run before",
        "size",
        "of the largest",
        "files",
        "months rewritten",
    )
    return section(
        "The lake after this run",
        data_table(heads, rows, "Tables of the lake"),
    )


def _months(name: str, months: Sequence[str]) -> Child:
    if name in TABLES and TABLES[name].time is None:
        return tag("span", "not by month", class_="note")
    if not months:
        return "none"
    shown = [tag("span", month, class_="month") for month in months[-12:]]
    more = f"and {len(months) - 12} before" if len(months) > 12 else None
    return tag("span", shown, more, class_="months")


def _change(now: float, was: float) -> str:
    if now == was:
        return "no change"
    return f"{now - was:+,.0f}"


def _comparison(metrics: Metrics, before: Metrics | None) -> Markup:
    title = "Compared with the run before"
    if before is None:
        return section(title, tag("p", "This is the lake's first run."))
    rows: list[list[Child]] = []
    for source, books in metrics["books"].items():
        was = before["books"].get(source, dict.fromkeys(books, 0))
        rows.append([f"{source}: rows read", *_pair(was["read"], books["read"])])
        shares = [bad_share(each) for each in (was, books)]
        told = ["–" if share is None else f"{share:.2%}" for share in shares]
        change = (shares[1] - shares[0]) * 100 if None not in shares else 0  # type: ignore[operator]
        rows.append([f"{source}: quarantined", *told, f"{change:+.2f} points" if change else ""])
    took = [duration(run["seconds"]) for run in (before, metrics)]
    longer = round(metrics["seconds"] - before["seconds"], 1) + 0.0  # never -0.0
    rows.append(["seconds", *took, f"{longer:+.1f} s"])
    return section(
        title,
        data_table(("what", f"{started(before)}", "this run", "change"), rows, title),
    )


def _pair(was: int, now: int) -> list[Child]:
    return [f"{was:,}", f"{now:,}", _change(now, was)]


def _stages(metrics: Metrics) -> Markup:
    stages = metrics["stages"]
    longest = max((stage["seconds"] for stage in stages), default=0) or 1
    rows: list[list[Child]] = [
        [
            stage["name"],
            duration(stage["seconds"]),
            charts.bar(stage["seconds"] / longest),
            f"{stage['rows']:,}" if stage["rows"] is not None else "",
        ]
        for stage in stages
    ]
    return section(
        "Where the time went",
        data_table(("stage", "time", "of the longest", "rows"), rows, "Stages of the run"),
    )


def _words(metrics: Metrics) -> Markup:
    settings = metrics["settings"]
    words = [
        (
            "session",
            "The events of one visitor with no pause longer than "
            f"{settings['session_gap_minutes']} minutes.",
        ),
        (
            "bot",
            "A visitor whose browser names a crawler, or with more than "
            f"{settings['bot_views_per_minute']} events in a minute. Bots are labelled, "
            "not deleted.",
        ),
        (
            "quarantine",
            "The table of rows that could not be understood, each with its file, line and reason. "
            "Mend the file, or replay the rows, and they come in.",
        ),
        (
            "months rewritten",
            "New rows go into the month of their own time. Only months that gained rows are "
            "written anew.",
        ),
    ]
    facts = f"Run {metrics['run_id']}. Its date is {metrics['as_of']}: later times are refused."
    return section(
        "What the words mean",
        tag("dl", [[tag("dt", word), tag("dd", meaning)] for word, meaning in words]),
        tag("p", facts, class_="note"),
    )
