"""Data quality over runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from clicklake.lake.metrics import RunMetrics
from clicklake.report import charts
from clicklake.report.findings import bad_share
from clicklake.report.layout import data_table, section
from clicklake.report.markup import Child, Markup

SHOWN = 12  # runs


def quality_of(metrics: RunMetrics, earlier: Sequence[RunMetrics]) -> Markup | None:
    """The rows and the bad rows of each source in the newest runs, this one first."""
    runs = [run for run in (*earlier, metrics) if run.total.read][-SHOWN:]
    if len(runs) < 2:
        return None
    sources = list(dict.fromkeys(source for run in runs for source in run.books))
    shares = [share for run in runs for source in sources if (share := _bad(run, source))]
    most = max(shares, default=0) or 1
    rows = [
        [_short(run), *(cell for source in sources for cell in _cells(run, source, most))]
        for run in reversed(runs)
    ]
    heads = ["run", *(head for source in sources for head in (f"{source}: read", "bad rows"))]
    return section(
        "Data quality over runs",
        data_table(heads, rows, "Rows and bad rows of the newest runs"),
        note=f"The newest {len(runs)} runs that read rows, this one first.",
    )


def _short(run: RunMetrics) -> str:
    return f"{datetime.fromisoformat(run.started_at):%-d %b %Y, %H:%M}"


def _bad(run: RunMetrics, source: str) -> float | None:
    return bad_share(run.books[source]) if source in run.books else None


def _cells(run: RunMetrics, source: str, most: float) -> list[Child]:
    share = _bad(run, source)
    if share is None:
        return ["", ""]
    return [f"{run.books[source].read:,}", [f"{share:.2%}", charts.bar(share / most, "bad")]]
