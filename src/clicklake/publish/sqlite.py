"""Publication to a SQLite file: all tables are replaced in one transaction.

The file is in WAL mode, so whoever reads it goes on reading the old run until the new one is
committed. Times are text in UTC, as `2018-04-01T12:00:00.000000`; SQLite's functions know that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pyarrow as pa
from adbc_driver_sqlite import dbapi

from clicklake.errors import ConfigError
from clicklake.publish.changes import GONE
from clicklake.publish.feeds import MARK, NAMES, Feed, Outcome, Publication, as_reader

_TYPES = {
    pa.int64(): "integer",
    pa.int32(): "integer",
    pa.float64(): "real",
    pa.bool_(): "integer",
    pa.string(): "text",
    pa.date32(): "text",
    pa.timestamp("us", tz="UTC"): "text",
}


_CACHE_KB = 64 << 10  # for rows that come into indexes here and there

_OURS = {Publication.TABLE, Publication.COUNTS, *NAMES}


def publish(path: Path, publication: Publication) -> Outcome | None:
    """What was done; None if the file shows this publication already.

    Raises ConfigError if the file has a table of such a name that clicklake did not publish,
    MisfitError if changes do not fit what the file holds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _opened(path) as cursor, _transaction(cursor):
        present = _present(path, cursor)
        shown = _shown(cursor, present, publication)
        if shown == publication.run_id:
            return None
        if shown and not publication.anew:
            outcome = _amend(cursor, publication, shown)
        else:
            outcome = _replace(cursor, present, publication)
        for small in (publication.counts(outcome.rows), publication.record()):
            cursor.execute(f'drop table if exists "{small.name}"')
            _load(cursor, small)
    return outcome


@contextmanager
def _opened(path: Path) -> Iterator[dbapi.Cursor]:
    with (
        closing(dbapi.connect(str(path), autocommit=True)) as connection,
        closing(connection.cursor()) as cursor,
    ):
        cursor.execute("pragma busy_timeout = 30000")
        cursor.execute("pragma journal_mode = wal")
        cursor.execute(f"pragma cache_size = -{_CACHE_KB}")
        cursor.execute("pragma secure_delete = on")  # so that nothing deleted stays in the file
        yield cursor
        cursor.execute("pragma busy_timeout = 0")  # with a reader, the next publication does it
        cursor.execute("pragma wal_checkpoint(truncate)")


@contextmanager
def _transaction(cursor: dbapi.Cursor) -> Iterator[None]:
    """What is done within becomes visible at its end, or not at all."""
    database = cursor.connection.adbc_connection
    database.set_autocommit(False)
    # The driver begins with a plain BEGIN. Whoever only turns to writing later is refused at once,
    # without the busy timeout, if a reader holds the lock of writers to look at a WAL in change.
    cursor.execute("rollback")
    cursor.execute("begin immediate")
    try:
        yield
        database.commit()
    except BaseException:
        database.rollback()
        raise
    finally:
        database.set_autocommit(True)


def _present(path: Path, cursor: dbapi.Cursor) -> set[str]:
    """The file's tables that have a name of ours. Raises ConfigError if one is somebody else's."""
    cursor.execute("select name, sql from sqlite_master where type in ('table', 'view')")
    made = {name: str(sql) for name, sql in cursor.fetchall()}
    present = {name: made[name] for name in made.keys() & _OURS}
    # An earlier release left no mark.
    is_marked = MARK in present.get(Publication.TABLE, MARK)
    foreign = [name for name, sql in present.items() if is_marked and MARK not in sql]
    if foreign:
        raise ConfigError(
            f"{path}: has a table {min(foreign)} that clicklake did not publish. "
            "Rename it, or set another [DATABASE] URL."
        )
    return set(present)


def _shown(cursor: dbapi.Cursor, present: set[str], publication: Publication) -> str | None:
    """The run that the file shows with all such tables, their rows and indexes; None: no run."""
    if present != {Publication.TABLE, Publication.COUNTS, *(f.name for f in publication.feeds)}:
        return None
    found = _rows(cursor, f"select layout, run_id from {Publication.TABLE}")
    if [layout for layout, _ in found] != [publication.layout]:
        return None
    indexes = {name for (name,) in _rows(cursor, "select name from sqlite_master")}
    if not all(
        _index(feed, column) in indexes for feed in publication.feeds for column in feed.indexes
    ):
        return None
    counted = dict(_rows(cursor, f"select name, rows from {Publication.COUNTS}"))
    shown = str(found[0][1])
    is_whole = all(
        _count(cursor, feed) == counted.get(feed.name) for feed in publication.to_count(shown)
    )
    return shown if is_whole else None


def _replace(cursor: dbapi.Cursor, present: set[str], publication: Publication) -> Outcome:
    for name in present:
        cursor.execute(f'drop table "{name}"')
    return Outcome({feed.name: _load(cursor, feed) for feed in publication.feeds})


def _amend(cursor: dbapi.Cursor, publication: Publication, shown: str) -> Outcome:
    """Make of the tables of one run those of another. Raises MisfitError."""
    outcome = Outcome()
    with publication.changes(shown) as changes:
        for feed, change in changes:
            cursor.execute(f"create temp table {GONE} ({_columns(change.key)})")
            cursor.adbc_ingest(GONE, change.gone_reader(), mode="append", temporary=True)
            # By the index of the key's first column; without the +, SQLite may prefer another.
            first, *others = change.key.names
            same = "".join(f' and +t."{name}" = g."{name}"' for name in others)
            cursor.execute(
                f'delete from "{feed.name}" where rowid in (select t.rowid from {GONE} g '
                f'cross join "{feed.name}" t on t."{first}" = g."{first}"{same})'
            )
            cursor.execute(f"drop table {GONE}")
            new = pa.RecordBatchReader.from_batches(feed.schema, change.new())
            outcome.sent[feed.name] = cursor.adbc_ingest(feed.name, new, mode="append")
    outcome.rows = {feed.name: feed.fits(_count(cursor, feed)) for feed in publication.feeds}
    return outcome


def _count(cursor: dbapi.Cursor, feed: Feed) -> int:
    return int(_rows(cursor, f'select count(*) from "{feed.name}"')[0][0])


def _rows(cursor: dbapi.Cursor, query: str) -> list[tuple]:
    cursor.execute(query)
    return cursor.fetchall()


def _index(feed: Feed, column: str) -> str:
    return f"{feed.name}_{column}"


def _columns(schema: pa.Schema) -> str:
    return ", ".join(
        f'"{field.name}" {_TYPES[field.type]}{"" if field.nullable else " not null"}'
        for field in schema
    )


def _load(cursor: dbapi.Cursor, feed: Feed) -> int:
    cursor.execute(f'create table "{feed.name}" /* {MARK} */ ({_columns(feed.schema)})')
    rows = cursor.adbc_ingest(feed.name, as_reader(feed), mode="append")
    for column in feed.indexes:
        cursor.execute(f'create index "{_index(feed, column)}" on "{feed.name}" ("{column}")')
    return feed.check(rows)
