"""Publication to a DuckDB file: a new file is built beside the old one and takes its place.

Who has the old file open keeps on reading the old run from it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
from adbc_driver_duckdb import dbapi

from clicklake.errors import ConfigError
from clicklake.lake.sql import DUCKDB_TYPES
from clicklake.publish.changes import GONE, MEMORY_MB, matching
from clicklake.publish.comments import statements
from clicklake.publish.feeds import (
    MARK,
    Feed,
    Outcome,
    Publication,
    Shown,
    as_reader,
)
from clicklake.storage.durable import replace_durably


def publish(path: Path, publication: Publication) -> Outcome | None:
    """What was done; None if the file shows this publication already.

    Raises ConfigError if the file holds anything that clicklake did not publish, MisfitError if
    changes do not fit what it holds.
    """
    shown = _shown(path, publication) if path.exists() else None
    if shown == publication.run_id:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    _remove(new)
    try:
        if shown and not publication.anew and not _wal(path).exists():
            outcome = _amend(path, new, publication, shown)
        else:
            outcome = _build(new, publication)
        _wal(path).unlink(missing_ok=True)  # of a program that wrote to the old file
        replace_durably(new, path)
    finally:
        _remove(new)
    return outcome


def _build(path: Path, publication: Publication) -> Outcome:
    with _writing(path) as cursor:
        outcome = Outcome({feed.name: _load(cursor, feed) for feed in publication.feeds})
        _finish(cursor, publication, outcome)
    return outcome


def _amend(path: Path, new: Path, publication: Publication, shown: str) -> Outcome:
    """Make of a copy of the file, which shows one run, that of another. Raises MisfitError."""
    outcome = Outcome()
    with publication.changes(shown) as changes:
        shutil.copyfile(path, new)
        with _writing(new) as cursor:
            for feed, change in changes:
                cursor.execute(f"create temp table {GONE} ({_columns(change.key)})")
                cursor.adbc_ingest(GONE, change.gone_reader(), mode="append", temporary=True)
                condition = matching(change.key, "t", "g")
                cursor.execute(f'delete from "{feed.name}" t using {GONE} g where {condition}')
                cursor.execute(f"drop table {GONE}")
                rows = pa.RecordBatchReader.from_batches(feed.schema, change.new())
                outcome.sent[feed.name] = cursor.adbc_ingest(feed.name, rows, mode="append")
            for feed in publication.feeds:
                cursor.execute(f'select count(*) from "{feed.name}"')
                outcome.rows[feed.name] = feed.fits(cursor.fetchall()[0][0])
            _finish(cursor, publication, outcome)
    return outcome


@contextmanager
def _writing(path: Path) -> Iterator[dbapi.Cursor]:
    with closing(dbapi.connect(str(path))) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(f"set memory_limit = '{MEMORY_MB}MB'")
        yield cursor
        connection.commit()


def _finish(cursor: dbapi.Cursor, publication: Publication, outcome: Outcome) -> None:
    for view in publication.views:
        cursor.execute(f'create or replace view "{view.name}" as {view.query}')
        _comment(cursor, "view", view)
    for small in (publication.counts(outcome.rows), publication.record()):
        cursor.execute(f'drop table if exists "{small.name}"')
        _load(cursor, small)


def _columns(schema: pa.Schema) -> str:
    return ", ".join(
        f'"{field.name}" {DUCKDB_TYPES[field.type]}{"" if field.nullable else " not null"}'
        for field in schema
    )


def _load(cursor: dbapi.Cursor, feed: Feed) -> int:
    cursor.execute(f'create table "{feed.name}" ({_columns(feed.schema)})')
    _comment(cursor, "table", feed)
    return feed.check(cursor.adbc_ingest(feed.name, as_reader(feed), mode="append"))


def _comment(cursor: dbapi.Cursor, kind: str, shown: Shown) -> None:
    for statement in statements(kind, f'"{shown.name}"', shown.comment, shown.schema):
        cursor.execute(statement)


def _shown(path: Path, publication: Publication) -> str | None:
    """The run that a file shows with all such tables, their rows and views; None: no run.

    Raises ConfigError if it holds anything that clicklake did not publish.
    """
    with _opened(path) as connection:
        present = connection.execute(
            "select table_name, comment from duckdb_tables() union all "
            "select view_name, comment from duckdb_views() where not internal"
        ).fetchall()
        foreign = [name for name, comment in present if not str(comment).startswith(MARK)]
        if foreign:
            raise ConfigError(
                f"{path}: holds {foreign[0]}, which clicklake did not publish and would be lost. "
                "Move it into another file, or set another [DATABASE] URL."
            )
        tables = [feed.name for feed in publication.feeds]
        views = [view.name for view in publication.views]
        expected = {*tables, *views, Publication.TABLE, Publication.COUNTS}
        if {name for name, _ in present} != expected:
            return None
        query = f"select layout, run_id from {Publication.TABLE}"
        found = connection.execute(query).fetchall()
        if [layout for layout, _ in found] != [publication.layout]:
            return None
        query = f"select name, rows from {Publication.COUNTS}"
        counted = dict(connection.execute(query).fetchall())
        shown = str(found[0][1])
        is_whole = all(
            connection.execute(f'select count(*) from "{feed.name}"').fetchall()
            == [(counted.get(feed.name),)]
            for feed in publication.to_count(shown)
        )
        return shown if is_whole else None


@contextmanager
def _opened(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The file for reading; a copy of it while a program has it open for writing."""
    copy = path.with_name(f".{path.name}.copy")
    try:
        try:
            connection = duckdb.connect(str(path), read_only=True)
        except duckdb.Error:
            shutil.copyfile(path, copy)
            connection = duckdb.connect(str(copy), read_only=True)
        with closing(connection):
            yield connection
    except duckdb.Error:
        raise ConfigError(
            f"{path}: is not a DuckDB file that can be read. "
            "Move it away, or set another [DATABASE] URL."
        ) from None
    finally:
        copy.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    _wal(path).unlink(missing_ok=True)


def _wal(path: Path) -> Path:
    return path.with_name(path.name + ".wal")
