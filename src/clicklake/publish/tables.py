"""What is published: for each table its columns, what to index, and its rows as a stream."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

import pyarrow as pa

from clicklake import schemas
from clicklake.derive.fields import described
from clicklake.lake import Snapshot, sql
from clicklake.lake.metrics import RunMetrics
from clicklake.publish import changes
from clicklake.publish.changes import BATCH_ROWS, Batches, DailyTraffic
from clicklake.publish.feeds import Feed, Publication, View
from clicklake.schemas import TIMESTAMP, Table

DAILY_TRAFFIC = pa.schema(
    [
        described("day", pa.date32(), "day, by the time zone of the settings"),
        described("host", pa.string(), "host of the URLs; null where there is none", nullable=True),
        *(
            described(bot + count, pa.int64(), f"{meaning} {who}")
            for bot, who in (("", "of people"), ("bot_", "of bots"))
            for count, meaning in (
                ("views", "clicks"),
                ("visitors", "visitors, counted once a day and host:"),
                ("sessions", "sessions, counted once a day and host:"),
            )
        ),
    ]
)

_COUNTS = {
    "read": "rows that the run read",
    "kept": "rows that it kept",
    "duplicate": "rows that were there before",
    "filtered": "rows of another environment than production",
    "quarantined": "rows that it turned away",
}

RUNS = pa.schema(
    [
        described("run_id", pa.string(), "the run"),
        described("started_at", TIMESTAMP, "when it began", nullable=True),
        described("engine", pa.string(), "sail or spark", nullable=True),
        described("seconds", pa.float64(), "how long it took, in seconds", nullable=True),
        *(described(name, pa.int64(), meaning) for name, meaning in _COUNTS.items()),
    ]
)


def for_readers(
    snapshot: Snapshot, runs: Sequence[RunMetrics], now: datetime, time_zone: str
) -> Publication:
    """The tables that people ask; `runs`: every run that changed the lake."""
    traffic = DailyTraffic(snapshot, time_zone, DAILY_TRAFFIC)

    def all_runs() -> Batches:
        return iter([runs_batch(runs)])

    feeds = [
        _of_lake(snapshot, schemas.USER_PAGE_VIEWS, "user_id", "email", "url"),
        _of_lake(snapshot, schemas.USERS, "user_id", "email"),
        _of_lake(snapshot, schemas.SESSIONS, "session_id", "anonymous_user_id", "started_at"),
        Feed(
            "daily_traffic",
            f"clicks by day ({time_zone}) and host",
            DAILY_TRAFFIC,
            ("day",),
            traffic.read,
            differ=traffic.change,
        ),
        Feed(
            "runs",
            "a run that changed the lake",
            RUNS,
            ("run_id",),
            all_runs,
            rows=len(runs),
            differ=partial(changes.of_few, all_runs, pa.schema([RUNS.field("run_id")])),
        ),
    ]
    if snapshot.files(schemas.PAGE_FOLLOWS.name):
        feeds.insert(1, _of_lake(snapshot, schemas.PAGE_FOLLOWS, "page"))
    if snapshot.files(schemas.PAGE_RECOMMENDATIONS.name):
        feeds.insert(1, _of_lake(snapshot, schemas.PAGE_RECOMMENDATIONS, "user_id", "email"))
    views = tuple(
        View(table.name, table.meaning, sql.with_partitions(table), sql.select_files(table, files))
        for table in (schemas.CLICKSTREAM, schemas.PAGE_VIEWS)
        if sql.is_local(files := snapshot.files(table.name))
    )
    return Publication(snapshot, now, tuple(feeds), views)


def for_staging(snapshot: Snapshot, now: datetime) -> Publication:
    """The cleaned inputs."""
    feeds = (
        _of_lake(snapshot, schemas.PAGE_VIEWS, "user_id", "ts"),
        _of_lake(snapshot, schemas.USER_UPDATES, "user_id", "email"),
    )
    return Publication(snapshot, now, feeds)


def runs_batch(runs: Sequence[RunMetrics]) -> pa.RecordBatch:
    """One row for each run: what became of the rows that it read, over all sources."""
    rows = [
        {
            "run_id": run.run_id,
            "started_at": datetime.fromisoformat(run.started_at) if run.started_at else None,
            "engine": run.engine or None,
            "seconds": run.seconds,
            **{name: getattr(run.total, name) for name in _COUNTS},
        }
        for run in runs
    ]
    return pa.RecordBatch.from_pylist(rows, schema=RUNS)


def lake_batches(snapshot: Snapshot, table: Table) -> Batches:
    """A table's data columns, a bounded number of rows at a time, in the types of its schema."""
    files = snapshot.files(table.name)
    if not files:
        return iter(())
    scanner = sql.dataset(table, files).scanner(
        columns=table.columns, batch_size=BATCH_ROWS, batch_readahead=2, fragment_readahead=1
    )
    return (batch.cast(table.schema) for batch in scanner.to_batches() if batch.num_rows)


def _of_lake(snapshot: Snapshot, table: Table, *indexes: str) -> Feed:
    rows = snapshot.rows(table.name)
    return Feed(
        table.name,
        table.meaning,
        table.schema,
        indexes,
        lambda: lake_batches(snapshot, table),
        rows,
        partial(changes.of_rows, table, snapshot),
    )
