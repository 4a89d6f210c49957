"""Publication to a DuckDB file: a new file is built beside the old one and takes its place.

Who has the old file open keeps on reading the old run from it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb
from adbc_driver_duckdb import dbapi

from clicklake.errors import ConfigError
from clicklake.lake.sql import DUCKDB_TYPES
from clicklake.publish.comments import statements
from clicklake.publish.tables import (
    MARK,
    MEMORY_MB,
    Feed,
    Outcome,
    Publication,
    Shown,
    as_reader,
)
from clicklake.storage.durable import replace_durably


def publish(path: Path, publication: Publication) -> Outcome | None:
    """Rows of each table; None if the file shows this publication already.

    Raises ConfigError if the file holds anything that clicklake did not publish.
    """
    if path.exists() and _is_whole(path, publication):
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    _remove(new)
    try:
        rows = _build(new, publication)
        _wal(path).unlink(missing_ok=True)  # of a program that wrote to the old file
        replace_durably(new, path)
    finally:
        _remove(new)
    return Outcome(rows)


def _build(path: Path, publication: Publication) -> dict[str, int]:
    with closing(dbapi.connect(str(path))) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(f"set memory_limit = '{MEMORY_MB}MB'")
        rows = {feed.name: _load(cursor, feed) for feed in publication.feeds}
        for view in publication.views:
            cursor.execute(f'create view "{view.name}" as {view.query}')
            _comment(cursor, "view", view)
        _load(cursor, publication.counts(rows))
        _load(cursor, publication.record())
        connection.commit()
    return rows


def _load(cursor: dbapi.Cursor, feed: Feed) -> int:
    columns = ", ".join(
        f'"{field.name}" {DUCKDB_TYPES[field.type]}{"" if field.nullable else " not null"}'
        for field in feed.schema
    )
    cursor.execute(f'create table "{feed.name}" ({columns})')
    _comment(cursor, "table", feed)
    return feed.check(cursor.adbc_ingest(feed.name, as_reader(feed), mode="append"))


def _comment(cursor: dbapi.Cursor, kind: str, shown: Shown) -> None:
    for statement in statements(kind, f'"{shown.name}"', shown.comment, shown.schema):
        cursor.execute(statement)


def _is_whole(path: Path, publication: Publication) -> bool:
    """Whether a file shows this publication, with all its tables, rows and views.

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
            return False
        query = f"select run_id, layout from {Publication.TABLE}"
        if connection.execute(query).fetchall() != [publication.key]:
            return False
        query = f"select name, rows from {Publication.COUNTS}"
        counted = dict(connection.execute(query).fetchall())
        return all(
            connection.execute(f'select count(*) from "{name}"').fetchall()
            == [(counted.get(name),)]
            for name in tables
        )


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
