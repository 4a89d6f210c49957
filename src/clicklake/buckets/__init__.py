"""Events in buckets: all those of a person in one, each small enough for memory.

Readers or an engine bring the events into buckets. Of the clickstream an engine's tasks then make
the tables of one bucket after the other (`visits`) and write them, each task into files of its
own for every month.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from clicklake.engines import Engine
from clicklake.engines.batches import owned
from clicklake.lake import Month, partition_values
from clicklake.lake.parquet import open_parquet
from clicklake.lake.tables import Staged, Tables
from clicklake.parse.interning import Interner, checksums
from clicklake.parse.rows import Source
from clicklake.rules.visits import EVENTS, TEXTS, Rules, Texts, Visits
from clicklake.schemas import CLICKSTREAM, SESSIONS
from clicklake.storage import FileInfo, Storage, open_storage

BUCKET = "_bucket"
NONE = -1  # the bucket of rows that are no events

_ROWS = 500_000  # of a bucket, about
_ROW_BYTES = 100  # of a line of the log, about
_AT_ONCE = 1 << 20  # rows that a reader keeps until it writes them
_TEXTS_AT_ONCE = 1 << 25  # bytes of distinct texts that it keeps

# For Sail: each open file has a group of rows in memory.
_NARROW: dict[str, int | str] = {
    "max_row_group_size": 1 << 15,
    "allow_single_file_parallelism": "false",
    "statistics_enabled": "none",
}

Buckets = Mapping[int, Sequence[FileInfo]]
Gathered = Callable[[DataFrame, str], DataFrame]


@dataclass(frozen=True)
class Shares:
    """How the work is shared: into how many buckets, and these among how many tasks."""

    buckets: int
    tasks: int


def shares(text_bytes: int, rows: int, engine: Engine) -> Shares:
    """For so many bytes of new logs and so many rows of the lake.

    On many cores a task takes some 32 buckets, so that its files are not small.
    """
    count = engine.bucket_count(max(1, -(-(text_bytes // _ROW_BYTES + rows) // _ROWS)))
    return Shares(count, min(count, max(engine.cores, count // 32)))


def write(
    tables: Tables, rows: DataFrame, folder: str, given: Shares, gathered: Gathered
) -> dict[int, list[FileInfo]]:
    """Bring rows into buckets by visitor; those without a visitor into the bucket `NONE`.

    `gathered`: as `Engine.gathered`.
    """
    visitor = F.col("anonymous_user_id")
    number = F.pmod(F.crc32(visitor.cast("binary")), F.lit(given.buckets)).cast("int")
    rows = rows.withColumn(BUCKET, F.when(visitor.isNull(), NONE).otherwise(number))
    tables.write(gathered(rows, BUCKET), folder, [BUCKET], **_NARROW)
    return found(tables, folder)


@dataclass(frozen=True)
class Part:
    """The users whose rows are in the bucket of a number, of so many."""

    number: int = 0
    of: int = 1

    def within(self, rows: DataFrame) -> DataFrame:
        """Their rows, by `user_id`."""
        is_theirs = F.pmod("user_id", F.lit(self.of)) == self.number
        return rows if self.of == 1 else rows.where(is_theirs)


ALL = Part()


def found(tables: Tables, folder: str) -> dict[int, list[FileInfo]]:
    """The buckets in a folder of the staging area."""
    files: dict[int, list[FileInfo]] = {}
    for info in tables.files(folder):
        files.setdefault(int(partition_values(info.path)[BUCKET]), []).append(info)
    return files


class Landing:
    """Events on their way from a reader into buckets, some `_AT_ONCE` of them in memory.

    `task`: the reader's number among those of a run. What a reader that is started again writes
    takes the place of what it wrote before.
    """

    def __init__(
        self,
        stack: ExitStack,
        storage: Storage,
        source: Source,
        folder: str,
        buckets: int,
        *,
        task: int,
    ) -> None:
        texts = [field.name for field in source.schema if pa.types.is_string(field.type)]
        self.interners = {name: Interner() for name in texts}
        self._events: list[pa.RecordBatch] = []
        self._rows = 0
        self._writers: dict[int, pq.ParquetWriter] = {}
        self._stack = stack
        self._storage = storage
        self._person = source.person
        self._folder = folder
        self._buckets = buckets
        self._task = task

    def add(self, events: pa.RecordBatch) -> None:
        """Take events, their texts plain or as codes of the interners."""
        if self._events and self._events[0].schema != events.schema:
            self.flush()
        self._events.append(events)
        self._rows += events.num_rows
        size = sum(interner.size for interner in self.interners.values())
        if self._rows >= _AT_ONCE or size >= _TEXTS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what is there, bucket by bucket."""
        if not self._events:
            return
        events = pa.Table.from_batches(self._events)
        texts = {name: self._texts(name, events[name]) for name in self.interners}
        others = events.drop_columns(list(texts)).combine_chunks()
        numbers = self._numbers(events, texts)
        order = np.argsort(numbers, kind="stable")
        edges = np.cumsum(np.bincount(numbers, minlength=self._buckets))
        for bucket, at in enumerate(np.split(order, edges[:-1])):
            if len(at):
                columns = [
                    texts[name].take(at).to_arrow()
                    if name in texts
                    else others[name].take(pa.array(at))
                    for name in events.schema.names
                ]
                rows = pa.table(columns, events.schema.names)
                self._writer(bucket, rows.schema).write_table(rows)
        if any(pa.types.is_dictionary(type_) for type_ in events.schema.types):
            # Not after plain texts: codes may be on their way to `add`.
            self.interners.update({name: Interner() for name in self.interners})
        self._events.clear()
        self._rows = 0

    def _numbers(self, events: pa.Table, texts: dict[str, Texts]) -> np.ndarray:
        """Each event's bucket."""
        if self._person in texts:
            persons = texts[self._person]
            numbers = (checksums(persons.values) % self._buckets)[persons.codes]
        else:
            numbers = np.mod(events[self._person].to_numpy(), self._buckets)
        return numbers.astype(np.uint16)

    def _texts(self, name: str, column: pa.ChunkedArray) -> Texts:
        if not pa.types.is_dictionary(column.type):
            return Texts.of(column)
        codes = pa.chunked_array([chunk.indices for chunk in column.chunks])
        return Texts(codes.fill_null(-1).to_numpy(), self.interners[name].values)

    def _writer(self, bucket: int, schema: pa.Schema) -> pq.ParquetWriter:
        if bucket not in self._writers:
            path = f"{self._folder}/{BUCKET}={bucket}/{self._task}.parquet"
            place = self._stack.enter_context(self._storage.writing(path))
            writer = pq.ParquetWriter(
                place,
                schema,
                compression="none",
                use_dictionary=list(self.interners),
                write_statistics=False,
                store_schema=False,
            )
            self._writers[bucket] = self._stack.enter_context(writer)
        return self._writers[bucket]


