"""What is published: for each table its columns, what to index, and its rows as a stream."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from clicklake import schemas
from clicklake.derive.fields import described
from clicklake.errors import ClicklakeError
from clicklake.lake import Snapshot, sql
from clicklake.lake.metrics import RunMetrics
from clicklake.progress import WORK
from clicklake.schemas import TIMESTAMP, Table

BATCH_ROWS = 1 << 16
MEMORY_MB = 512  # what DuckDB may take, for daily_traffic and for its file
MARK = "Published by clicklake"  # how the comment on every table and view of ours begins

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

# What `clicklake_publication` holds, in one row: which run a database shows.
PUBLICATION = pa.schema(
    [
        described("version", pa.int64(), "of the tables, where several may be there"),
        described("run_id", pa.string(), "the run that is shown"),
        described("seq", pa.int64(), "number of its commit"),
        described("layout", pa.string(), "digest of the tables' shape"),
        described("published_at", TIMESTAMP, "when it was published"),
    ]
)

# What `clicklake_tables` holds: how many rows each table has, to tell whether they are all there.
COUNTS = pa.schema(
    [
        described("name", pa.string(), "the table"),
        described("rows", pa.int64(), "how many rows it was published with"),
    ]
)

# Every name that a table or view of a publication may have; nothing else is ever replaced.
NAMES = frozenset(
    {
        "user_page_views",
        "page_recommendations",
        "users",
        "sessions",
        "daily_traffic",
        "runs",
        "page_views",
        "user_updates",
    }
)

Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True)
class Shown:
    """A table or view that a database shows, with what a row and each column means."""

    name: str
    meaning: str
    schema: pa.Schema

    @property
    def comment(self) -> str:
        """What is said of it, with the mark that it is ours."""
        return f"{MARK}: {self.meaning}"


@dataclass(frozen=True)
class View(Shown):
    """A query over the lake's own files."""

    query: str


@dataclass(frozen=True)
class Feed(Shown):
    """One table on its way to a database: `read` opens its rows, anew for each call."""

    indexes: tuple[str, ...]
    read: Callable[[], Batches]
    rows: int | None = None  # how many there must be, where that is known

    def check(self, rows: int) -> int:
        """The number of rows that arrived. Raises ClicklakeError if it is not all of them."""
        if self.rows not in (None, rows):
            raise ClicklakeError(
                f"{self.name}: the lake's manifest says {self.rows} rows, its files hold {rows}. "
                "The lake is damaged; run with --rebuild."
            )
        return rows


@dataclass
class Outcome:
    """What a publication did: the rows of each table, and what the user should know."""

    rows: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Publication:
    """All that a database shows of one run."""

    TABLE = "clicklake_publication"
    COUNTS = "clicklake_tables"

    run_id: str
    seq: int
    published_at: datetime
    feeds: tuple[Feed, ...]
    views: tuple[View, ...]  # for DuckDB

    @property
    def layout(self) -> str:
        """Changes when the same run has to be published again in another shape."""
        feeds = [(each.name, each.meaning, str(each.schema), each.indexes) for each in self.feeds]
        views = [(each.name, each.meaning, str(each.schema), each.query) for each in self.views]
        return hashlib.sha256(repr((feeds, views)).encode()).hexdigest()[:16]

    @property
    def key(self) -> tuple[str, str]:
        """What a database that is up to date says of itself: run_id and layout."""
        return self.run_id, self.layout

    def record(self, version: int = 1) -> Feed:
        """The one row of the table TABLE: what the database shows."""
        row = {
            "version": version,
            "run_id": self.run_id,
            "seq": self.seq,
            "layout": self.layout,
            "published_at": self.published_at,
        }
        batch = pa.RecordBatch.from_pylist([row], schema=PUBLICATION)
        return Feed(self.TABLE, "which run is shown", PUBLICATION, (), lambda: iter([batch]))

    def counts(self, rows: Mapping[str, int]) -> Feed:
        """The rows of the table COUNTS: how many each table has."""
        found = [{"name": name, "rows": count} for name, count in rows.items()]
        batch = pa.RecordBatch.from_pylist(found, schema=COUNTS)
        return Feed(self.COUNTS, "how many rows there are", COUNTS, (), lambda: iter([batch]))


def for_readers(
    snapshot: Snapshot, runs: Sequence[RunMetrics], now: datetime, time_zone: str
) -> Publication:
    """The tables that people ask; `runs`: every run that changed the lake."""
    feeds = [
        _of_lake(snapshot, schemas.USER_PAGE_VIEWS, "user_id", "email", "url"),
        _of_lake(snapshot, schemas.USERS, "user_id", "email"),
        _of_lake(snapshot, schemas.SESSIONS, "session_id", "anonymous_user_id", "started_at"),
        Feed(
            "daily_traffic",
            f"clicks by day ({time_zone}) and host",
            DAILY_TRAFFIC,
            ("day",),
            lambda: _daily_traffic(snapshot, time_zone),
        ),
        Feed(
            "runs",
            "a run that changed the lake",
            RUNS,
            ("run_id",),
            lambda: iter([runs_batch(runs)]),
            rows=len(runs),
        ),
    ]
    if snapshot.files(schemas.PAGE_RECOMMENDATIONS.name):
        feeds.insert(1, _of_lake(snapshot, schemas.PAGE_RECOMMENDATIONS, "user_id", "email"))
    views = tuple(
        View(table.name, table.meaning, sql.with_partitions(table), sql.select_files(table, files))
        for table in (schemas.CLICKSTREAM, schemas.PAGE_VIEWS)
        if sql.is_local(files := snapshot.files(table.name))
    )
    return Publication(snapshot.run_id, snapshot.seq, now, tuple(feeds), views)


def for_staging(snapshot: Snapshot, now: datetime) -> Publication:
    """The cleaned inputs."""
    feeds = (
        _of_lake(snapshot, schemas.PAGE_VIEWS, "user_id", "ts"),
        _of_lake(snapshot, schemas.USER_UPDATES, "user_id", "email"),
    )
    return Publication(snapshot.run_id, snapshot.seq, now, feeds, ())


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


def as_reader(feed: Feed) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(feed.schema, _counted(feed))


def _counted(feed: Feed) -> Batches:
    yield from feed.read()
    WORK.add(int(feed.name in NAMES))


def _of_lake(snapshot: Snapshot, table: Table, *indexes: str) -> Feed:
    rows = snapshot.rows(table.name)
    return Feed(
        table.name,
        table.meaning,
        table.schema,
        indexes,
        lambda: lake_batches(snapshot, table),
        rows,
    )


def _daily_traffic(snapshot: Snapshot, time_zone: str) -> Batches:
    with sql.connect(snapshot, MEMORY_MB, time_zone) as connection:
        reader = connection.sql("from daily_traffic").to_arrow_reader(BATCH_ROWS)
        for batch in reader:
            yield batch.cast(DAILY_TRAFFIC)
