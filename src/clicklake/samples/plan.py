"""How much to make."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from clicklake.samples.clicks import Clickstream
from clicklake.samples.users import UserUpdates
from clicklake.samples.views import PageViews

DAY = 86_400_000


@dataclass(frozen=True)
class Plan:
    """How much to make. Row counts are of the whole period and come out within a few percent."""

    start: date
    days: int
    clicks: int
    views: int
    updates: int
    rows_per_file: int
    codecs: tuple[str, ...]  # endings, taken in turn day by day
    seed: int = 7

    @property
    def products(self) -> int:
        return max(96, int(1.5 * self.views**0.5))

    @property
    def users(self) -> int:
        return max(20, self.views // 30)

    @property
    def visitors(self) -> int:
        return max(50, self.clicks // 12)


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
