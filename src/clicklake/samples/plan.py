"""How much to make."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

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
