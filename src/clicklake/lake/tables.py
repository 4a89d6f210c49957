"""Tables through an engine: live files to DataFrames, DataFrames to staged, audited files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from clicklake.lake.manifest import LiveFile, Month, month_of, partition_values
from clicklake.lake.parquet import audit_file, read_footer
from clicklake.lake.places import STAGING
from clicklake.rules.distinct import with_month
from clicklake.schemas import Table
from clicklake.storage import THREADS, FileInfo, Storage

PART = "part"  # the folder of a part of a month, in staging only


@dataclass(frozen=True)
class Staged:
    """A table's files of this run, audited, with where each will live."""

    table: Table
    files: tuple[tuple[str, LiveFile], ...]  # staged path, live file

    @property
    def rows(self) -> int:
        return sum(file.rows for _, file in self.files)

    @property
    def months(self) -> list[Month]:
        return sorted({file.month for _, file in self.files if file.month})

    def of(self, months: Iterable[Month]) -> Staged:
        wanted = set(months)
        return Staged(self.table, tuple(pair for pair in self.files if pair[1].month in wanted))


@dataclass(frozen=True)
class Rewrite:
    """Staged files of a table, and the live files that they replace."""

    staged: Staged
    removed: list[LiveFile]

    @property
    def months(self) -> set[Month]:
        return {*self.staged.months, *(file.month for file in self.removed if file.month)}

    @property
    def gaining(self) -> set[Month]:
        """The months that have gained rows."""
        balance: dict[Month | None, int] = {}
        for file in [file for _, file in self.staged.files]:
            balance[file.month] = balance.get(file.month, 0) + file.rows
        for file in self.removed:
            balance[file.month] = balance.get(file.month, 0) - file.rows
        return {month for month, rows in balance.items() if month and rows}

    def of(self, months: Iterable[Month]) -> Rewrite:
        """What is done to some of the months."""
        wanted = set(months)
        return Rewrite(
            self.staged.of(wanted), [file for file in self.removed if file.month in wanted]
        )

    @property
    def gained(self) -> int:
        """How many rows more the table has."""
        return self.staged.rows - sum(file.rows for file in self.removed)


def joined(table: Table, parts: Iterable[Staged]) -> Staged:
    """A table that was staged in parts."""
    return Staged(table, tuple(pair for part in parts for pair in part.files))


