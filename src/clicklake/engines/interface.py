"""What the job asks of an engine, beside the DataFrame API that both speak.

The rules are the same code on both. How rows are moved is not: see docs/architecture.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Landing(Protocol[T_co]):
    """New rows on their way into buckets by person, in either of two ways."""

    def by_readers(self) -> T_co:
        """The readers put rows into their buckets themselves: all on one machine."""

    def by_exchange(self) -> T_co:
        """The engine brings the rows of a bucket together from all machines."""


class Engine(Protocol):
    """A running session. `cores`: as many tasks run at once.

    `fits_als`: whether it has a library that fits ALS on many machines.
    """

    name: str
    fits_als: bool
    session: SparkSession
    cores: int

    def stop(self) -> None:
        """End what was started."""

    def land(self, landing: Landing[T]) -> T:
        """Bring new rows into buckets in the way that fits the engine."""

    @property
    def reader_tasks(self) -> int:
        """In how many tasks logs are read, 0 for one for each split's worth of bytes."""

    def bucket_count(self, wanted: int) -> int:
        """How many buckets there are where rows ask for so many."""

    def parts(self, wanted: int) -> int:
        """In how many parts a table's persons are worked at, one after the other."""

    def files_at_once(self, month_bytes: int, target_bytes: int) -> int:
        """Into how many files a month of such a size is to be divided before it is written."""

    def shuffled(self, rows: DataFrame, by: str) -> DataFrame:
        """Rows on their way to folders by a column: those of a folder in one task, or not."""

    def settled(self, rows: DataFrame, scratch: Path) -> DataFrame:
        """The same rows, computed once. `scratch`: a local folder that outlives their use."""

    def share(self, file: Path) -> str:
        """Make a local file known to all tasks; the name by which `shared` finds it there."""


def shared(name: str) -> Path:
    """In a task: where a file is that was shared."""
    path = Path(name)
    if path.is_absolute():
        return path
    from pyspark import SparkFiles

    return Path(SparkFiles.get(name))
