"""What is on its way to a database: tables as streams of rows, and the record of what is shown."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from clicklake.derive.fields import described
from clicklake.errors import ClicklakeError
from clicklake.lake import Snapshot
from clicklake.progress import WORK
from clicklake.publish.changes import Batches, Change, Differ, MisfitError, Read, since
from clicklake.schemas import TIMESTAMP

MOST = 0.5  # of all rows; where more have changed, all are sent
MARK = "Published by clicklake"  # how the comment on every table and view of ours begins

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
        "page_follows",
        "users",
        "sessions",
        "daily_traffic",
        "runs",
        "page_views",
        "user_updates",
    }
)


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
    read: Read
    rows: int | None = None  # how many there must be, where that is known
    differ: Differ | None = None  # finds what has changed since an earlier run

    def check(self, rows: int) -> int:
        """The number of rows that arrived. Raises ClicklakeError if it is not all of them."""
        if self.rows not in (None, rows):
            raise ClicklakeError(
                f"{self.name}: the lake's manifest says {self.rows} rows, its files hold {rows}. "
                "The lake is damaged; run with --rebuild."
            )
        return rows

    def fits(self, rows: int) -> int:
        """The number of rows after changes. Raises MisfitError if it is not all of them."""
        if self.rows not in (None, rows):
            raise MisfitError
        return rows


@dataclass
class Outcome:
    """What a publication did: the rows that each table has, and what the user should know.

    `sent`: how many rows of which tables were sent, if not all.
    """

    rows: dict[str, int] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Publication:
    """All that a database shows of one run."""

    TABLE = "clicklake_publication"
    COUNTS = "clicklake_tables"

    snapshot: Snapshot
    published_at: datetime
    feeds: tuple[Feed, ...]
    views: tuple[View, ...] = ()  # for DuckDB
    anew: bool = False  # all rows are to be sent, whatever has changed

    @property
    def run_id(self) -> str:
        return self.snapshot.run_id

    @property
    def layout(self) -> str:
        """Changes when the same run has to be published again in another shape."""
        feeds = [(each.name, each.meaning, str(each.schema), each.indexes) for each in self.feeds]
        views = [(each.name, each.meaning, str(each.schema)) for each in self.views]
        place = self.snapshot.storage.root if views else ""
        return hashlib.sha256(repr((feeds, views, place)).encode()).hexdigest()[:16]

    def to_count(self, shown: str) -> tuple[Feed, ...]:
        """The feeds whose rows are counted before anything is done, where a database shows a run.

        Of another run, those whose rows are not known beforehand: all are counted after changes.
        """
        return tuple(feed for feed in self.feeds if shown == self.run_id or feed.rows is None)

    @contextmanager
    def changes(self, run_id: str) -> Iterator[list[tuple[Feed, Change]]]:
        """The tables that have changed since a run, of which a database shows all.

        Raises MisfitError if all rows are to be sent instead.
        """
        differs = [feed.differ for feed in self.feeds if feed.differ]
        if self.anew or len(differs) < len(self.feeds):
            raise MisfitError
        with since(self.snapshot, run_id, differs) as changes:
            if sum(each.rows for each in changes if each) > MOST * sum(
                feed.rows or 0 for feed in self.feeds
            ):
                raise MisfitError
            pairs = zip(self.feeds, changes, strict=True)
            yield [(feed, change) for feed, change in pairs if change]

    def record(self, version: int = 1) -> Feed:
        """The one row of the table TABLE: what the database shows."""
        row = {
            "version": version,
            "run_id": self.run_id,
            "seq": self.snapshot.seq,
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


def as_reader(feed: Feed) -> pa.RecordBatchReader:
    """All rows of a feed."""
    return pa.RecordBatchReader.from_batches(feed.schema, _counted(feed))


def _counted(feed: Feed) -> Batches:
    yield from feed.read()
    WORK.add(int(feed.name in NAMES))
