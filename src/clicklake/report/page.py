"""The page of one run: pure, from the run's numbers to HTML."""

from __future__ import annotations

from collections.abc import Sequence

from clicklake.lake.metrics import RunMetrics
from clicklake.report import charts
from clicklake.report.audience import sources_of, visits_of
from clicklake.report.facts import Facts
from clicklake.report.fates import books_of, quarantine_of
from clicklake.report.findings import findings
from clicklake.report.history import quality_of
from clicklake.report.layout import (
    data_table,
    document,
    duration,
    figures,
    percent,
    section,
    size,
    started,
)
from clicklake.report.markup import Child, Markup, tag
from clicklake.report.recommended import recommendations_of
from clicklake.report.tables import comparison_of, lake_of
from clicklake.report.visits import tops_of, traffic_of

ENGINES = {"sail": "Sail", "spark": "Spark", "duckdb": "DuckDB"}


def render(metrics: RunMetrics, earlier: Sequence[RunMetrics], facts: Facts) -> str:
    """The report of a run. `earlier`: the metrics of runs before it, newest last."""
    before = next((run for run in reversed(earlier) if run.books), None)
    return document(
        f"clicklake: run of {started(metrics)}",
        tag("header", tag("a", "All runs", href="../index.html"), _title(metrics)),
        tag(
            "main",
            _warnings(findings(metrics, earlier)),
            _figures(metrics),
            books_of(metrics) if metrics.books else None,
            quarantine_of(metrics, facts.samples) if metrics.books else None,
            traffic_of(facts),
            visits_of(facts),
            sources_of(facts),
            tops_of(facts),
            recommendations_of(metrics),
            lake_of(metrics, before),
            comparison_of(metrics, before),
            quality_of(metrics, earlier),
            _stages(metrics),
            _words(metrics),
        ),
    )


def _title(metrics: RunMetrics) -> Markup:
    read = metrics.total.read
    told = "No new rows were read; tables were computed anew with other settings."
    if read:
        told = f"{counted_rows(read)} read, and each of them is accounted for."
    if metrics.replayed:
        told = f"Refused rows were replayed: {told}"
    if metrics.forgotten:
        gone = sum(metrics.forgotten.values())
        told = f"A person was forgotten. Rows that left the lake: {gone:,}."
    return tag("div", tag("h1", f"Run of {started(metrics)}"), tag("p", told, class_="lead"))


def counted_rows(count: int) -> str:
    return "1 row was" if count == 1 else f"{count:,} rows were"


def _warnings(found: Sequence[str]) -> Markup | None:
    if not found:
        return None
    items = tag("ul", [tag("li", each) for each in found])
    return tag("section", tag("h2", "Worth a look"), items, class_="warnings")


def _figures(metrics: RunMetrics) -> Markup:
    books, tables = metrics.total, metrics.tables.values()
    read = [
        ("rows read", f"{books.read:,}", f"from {len(metrics.books)} sources"),
        ("kept", f"{books.kept:,}", percent(books.kept, books.read)),
        ("quarantined", f"{books.quarantined:,}", percent(books.quarantined, books.read)),
    ]
    return figures(
        [
            *(read if metrics.books else []),
            (
                "in the lake now",
                f"{sum(table.rows for table in tables):,}",
                f"rows in {size(sum(table.bytes for table in tables))}",
            ),
            ("took", duration(metrics.seconds), _in_all(metrics)),
        ]
    )


def _in_all(metrics: RunMetrics) -> str:
    engine = ENGINES.get(metrics.engine)  # none went back to an earlier state
    total = metrics.total_seconds
    told = [f"on {engine}"] if engine else []
    return "; ".join([*told, f"{duration(total)} with publication"] if total else told)


def _stages(metrics: RunMetrics) -> Markup:
    stages = metrics.stages
    took = sum(stage.seconds for stage in stages)
    longest = max((stage.seconds for stage in stages), default=0) or 1
    rows: list[list[Child]] = [
        [
            stage.name,
            duration(stage.seconds),
            percent(round(1000 * stage.seconds), round(1000 * took)),
            charts.bar(stage.seconds / longest),
            f"{stage.rows:,}" if stage.rows is not None else "",
            f"{stage.rows / stage.seconds:,.0f}" if stage.rows and stage.seconds else "",
        ]
        for stage in stages
    ]
    heads = ("stage", "time", "share", "of the longest", "rows", "rows per second")
    return section("What the run cost, by stage", data_table(heads, rows, "Stages of the run"))


def _words(metrics: RunMetrics) -> Markup:
    settings = metrics.settings
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
    facts = f"Run {metrics.run_id}. Its date is {metrics.as_of}: later times are refused."
    return section(
        "What the words mean",
        tag("dl", [[tag("dt", word), tag("dd", meaning)] for word, meaning in words]),
        tag("p", facts, class_="note"),
    )