class Tables:
    """Reads and writes Parquet for one run; a month's files are of about `target_bytes` each."""

    def __init__(
        self, session: SparkSession, storage: Storage, run_id: str, target_bytes: int = 128 << 20
    ) -> None:
        self.session = session
        self.storage = storage
        self.run_id = run_id
        self.target_bytes = target_bytes
        self._numbers = count()

    def read(self, schema: pa.Schema, paths: Sequence[str]) -> DataFrame:
        """The rows of Parquet files; none if there are no files."""
        columns = from_arrow_schema(_nullable(schema))
        if not paths:
            return self.session.createDataFrame([], columns)
        uris = [self.storage.uri(path) for path in paths]
        return self.session.read.schema(columns).parquet(*uris).select(*schema.names)

    def live(
        self, table: Table, files: Iterable[LiveFile], stored: pa.Schema | None = None
    ) -> DataFrame:
        """The rows of live files, as the table is declared; `stored`: as the files are."""
        rows = self.read(stored or table.schema, [file.path for file in files])
        return rows if stored is None else conformed(rows, table)

    def staged(self, staged: Staged) -> DataFrame:
        return self.read(staged.table.schema, [path for path, _ in staged.files])

    def folder(self, name: str) -> str:
        """A folder of this run's staging area."""
        return f"{STAGING}/{self.run_id}/{name}"

    def files(self, folder: str) -> list[FileInfo]:
        """The Parquet files of a folder of this run's staging area."""
        infos = self.storage.list(self.folder(folder))
        return [info for info in infos if info.path.endswith(".parquet")]

    def write(
        self, rows: DataFrame, folder: str, partitions: Sequence[str] = (), **options: int | str
    ) -> list[FileInfo]:
        """Write into a fresh folder of this run's staging area; its files."""
        writer = rows.write.mode("error").options(**options)
        if partitions:
            writer = writer.partitionBy(*partitions)
        writer.parquet(self.storage.uri(self.folder(folder)))
        return self.files(folder)

    def stage(
        self, rows: DataFrame, table: Table, attempt: str = "tables", *, month_files: int = 1
    ) -> Staged:
        """Write a table's rows and read back what was written, by its footers.

        `month_files`: into how many a month is divided, for an engine that makes one of each.
        """
        rows = rows.select(*table.columns, *(name for name in table.partitions if not table.time))
        partitions = list(table.partitions)
        if table.time:
            rows = with_month(rows, table.time)
        if month_files > 1:
            rows = rows.withColumn(PART, _part(table, F.lit(month_files)))
            partitions.append(PART)
        infos = self.write(rows, f"{attempt}/{table.name}", partitions)
        return self.audited(table, infos, attempt)

    def audited(self, table: Table, infos: list[FileInfo], attempt: str = "tables") -> Staged:
        """Staged files as they will live, their rows counted and checked by their footers."""
        if table.time:
            infos = self._packed(table, infos, f"{attempt}-packed/{table.name}")
        with ThreadPoolExecutor(THREADS) as pool:
            footers = list(pool.map(lambda info: read_footer(self.storage, info), infos))
        files = []
        for info, footer in zip(infos, footers, strict=True):
            if footer.num_rows:
                values = partition_values(info.path)
                folder = "/".join(f"{name}={values[name]}" for name in table.partitions)
                name = f"{self.run_id}-{next(self._numbers):05d}.parquet"
                live = "/".join(part for part in (table.name, folder, name) if part)
                file = LiveFile(live, footer.num_rows, info.size)
                audit_file(table, file, footer)
                files.append((info.path, file))
        return Staged(table, tuple(files))

    def _packed(self, table: Table, infos: list[FileInfo], folder: str) -> list[FileInfo]:
        """The same rows, with the months written again that are in too many or too few files.

        How many an engine writes depends on its tasks (Spark) or is one (Sail), not on sizes.
        """
        parts = parts_by_month(infos, self.target_bytes)
        if not parts:
            return infos
        again = [info for info in infos if month_of(info.path) in parts]
        rows = with_month(self.read(table.schema, [info.path for info in again]), table.time or "")
        counts = [
            F.when((F.col("year") == year) & (F.col("month") == month), F.lit(count))
            for (year, month), count in parts.items()
        ]
        partitions = [*table.partitions, PART]
        part = _part(table, F.coalesce(*counts))
        rows = rows.withColumn(PART, part).repartition(*partitions)
        packed = self.write(rows, folder, partitions)
        return [info for info in infos if month_of(info.path) not in parts] + packed


def _part(table: Table, parts: Column) -> Column:
    """A row's part of its month; those with the same first column of the key stay together."""
    return F.pmod(F.xxhash64(table.key[0]), parts.cast("bigint"))


def parts_by_month(infos: Iterable[FileInfo], target_bytes: int) -> dict[Month, int]:
    """How many files a month should have, for months with half of that or four times as many."""
    sizes: dict[Month, list[int]] = {}
    for info in infos:
        if month := month_of(info.path):
            sizes.setdefault(month, []).append(info.size)
    wanted = {month: -(-sum(each) // target_bytes) for month, each in sizes.items()}
    return {
        month: wanted[month]
        for month, each in sizes.items()
        if not wanted[month] / 2 <= len(each) <= 4 * wanted[month]
    }


def conformed(rows: DataFrame, table: Table) -> DataFrame:
    """Rows in the columns of a table's declaration: cast, and null where they lack one."""
    columns = []
    for field, type_ in zip(table.schema, from_arrow_schema(table.schema), strict=True):
        stored = F.col(field.name) if field.name in rows.columns else F.lit(None)
        columns.append(stored.cast(type_.dataType).alias(field.name))
    return rows.select(*columns)


def _nullable(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.with_nullable(True) for field in schema])
