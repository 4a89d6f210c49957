"""A SQL database to keep the statistics in: SQLite, DuckDB or PostgreSQL, with the same tables.

SQLite is the default: it comes with Python, it is one small file, and other processes can read it
while it is written, which the live page does. A DuckDB file opens for one process at a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clicklake.errors import AccessError, ConfigError, InputError, LeaseHeldError

Row = tuple[Any, ...]

_ARROW = {
    "TEXT": pa.string(),
    "BIGINT": pa.int64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us"),
}
_STAGE = "stream_stage"


@dataclass(frozen=True)
class SqlTable:
    """A table: {column: SQL type}, of which the first `key` are the key; none is ever null."""

    name: str
    key: int
    columns: dict[str, str]

    @property
    def schema(self) -> pa.Schema:
        """Its columns in Arrow; times are UTC, without a zone."""
        return pa.schema({name: _ARROW[kind] for name, kind in self.columns.items()})

    def create(self) -> str:
        columns = ", ".join(f'"{name}" {kind} NOT NULL' for name, kind in self.columns.items())
        return f"CREATE TABLE IF NOT EXISTS {self.name} ({columns}, PRIMARY KEY ({self._key()}))"

    def of(self, rows: Sequence[Row]) -> pa.Table:
        """Rows of this table."""
        columns = zip(*rows, strict=True) if rows else [()] * len(self.columns)
        pairs = zip(columns, self.schema.types, strict=True)
        return pa.table([pa.array(column, kind) for column, kind in pairs], schema=self.schema)

    def table(self, *columns: str | np.ndarray | pa.Array) -> pa.Table:
        """Columns as this table has them; a text stands for a column that has it in each row."""
        size = max(len(column) for column in columns if not isinstance(column, str))
        full = [pa.repeat(c, size) if isinstance(c, str) else pa.array(c) for c in columns]
        return pa.table(full, list(self.columns)).cast(self.schema)

    def upsert(self, source: str, changes: dict[str, str]) -> str:
        """SQL that inserts the rows of `source`; for a row that is there, it sets `changes`."""
        columns = ", ".join(f'"{name}"' for name in self.columns)
        sets = ", ".join(f'"{name}" = {value}' for name, value in changes.items())
        return (
            f"INSERT INTO {self.name} ({columns}) {source} "
            f"ON CONFLICT ({self._key()}) DO UPDATE SET {sets}"
        )

    def replacing(self) -> dict[str, str]:
        """The changes that make a row what was given."""
        return {name: f'excluded."{name}"' for name in list(self.columns)[self.key :]}

    def _key(self) -> str:
        return ", ".join(f'"{name}"' for name in list(self.columns)[: self.key])


class Database(Protocol):
    """A connection whose changes since the last `commit` are there together or not at all.

    One that was opened to read sees one state of the database. Raises AccessError if the database
    fails.
    """

    def tables(self) -> set[str]: ...

    def execute(self, sql: str) -> None: ...

    def fetch(self, sql: str) -> list[Row]: ...

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

    def upsert(
        self, table: SqlTable, rows: pa.Table, changes: dict[str, str] | None = None
    ) -> None:
        values = f"VALUES ({', '.join('?' for _ in table.columns)})"
        sql = table.upsert(values, changes or table.replacing())
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

    def upsert(
        self, table: SqlTable, rows: pa.Table, changes: dict[str, str] | None = None
    ) -> None:
        if not len(rows):
            return
        with self._failing():
            self._connection.register(_STAGE, _without_nul(rows))
            source = f"SELECT * FROM {_STAGE}"  # noqa: S608 - names of our own tables
            self._connection.execute(table.upsert(source, changes or table.replacing()))
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

    def upsert(
        self, table: SqlTable, rows: pa.Table, changes: dict[str, str] | None = None
    ) -> None:
        if not len(rows):
            return
        with self._failing(), self._connection.cursor() as cursor:
            cursor.adbc_ingest(_STAGE, _without_nul(rows), mode="replace", temporary=True)
            source = f"SELECT * FROM pg_temp.{_STAGE} WHERE true"  # noqa: S608 - names of our own tables
            cursor.execute(table.upsert(source, changes or table.replacing()))

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


def _sqlite_rows(rows: pa.Table) -> Iterable[Row]:
    """SQLite has no type for a time: text that sorts as time does."""
    columns = [
        column.cast(pa.timestamp("s")).cast(pa.string())
        if column.type == _ARROW["TIMESTAMP"]
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