def together(*parts: Buckets) -> dict[int, list[FileInfo]]:
    """The same buckets of several writes."""
    numbers = sorted({number for part in parts for number in part if number != NONE})
    return {number: [info for part in parts for info in part.get(number, ())] for number in numbers}


def label(
    tables: Tables, events: Buckets, rules: Rules, attempt: str, count: int
) -> tuple[Staged, Staged]:
    """`clickstream` of the events without `started_at`, and `sessions` of all, staged.

    Sessions that have events elsewhere are not whole.
    """
    numbers = sorted(events)
    work = [[list(events[number]) for number in numbers[at::count]] for at in range(count)]
    tasks = _Tasks(
        tables.storage.root,
        tables.folder(attempt),
        rules,
        tables.target_bytes,
        [each for each in work if each],
    )
    made = (
        tables.session.range(0, len(tasks.work), 1, max(1, len(tasks.work)))
        .mapInArrow(partial(_make, tasks), "path string")
        .collect()
    )
    paths = {row["path"] for row in made}
    found = [
        [info for info in tables.files(f"{attempt}/{table.name}") if info.path in paths]
        for table in (CLICKSTREAM, SESSIONS)
    ]
    staged = [
        tables.audited(table, infos, attempt)
        for table, infos in zip((CLICKSTREAM, SESSIONS), found, strict=True)
    ]
    return staged[0], staged[1]


