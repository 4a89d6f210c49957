"""What a run did, as a person is told it."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from clicklake.lake.metrics import Books, RunMetrics
from clicklake.report.layout import duration


def show(console: Console, metrics: RunMetrics, lake: str, hint: str) -> None:
    """The books, the tables and where to go from here."""
    console.print()
    console.print(_books(metrics.books))
    if metrics.tables:
        console.print(_tables(metrics))
    took = duration(metrics.seconds)
    told = f"run {metrics.run_id}: {metrics.status} in {took} on {metrics.engine}"
    if metrics.total_seconds:
        told += f", {duration(metrics.total_seconds)} in all"
    console.print(told.replace("\xa0", " "), markup=False)
    console.print(f"lake: {lake}", markup=False)
    console.print(hint, markup=False)


def _books(books: Mapping[str, Books]) -> Table:
    columns = ("read", "kept", "duplicate", "filtered", "quarantined")
    table = Table("source", title="Every row has one fate", title_justify="left")
    for name in columns:
        table.add_column(name, justify="right")
    for source, counts in books.items():
        table.add_row(source, *(f"{getattr(counts, name):,}" for name in columns))
    return table


def _tables(metrics: RunMetrics) -> Table:
    table = Table("table", title="The lake", title_justify="left")
    for name in ("rows", "MB", "files", "months rewritten"):
        table.add_column(name, justify="right")
    for name, facts in metrics.tables.items():
        months = metrics.months.get(name, [])
        shown = (
            f"{months[0]} … {months[-1]} ({len(months)})" if len(months) > 1 else "".join(months)
        )
        table.add_row(name, f"{facts.rows:,}", f"{facts.bytes / 1e6:,.1f}", str(facts.files), shown)
    return table
