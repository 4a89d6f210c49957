"""Databases to publish to, lakes whose every row says which run it is of, and a polling reader.

As a program, `publish_support.py KIND URL SCHEMA` reads all tables over and over, each time in a
transaction of its own, and prints the runs that it saw in each; it ends with its standard input.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi as pg
import adbc_driver_sqlite.dbapi as lite
import duckdb

from clicklake.config import Config, Csv, Database, DataLake
from clicklake.lake import Snapshot, places
from clicklake.lake.manifest import Past
from clicklake.lake.metrics import COMMITTED, RunMetrics
from fake_lake import NOON, write_lake

Query = Callable[[str], list[tuple]]
KINDS = ("duckdb", "sqlite", "postgresql")


class Destination:
    """A database to publish to, and to ask."""

    def __init__(self, kind: str, url: str, schema: str = "public") -> None:
        self.kind, self.url, self.schema = kind, url, schema
        self.path = url.partition(":///")[2]

    def config(
        self, lake: Path, staging_url: str = "", url: str = "", *, exports: bool = False
    ) -> Config:
        return Config(
            datalake=DataLake(output_data=str(lake)),
            database=Database(url or self.url, staging_url, self.schema),
            csv=Csv(enabled=exports),
        )

    def named(self, table: str) -> str:
        """A table's name for `change`, which knows no search path."""
        return f"{self.schema}.{table}" if self.kind == "postgresql" else table

    @contextmanager
    def reader(self, isolation: str = "repeatable read") -> Iterator[Query]:
        """Queries within one transaction."""
        with closing(self._connect()) as connection, closing(connection.cursor()) as cursor:

            def query(sql: str) -> list[tuple]:
                cursor.execute(sql)
                return cursor.fetchall()

            if self.kind == "postgresql":
                cursor.execute(f"set transaction isolation level {isolation}")
                cursor.execute(f"set search_path = {self.schema}")
            if self.kind == "sqlite":
                cursor.execute("pragma busy_timeout = 30000")  # of this driver it is a second
            yield query

    def _connect(self) -> Any:
        if self.kind == "duckdb":
            return duckdb.connect(self.path, read_only=True)
        # Not Python's own sqlite3: two copies of SQLite in one process break each other's locks.
        return lite.connect(self.path) if self.kind == "sqlite" else pg.connect(self.url)

    def ask(self, sql: str) -> list[tuple]:
        with self.reader() as query:
            return query(sql)

    def columns(self, sql: str) -> list[str]:
        with closing(self._connect()) as connection, closing(connection.cursor()) as cursor:
            if self.kind == "postgresql":
                cursor.execute(f"set search_path = {self.schema}")
            cursor.execute(sql)
            cursor.fetchall()
            return [column[0] for column in cursor.description]

    def change(self, *statements: str) -> None:
        """Do something that clicklake does not."""
        connect: Any = {"duckdb": duckdb.connect, "sqlite": lite.connect, "postgresql": pg.connect}
        place = self.url if self.kind == "postgresql" else self.path
        with closing(connect[self.kind](place)) as connection:
            with closing(connection.cursor()) as cursor:
                for statement in statements:
                    cursor.execute(statement)
            connection.commit()


def generation(root: Path, number: int, rows: int = 3) -> Snapshot:
    """A lake in which every row of every table that is published says which run it is of."""
    ids = range(rows)
    return write_lake(
        root,
        number,
        user_page_views=[{"user_id": i, "count": number} for i in ids],
        users=[{"user_id": i, "name": str(number)} for i in ids],
        sessions=[{"session_id": str(i), "events": number} for i in ids],
        page_recommendations=[{"user_id": i, "rank": number} for i in ids],
        page_follows=[{"page": str(i), "rank": number} for i in ids],
        clickstream=[{"host": str(number), "session_id": str(i)} for i in ids],
    )


def follow(before: Snapshot, after: Snapshot, *, keeping: str = "") -> Snapshot:
    """`after`, as a lake has it that still keeps the state before it.

    `keeping`: files whose path holds this are as they were, instead of those that `after` has.
    """
    storage, old, new = after.storage, before.manifest, after.manifest
    storage.write(places.state(old.seq, "manifest.json"), old.to_json())
    past = Past(old.seq, old.run_id, NOON, NOON)
    tables = dict(new.tables)
    for name in new.tables if keeping else ():
        kept = [file for file in old.files(name) if keeping in file.path]
        made = [file for file in new.files(name) if keeping not in file.path]
        tables[name] = (*kept, *made)
    return Snapshot(storage, replace(new, tables=tables, history=(*old.history, past)))


def runs(number: int) -> list[RunMetrics]:
    """The metrics of as many runs."""
    return [RunMetrics(f"run-{n}", COMMITTED, "sail", 1.0) for n in range(1, number + 1)]


# For each table, the run that it is of; null if it is empty.
_RUNS = {
    "user_page_views": "max(count), min(count)",
    "users": "max(cast(name as integer)), min(cast(name as integer))",
    "sessions": "max(events), min(events)",
    "page_recommendations": "max(rank), min(rank)",
    "page_follows": "max(rank), min(rank)",
    "daily_traffic": "max(cast(host as integer)), min(cast(host as integer))",
    "runs": "count(*), count(*)",
    "clicklake_publication": "max(seq), min(seq)",
}


def seen(query: Query) -> set[int | None]:
    """The runs that a reader finds, table by table."""
    rows = [query(f"select {columns} from {table}")[0] for table, columns in _RUNS.items()]
    return {number for row in rows for number in row}


def seen_at_once(query: Query) -> set[int | None]:
    """The runs that a reader finds by one statement."""
    parts = [f"select {columns} from {table}" for table, columns in _RUNS.items()]
    return {number for row in query(" union all ".join(parts)) for number in row}


def environment() -> dict[str, str]:
    """What a program needs to import the tests' modules and the product's."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


class Poller:
    """A reader in a process of its own; `observed` is what it saw, one set for each look."""

    def __init__(self, destination: Destination) -> None:
        self.observed: list[str] = []
        command = [sys.executable, __file__, destination.kind, destination.url, destination.schema]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
        )
        self._collector = threading.Thread(target=self._collect)

    def __enter__(self) -> Poller:
        assert self._process.stdout
        self.observed.append(self._process.stdout.readline().strip())
        self._collector.start()
        return self

    def _collect(self) -> None:
        assert self._process.stdout
        self.observed += [line.strip() for line in self._process.stdout]

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._collector.join()
        self._process.wait()


def _poll(kind: str, url: str, schema: str) -> None:
    destination = Destination(kind, url, schema)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.is_set():
        with destination.reader() as query:
            print(sorted(seen(query), key=str), flush=True)
        with destination.reader("read committed") as query:
            print(sorted(seen_at_once(query), key=str), flush=True)
        ended.wait(0.01)


if __name__ == "__main__":
    _poll(*sys.argv[1:])
