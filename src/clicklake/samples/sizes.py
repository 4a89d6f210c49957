"""Plans of the usual sizes."""

from __future__ import annotations

from datetime import date, timedelta

from clicklake.samples.clicks import Clickstream
from clicklake.samples.plan import Plan
from clicklake.samples.users import UserUpdates
from clicklake.samples.views import PageViews


def small(seed: int = 7, days: int = 56) -> Plan:
    """The sample that the repository carries: eight weeks from a Monday in March."""
    return Plan(
        start=date(2018, 3, 19),
        days=days,
        clicks=300 * days,
        views=200 * days,
        updates=45 * days,
        rows_per_file=400,
        codecs=("", ".gz", "", ".bz2", ".zst"),
        seed=seed,
    )


def of_size(size: int, seed: int = 7, days: int = 30) -> Plan:
    """About `size` bytes before compression, in `days` days of 2018 (365 at most)."""
    return Plan(
        start=min(date(2018, 4, 1), date(2018, 12, 31) - timedelta(days - 1)),
        days=days,
        clicks=int(size * 0.55 / Clickstream.bytes_per_row),
        views=int(size * 0.40 / PageViews.bytes_per_row),
        updates=int(size * 0.05 / UserUpdates.bytes_per_row),
        rows_per_file=1_000_000,
        codecs=("", "", "", ".gz", "", "", "", ".zst"),
        seed=seed,
    )
