"""A SQL database to keep the statistics in: SQLite, DuckDB or PostgreSQL, with the same tables.

SQLite is the default: it comes with Python, it is one small file, and other processes can read it
while it is written, which the live page does. A DuckDB file opens for one process at a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from clicklake.errors import AccessError, ConfigError, InputError, LeaseHeldError
from clicklake.streaming.tables import ARROW_TYPES, Row, SqlTable

_STAGE = "stream_stage"
_FROM_STAGE = f"SELECT * FROM {_STAGE} WHERE true"  # noqa: S608 - names of our own tables


class Database(Protocol):
    """A connection whose changes since the last `commit` are there together or not at all.

    One that was opened to read sees one state of the database. Raises AccessError if the database
    fails.
    """

    def tables(self) -> set[str]: ...

    def execute(self, sql: str) -> None: ...

    def fetch(self, sql: str) -> list[Row]: ...

    def insert(self, table: SqlTable, rows: pa.Table) -> None:
        """Insert rows none of whose keys is there."""
        ...

    def upsert(
        self, table: SqlTable, rows: pa.Table, changes: dict[str, str] | None = None
    ) -> None:
        """Insert rows; one whose key is there is replaced, or changed as `changes` says."""
        ...

    def commit(self) -> None: ...

    def close(self) -> None: ...


def connect(url: str, *, read_only: bool = False) -> Database:
    """Open `sqlite:///file`, `duckdb:///file` or `postgresql://…`.

    Raises ConfigError for another address, InputError if `read_only` and there is no file,
    LeaseHeldError if a DuckDB file is open elsewhere, AccessError if the database fails.
    """
    kind, _, rest = url.partition("://")
    if kind in ("postgresql", "postgres"):
        return PostgresDatabase(url, read_only)
    if kind not in ("sqlite", "duckdb") or not rest.startswith("/"):
        raise ConfigError(
            "[STREAM] DATABASE must be sqlite:///FILE, duckdb:///FILE or postgresql://USER@HOST/NAME."
        )
    file = Path(rest[1:]).expanduser().resolve()
    if read_only and not file.exists():
        raise InputError(f"{file}: no statistics are there. Run scripts/stream.py summarize first.")
    file.parent.mkdir(parents=True, exist_ok=True)
    return SqliteDatabase(file, read_only) if kind == "sqlite" else DuckDatabase(file, read_only)


def is_there(url: str) -> bool:
    """Whether there may be a database: of a file, whether it is there."""
    kind, _, rest = url.partition("://")
    return kind.startswith("postgres") or Path(rest[1:]).expanduser().exists()


class SqliteDatabase:
    def __init__(self, file: Path, read_only: bool) -> None:
        self._failing = partial(_failing, f"SQLite file {file}", sqlite3.Error)
        with self._failing():
            mode = "ro" if read_only else "rwc"
            self._connection = sqlite3.connect(f"{file.as_uri()}?mode={mode}", uri=True)
            self._connection.execute("BEGIN" if read_only else "PRAGMA journal_mode = WAL")

    def tables(self) -> set[str]:
        return {name for (name,) in self.fetch("SELECT name FROM sqlite_schema")}

    def execute(self, sql: str) -> None:
        with self._failing():
            self._connection.execute(sql)

    def fetch(self, sql: str) -> list[Row]:
        with self._failing():
            return self._connection.execute(sql).fetchall()

    def insert(self, table: SqlTable, rows: pa.Table) -> None:
        with self._failing():
            self._connection.executemany(table.insert(_sqlite_values(table)), _sqlite_rows(rows))

    def upsert(
        self, table: SqlTable, rows: pa.Table, changes: dict[str, str] | None = None
    ) -> None:
        sql = table.upsert(_sqlite_values(table), changes or table.replacing())
        with self._failing():
            self._connection.executemany(sql, _sqlite_rows(rows))

    def commit(self) -> None:
        with self._failing():
            self._connection.commit()

    def close(self) -> None:
        self._connection.close()


class DuckDatabase:
    def __init__(self, file: Path, read_only: bool) -> None:
        import duckdb

        self._failing = partial(_failing, f"DuckDB file {file}", duckdb.Error)
        try:
            self._connection = duckdb.connect(str(file), read_only=read_only)
        except duckdb.IOException:
            raise LeaseHeldError(
                f"{file}: cannot be opened; another process may have it open, and DuckDB lets one "
                "in at a time. To watch while summarize runs, use SQLite or PostgreSQL."
            ) from None
        self._connection.begin()

    def tables(self) -> set[str]:
        return _information_schema(self)

    def execute(self, sql: str) -> None:
        with self._failing():
            self._connection.execute(sql)

    def fetch(self, sql: str) -> list[Row]:
        with self._failing():
            return self._connection.execute(sql).fetchall()

    def insert(self, table: SqlTable, rows: pa.Table) -> None:
        self._execute_from(rows, table.insert(_FROM_STAGE))

    def upsert(
        self, table: SqlTable, rows: pa.Table, changes: dict[str, str] | None = None
    ) -> None:
        self._execute_from(rows, table.upsert(_FROM_STAGE, changes or table.replacing()))

    def _execute_from(self, rows: pa.Table, sql: str) -> None:
        if not len(rows):
            return
        with self._failing():
            self._connection.register(_STAGE, _without_nul(rows))
            self._connection.execute(sql)
            self._connection.unregister(_STAGE)

    def commit(self) -> None:
        with self._failing():
            self._connection.commit()
            self._connection.begin()

    def close(self) -> None:
        self._connection.close()


class PostgresDatabase:
    """Without a password in its address: libpq takes it from PGPASSWORD or ~/.pgpass."""

    def __init__(self, url: str, read_only: bool) -> None:
        from adbc_driver_postgresql import dbapi

        self._failing = partial(_failing, "PostgreSQL", dbapi.Error)
        with self._failing():
            self._connection = dbapi.connect(url)
        if read_only:
            self.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")

    def tables(self) -> set[str]:
        return _information_schema(self)

    def execute(self, sql: str) -> None:
        with self._failing(), self._connection.cursor() as cursor:
            cursor.execute(sql)

    def fetch(self, sql: str) -> list[Row]:
        with self._failing(), self._connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()

    def insert(self, table: SqlTable, rows: pa.Table) -> None:
        if not len(rows):
            return
        with self._failing(), self._connection.cursor() as cursor:
            cursor.adbc_ingest(table.name, _without_nul(rows), mode="append")

    def upsert(
        self, table: SqlTable, rows: pa.Table, changes: dict[str, str] | None = None
    ) -> None:
        if not len(rows):
            return
        with self._failing(), self._connection.cursor() as cursor:
            cursor.adbc_ingest(_STAGE, _without_nul(rows), mode="replace", temporary=True)
            cursor.execute(table.upsert(_FROM_STAGE, changes or table.replacing()))

    def commit(self) -> None:
        with self._failing():
            self._connection.commit()

    def close(self) -> None:
        self._connection.close()


@contextmanager
def _failing(what: str, kind: type[Exception]) -> Iterator[None]:
    """Turn the driver's error into ours. Only SQLite's own words are known to quote no row."""
    try:
        yield
    except kind as error:
        said = str(error) if isinstance(error, sqlite3.Error) else type(error).__name__
        state = getattr(error, "sqlstate", None)
        raise AccessError(
            f"{what}: the statistics' database failed ({said}{f', {state}' if state else ''}). "
            "Nothing was lost: once it can be used, start this again."
        ) from None


def _information_schema(database: Database) -> set[str]:
    names = "SELECT table_name FROM information_schema.tables"
    return {name for (name,) in database.fetch(names)}


def _sqlite_values(table: SqlTable) -> str:
    return f"VALUES ({', '.join('?' for _ in table.columns)})"


def _sqlite_rows(rows: pa.Table) -> Iterable[Row]:
    """SQLite has no type for a time: text that sorts as time does."""
    columns = [
        column.cast(pa.timestamp("s")).cast(pa.string())
        if column.type == ARROW_TYPES["TIMESTAMP"]
        else column
        for column in rows.columns
    ]
    return zip(*(column.to_pylist() for column in columns), strict=True)


def _without_nul(rows: pa.Table) -> pa.Table:
    """The rows for PostgreSQL, which cannot hold a NUL character: it becomes U+FFFD."""
    columns = [
        pc.replace_substring(column, "\0", "\ufffd") if column.type == pa.string() else column
        for column in rows.columns
    ]
    return pa.table(columns, rows.column_names)
