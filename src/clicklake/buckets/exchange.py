"""Rows brought into buckets by an engine."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from clicklake.buckets.partitioning import BUCKET, NO_PERSON, Partitioning, Shuffle
from clicklake.lake import partition_values
from clicklake.lake.tables import Tables
from clicklake.storage import FileInfo

# For Sail: each open file has a group of rows in memory.
_NARROW: dict[str, int | str] = {
    "max_row_group_size": 1 << 15,
    "allow_single_file_parallelism": "false",
    "statistics_enabled": "none",
}


def write(
    tables: Tables, rows: DataFrame, folder: str, partitioning: Partitioning, shuffled: Shuffle
) -> dict[int, list[FileInfo]]:
    """Bring rows into buckets by visitor; those without a visitor into the bucket `NO_PERSON`.

    `shuffled`: as `Engine.shuffled`.
    """
    visitor = F.col("anonymous_user_id")
    number = F.pmod(F.crc32(visitor.cast("binary")), F.lit(partitioning.buckets)).cast("int")
    rows = rows.withColumn(BUCKET, F.when(visitor.isNull(), NO_PERSON).otherwise(number))
    tables.write(shuffled(rows, BUCKET), folder, [BUCKET], **_NARROW)
    return staged_buckets(tables, folder)


def staged_buckets(tables: Tables, folder: str) -> dict[int, list[FileInfo]]:
    """The buckets in a folder of the staging area."""
    files: dict[int, list[FileInfo]] = {}
    for info in tables.files(folder):
        files.setdefault(int(partition_values(info.path)[BUCKET]), []).append(info)
    return files
