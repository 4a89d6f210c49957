"""How persons are shared out: into buckets, and into parts of users."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from clicklake.engines import Engine
from clicklake.storage import FileInfo

BUCKET = "_bucket"


NO_PERSON = -1  # the bucket of rows that are no events


_ROWS = 500_000  # of a bucket, about


_ROW_BYTES = 100  # of a line of the log, about


Buckets = Mapping[int, Sequence[FileInfo]]


Shuffle = Callable[[DataFrame, str], DataFrame]


@dataclass(frozen=True)
class Partitioning:
    """How the work is shared: into how many buckets, and these among how many tasks."""

    buckets: int
    tasks: int


def partitioning(text_bytes: int, rows: int, engine: Engine) -> Partitioning:
    """For so many bytes of new logs and so many rows of the lake.

    On many cores a task takes some 32 buckets, so that its files are not small.
    """
    count = engine.bucket_count(max(1, -(-(text_bytes // _ROW_BYTES + rows) // _ROWS)))
    return Partitioning(count, min(count, max(engine.cores, count // 32)))


@dataclass(frozen=True)
class UserPartition:
    """The users whose rows are in the bucket of a number, of so many."""

    number: int = 0
    count: int = 1

    def within(self, rows: DataFrame) -> DataFrame:
        """Their rows, by `user_id`."""
        is_theirs = F.pmod("user_id", F.lit(self.count)) == self.number
        return rows if self.count == 1 else rows.where(is_theirs)


ALL_USERS = UserPartition()


def merged(*parts: Buckets) -> dict[int, list[FileInfo]]:
    """The same buckets of several writes."""
    numbers = sorted({number for part in parts for number in part if number != NO_PERSON})
    return {number: [info for part in parts for info in part.get(number, ())] for number in numbers}