@dataclass(frozen=True)
class _Tasks:
    """What the workers need to know. `work`: the files of each bucket of each task."""

    root: str
    folder: str
    rules: Rules
    target_bytes: int
    work: list[list[list[FileInfo]]]


def _make(tasks: _Tasks, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """In a worker: do the tasks with the numbers given; the files that were written."""
    for batch in batches:
        for number in batch.column(0).to_pylist():
            yield owned(pa.record_batch({"path": _made(tasks, tasks.work[number])}))


def _made(tasks: _Tasks, work: list[list[FileInfo]]) -> list[str]:
    storage = open_storage(tasks.root)
    with ExitStack() as stack:
        writers = _Writers(stack, storage, tasks.folder, tasks.target_bytes)
        for files in work:
            _write_bucket(writers, storage, files, tasks.rules)
            writers.end_bucket()
            pa.default_memory_pool().release_unused()
    return writers.paths


def _write_bucket(
    writers: _Writers, storage: Storage, files: Sequence[FileInfo], rules: Rules
) -> None:
    """Write a bucket's rows of both tables; nothing of it is left when the next one is read."""
    visits = Visits(_events(storage, files), rules)
    for month, rows in visits.clickstream():
        writers.write(CLICKSTREAM.name, month, rows)
    for month, rows in visits.sessions():
        writers.write(SESSIONS.name, month, rows)


def _events(storage: Storage, files: Sequence[FileInfo]) -> pa.Table:
    """A bucket's rows as `EVENTS`; texts as dictionaries."""
    return pa.concat_tables([_events_of(storage, info) for info in files])


def _events_of(storage: Storage, info: FileInfo) -> pa.Table:
    with open_parquet(storage, info, dictionaries=TEXTS) as file:
        known = [name for name in EVENTS.names if name in file.schema_arrow.names]
        rows = file.read(columns=known, use_threads=False)
    columns = [
        rows[field.name] if field.name in known else pa.nulls(len(rows), field.type)
        for field in EVENTS
    ]
    columns = [
        column if field.name in TEXTS else column.cast(field.type)
        for field, column in zip(EVENTS, columns, strict=True)
    ]
    return pa.table(columns, EVENTS.names)


@dataclass(frozen=True)
class _File:
    """A file that is being written; `ending` closes it and puts it where it belongs."""

    writer: pq.ParquetWriter
    place: Path
    ending: ExitStack


class _Writers:
    """Parquet files for each table and month; what is written at once is a row group."""

    def __init__(self, stack: ExitStack, storage: Storage, folder: str, target_bytes: int) -> None:
        self.paths: list[str] = []
        self._open: dict[tuple[str, Month], _File] = {}
        self._stack = stack
        self._storage = storage
        self._folder = folder
        self._target_bytes = target_bytes

    def write(self, table: str, month: Month, rows: pa.Table) -> None:
        if (table, month) not in self._open:
            self._open[table, month] = self._opened(table, month, rows.schema)
        self._open[table, month].writer.write_table(rows)

    def end_bucket(self) -> None:
        """Close the files that are large enough: a visitor's rows stay together."""
        for key, file in list(self._open.items()):
            if file.place.stat().st_size >= self._target_bytes:
                file.ending.close()
                del self._open[key]

    def _opened(self, table: str, month: Month, schema: pa.Schema) -> _File:
        folder = f"{self._folder}/{table}/year={month[0]}/month={month[1]}"
        path = f"{folder}/{uuid.uuid4().hex}.parquet"  # a task may be tried twice
        self.paths.append(path)
        ending = self._stack.enter_context(ExitStack())
        place = ending.enter_context(self._storage.writing(path))
        texts = [field.name for field in schema if pa.types.is_dictionary(field.type)]
        writer = pq.ParquetWriter(
            place,
            schema,
            compression="zstd",
            compression_level=1,
            store_schema=False,
            # In the order of visitors a text's least and greatest value exclude nothing.
            write_statistics=[f.name for f in schema if f.name not in texts],
            use_dictionary=[name for name in texts if name != "session_id"],
        )
        return _File(ending.enter_context(writer), place, ending)
