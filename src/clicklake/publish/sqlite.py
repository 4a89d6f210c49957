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
from clicklake.publish.tables import MARK, NAMES, Feed, Outcome, Publication, as_reader

_TYPES = {
    pa.int64(): "integer",
    pa.int32(): "integer",
    pa.float64(): "real",
    pa.bool_(): "integer",
    pa.string(): "text",
    pa.date32(): "text",
    pa.timestamp("us", tz="UTC"): "text",
}


_OURS = {Publication.TABLE, Publication.COUNTS, *NAMES}


def publish(path: Path, publication: Publication) -> Outcome | None:
    """Rows of each table; None if the file shows this publication already.

    Raises ConfigError if the file has a table of such a name that clicklake did not publish.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _opened(path) as cursor, _transaction(cursor):
        present = _present(path, cursor)
        if _is_whole(cursor, present, publication):
            return None
        for name in present:
            cursor.execute(f'drop table "{name}"')
        rows = {feed.name: _load(cursor, feed) for feed in publication.feeds}
        _load(cursor, publication.counts(rows))
        _load(cursor, publication.record())
    return Outcome(rows)


@contextmanager
def _opened(path: Path) -> Iterator[dbapi.Cursor]:
    with (
        closing(dbapi.connect(str(path), autocommit=True)) as connection,
        closing(connection.cursor()) as cursor,
    ):
        cursor.execute("pragma busy_timeout = 30000")
        cursor.execute("pragma journal_mode = wal")
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


def _is_whole(cursor: dbapi.Cursor, present: set[str], publication: Publication) -> bool:
    """Whether the file shows this publication, with all its tables, rows and indexes."""
    if present != {Publication.TABLE, Publication.COUNTS, *(f.name for f in publication.feeds)}:
        return False
    if _rows(cursor, f"select run_id, layout from {Publication.TABLE}") != [publication.key]:
        return False
    indexes = {name for (name,) in _rows(cursor, "select name from sqlite_master")}
    if not all(
        _index(feed, column) in indexes for feed in publication.feeds for column in feed.indexes
    ):
        return False
    counted = dict(_rows(cursor, f"select name, rows from {Publication.COUNTS}"))
    return all(
        _rows(cursor, f'select count(*) from "{feed.name}"') == [(counted.get(feed.name),)]
        for feed in publication.feeds
    )


def _rows(cursor: dbapi.Cursor, query: str) -> list[tuple]:
    cursor.execute(query)
    return cursor.fetchall()


def _index(feed: Feed, column: str) -> str:
    return f"{feed.name}_{column}"


def _load(cursor: dbapi.Cursor, feed: Feed) -> int:
    columns = ", ".join(
        f'"{field.name}" {_TYPES[field.type]}{"" if field.nullable else " not null"}'
        for field in feed.schema
    )
    cursor.execute(f'create table "{feed.name}" /* {MARK} */ ({columns})')
    rows = cursor.adbc_ingest(feed.name, as_reader(feed), mode="append")
    for column in feed.indexes:
        cursor.execute(f'create index "{_index(feed, column)}" on "{feed.name}" ("{column}")')
    return feed.check(rows)
