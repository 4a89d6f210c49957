"""The clickstream's tables, made of one bucket after the other by an engine's tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from clicklake.buckets.partitioning import Buckets
from clicklake.buckets.writers import MonthWriters
from clicklake.engines.batches import owned
from clicklake.lake.parquet import open_parquet
from clicklake.lake.tables import Staged, Tables
from clicklake.progress import WORK
from clicklake.rules import page_steps
from clicklake.rules.visits import EVENTS, TEXTS, Rules, Visits
from clicklake.schemas import CLICKSTREAM, PAGE_STEPS, SESSIONS
from clicklake.storage import FileInfo, Storage, open_storage

_MADE = (CLICKSTREAM, SESSIONS, PAGE_STEPS)


@dataclass(frozen=True)
class Labelled:
    """What was made of events: `clickstream` of those without `started_at`, `sessions` of all.

    Sessions that have events elsewhere are not whole. `steps`: files of the folder
    `page_steps`, which have a bucket's sessions of each step: those of all buckets add up.
    """

    clickstream: Staged
    sessions: Staged
    steps: list[FileInfo]


def label(tables: Tables, events: Buckets, rules: Rules, attempt: str, count: int) -> Labelled:
    """The tables of events, staged."""
    numbers = sorted(events)
    work = [[list(events[number]) for number in numbers[at::count]] for at in range(count)]
    tasks = LabelTasks(
        tables.storage.root,
        tables.folder(attempt),
        rules,
        tables.target_bytes,
        [each for each in work if each],
    )
    WORK.expect(len(numbers), "partitions")
    made = (
        tables.session.range(0, len(tasks.work), 1, max(1, len(tasks.work)))
        .mapInArrow(partial(_run_tasks, tasks), "path string")
        .collect()
    )
    paths = {row["path"] for row in made}
    clicks, visits, steps = (
        [info for info in tables.files(f"{attempt}/{table.name}") if info.path in paths]
        for table in _MADE
    )
    return Labelled(
        tables.audited(CLICKSTREAM, clicks, attempt),
        tables.audited(SESSIONS, visits, attempt),
        steps,
    )


@dataclass(frozen=True)
class LabelTasks:
    """What the workers need to know. `work`: the files of each bucket of each task."""

    root: str
    folder: str
    rules: Rules
    target_bytes: int
    work: list[list[list[FileInfo]]]


def _run_tasks(tasks: LabelTasks, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """In a worker: do the tasks with the numbers given; the files that were written."""
    for batch in batches:
        for number in batch.column(0).to_pylist():
            yield owned(pa.record_batch({"path": _run_task(tasks, tasks.work[number])}))


def _run_task(tasks: LabelTasks, work: list[list[FileInfo]]) -> list[str]:
    storage = open_storage(tasks.root)
    with ExitStack() as stack:
        writers = MonthWriters(stack, storage, tasks.folder, tasks.target_bytes)
        for files in work:
            _write_bucket(writers, storage, files, tasks.rules)
            writers.end_bucket()
            WORK.add()
            pa.default_memory_pool().release_unused()
    return writers.paths


def _write_bucket(
    writers: MonthWriters, storage: Storage, files: Sequence[FileInfo], rules: Rules
) -> None:
    """Write a bucket's rows of the tables; nothing of it is left when the next one is read."""
    visits = Visits(_events(storage, files), rules)
    made = (visits.clickstream(), visits.sessions(), page_steps.counted(visits))
    for table, parts in zip(_MADE, made, strict=True):
        for month, rows in parts:
            writers.write(table.name, month, rows)


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
