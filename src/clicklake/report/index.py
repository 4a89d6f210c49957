"""The page that lists the runs: pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from clicklake.lake.metrics import RunMetrics
from clicklake.report import charts
from clicklake.report.findings import findings
from clicklake.report.layout import (
    FATES,
    data_table,
    document,
    duration,
    percent,
    started,
)
from clicklake.report.markup import Child, tag


def render(runs: Sequence[RunMetrics], reported: Collection[str], more: int = 0) -> str:
    """The index. `runs`: newest last; `reported`: ids of those with a report; `more`: not shown."""
    rows = [_row(runs, at, reported) for at in reversed(range(len(runs)))]
    heads = ("run", "rows read", "kept", "fates", "quarantined", "took", "worth a look")
    older = f"{more:,} older runs are in their own folders." if more else None
    return document(
        "clicklake: runs",
        tag("header", tag("h1", "Runs"), tag("p", "The newest is first.", class_="lead")),
        tag(
            "main",
            tag(
                "section",
                charts.legend((fate, f"{fate}: {meaning}") for fate, meaning in FATES.items()),
                data_table(heads, rows, "Runs of this lake"),
                tag("p", older, class_="note") if older else None,
            ),
        ),
    )


def _row(runs: Sequence[RunMetrics], at: int, reported: Collection[str]) -> list[Child]:
    run = runs[at]
    books = run.total
    name = started(run)
    parts = [(fate, fate, getattr(books, fate)) for fate in FATES]
    warnings = len(findings(run, runs[:at]))
    return [
        tag("a", name, href=f"{run.run_id}/report.html") if run.run_id in reported else name,
        f"{books.read:,}",
        f"{books.kept:,}",
        charts.stacked(parts, f"fates of the rows of {name}") if books.read else "",
        percent(books.quarantined, books.read),
        duration(run.seconds),
        f"{warnings} warning{'s' if warnings > 1 else ''}" if warnings else "",
    ]
