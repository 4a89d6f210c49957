"""The lake's tables, and what changed since the run before."""

from __future__ import annotations

from collections.abc import Sequence

from clicklake.lake.metrics import Books, RunMetrics
from clicklake.report import charts
from clicklake.report.findings import bad_share
from clicklake.report.layout import (
    data_table,
    duration,
    section,
    size,
    started,
)
from clicklake.report.markup import Child, Markup, tag
from clicklake.schemas import TABLES


def lake_of(metrics: RunMetrics, before: RunMetrics | None) -> Markup:
    largest = max((table.bytes for table in metrics.tables.values()), default=0) or 1
    rows: list[list[Child]] = []
    for name, table in metrics.tables.items():
        was = before.tables.get(name) if before else None
        rows.append(
            [
                name,
                f"{table.rows:,}",
                change_of(table.rows, was.rows) if was else "first run",
                size(table.bytes),
                charts.bar(table.bytes / largest),
                f"{table.files:,}",
                _months(name, metrics.months.get(name, [])),
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


def change_of(now: float, was: float) -> str:
    if now == was:
        return "no change"
    return f"{now - was:+,.0f}"


def comparison_of(metrics: RunMetrics, before: RunMetrics | None) -> Markup:
    title = "Compared with the run before"
    if before is None:
        return section(title, tag("p", "This is the lake's first run."))
    rows: list[list[Child]] = []
    for source, books in metrics.books.items():
        was = before.books.get(source, Books())
        rows.append([f"{source}: rows read", *_pair(was.read, books.read)])
        shares = [bad_share(each) for each in (was, books)]
        told = ["–" if share is None else f"{share:.2%}" for share in shares]
        change = (shares[1] - shares[0]) * 100 if None not in shares else 0  # type: ignore[operator]
        rows.append([f"{source}: quarantined", *told, f"{change:+.2f} points" if change else ""])
    took = [duration(run.seconds) for run in (before, metrics)]
    longer = round(metrics.seconds - before.seconds, 1) + 0.0  # never -0.0
    rows.append(["seconds", *took, f"{longer:+.1f} s"])
    return section(
        title,
        data_table(("what", f"{started(before)}", "this run", "change"), rows, title),
    )


def _pair(was: int, now: int) -> list[Child]:
    return [f"{was:,}", f"{now:,}", change_of(now, was)]
