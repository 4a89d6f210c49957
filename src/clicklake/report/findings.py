"""What about a run deserves a person's look, from its metrics and those of the runs before."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from clicklake.lake.metrics import Books, RunMetrics
from clicklake.report.masks import hide_addresses

USUAL_OF = 7  # runs before this one
USUAL_FROM = 3  # so many runs make a habit
LOW_VOLUME = 0.5  # of the usual rows
BAD_JUMP = 2.0  # times the usual share of bad rows, and at least
BAD_POINTS = 0.01  # more than usual


def findings(metrics: RunMetrics, earlier: Sequence[RunMetrics]) -> list[str]:
    """Warnings in whole sentences; none for a run like those before it. `earlier`: newest last."""
    found = []
    for source, books in metrics.books.items():
        if not _is_usual(metrics, source):
            continue
        before = [run.books[source] for run in earlier if _is_usual(run, source)][-USUAL_OF:]
        found += _low_volume(source, books, before) + _bad_rows(source, books, before)
    found += map(hide_addresses, metrics.notes)
    for source, reasons in metrics.bad_files.items():
        found.append(
            f"{source}: {len(reasons):,} files cannot be read and are set aside, such as "
            f"{min(reasons)}: {reasons[min(reasons)]}. Every run tries them again."
        )
    for source, paths in metrics.vanished.items():
        found.append(
            f"{source}: {len(paths):,} of the files that earlier runs have read left the input. "
            "Their rows stay in the lake, but it can no longer be rebuilt from raw logs."
        )
    return found


def _is_usual(run: RunMetrics, source: str) -> bool:
    """Whether a run read what was new of a source: not all of it again, no replayed rows."""
    is_again = source in run.rebuilt or run.replayed
    return source in run.books and not is_again


def _low_volume(source: str, books: Books, before: Sequence[Books]) -> list[str]:
    if len(before) < USUAL_FROM:
        return []
    usual = median(each.read for each in before)
    if books.read >= usual * LOW_VOLUME:
        return []
    if not books.read:
        return [
            f"{source}: nothing was read, where the runs before read {usual:,.0f} rows. "
            "Has its delivery stopped?"
        ]
    below = 1 - books.read / usual
    return [
        f"{source}: {books.read:,} rows were read, {below:.0%} below the usual {usual:,.0f}. "
        "Are files missing?"
    ]


def _bad_rows(source: str, books: Books, before: Sequence[Books]) -> list[str]:
    shares = [share for each in before if (share := bad_share(each)) is not None]
    now = bad_share(books)
    if not shares or now is None:
        return []
    usual = median(shares)
    if now < usual * BAD_JUMP or now - usual < BAD_POINTS:
        return []
    return [
        f"{source}: {now:.1%} of the rows are bad; it used to be {usual:.1%}. "
        "The samples of refused rows below show what is wrong with them."
    ]


def bad_share(books: Books) -> float | None:
    """The share of quarantined rows; None if nothing was read."""
    return books.quarantined / books.read if books.read else None
