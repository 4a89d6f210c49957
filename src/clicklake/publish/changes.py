"""What a table has lost and gained between two states of the lake.

Only files that one of the states has and the other has not are read: a month that no run has
touched costs nothing, and of one that was written anew only the rows that differ are passed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta

import duckdb
import pyarrow as pa

from clicklake.errors import DamagedError, InputError
from clicklake.lake import LiveFile, Snapshot, retention, sql
from clicklake.schemas import CLICKSTREAM, Table

BATCH_ROWS = 1 << 16
MEMORY_MB = 512  # what DuckDB may take

Batches = Iterator[pa.RecordBatch]
Read = Callable[[], Batches]


class MisfitError(Exception):
    """A database cannot be brought up to date by changes alone: all of it is to be published."""


GONE = "clicklake_gone"  # the temporary table of the keys that go


@dataclass(frozen=True)
class Change:
    """Rows that go, named by the columns of `key`; then rows that come.

    A row with a null in its key is not found where it is to go: its table then has a row too many,
    and all of it is published.
    """

    key: pa.Schema
    gone: Read
    new: Read
    rows: int = 0  # that come, where many may

    def gone_reader(self) -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(self.key, self.gone())


# A table's change since an earlier state, found by a DuckDB; None where there is none.
Differ = Callable[[duckdb.DuckDBPyConnection, Snapshot], Change | None]


@contextmanager
def since(now: Snapshot, run_id: str, differs: Sequence[Differ]) -> Iterator[list[Change | None]]:
    """The change of each table since a run.

    Raises MisfitError if the run's state is kept no longer, or cannot be compared.
    """
    with closing(sql.opened(MEMORY_MB)) as own:
        try:
            before = _earlier(now, run_id)
            changes = [differ(own, before) for differ in differs]
        except (duckdb.Error, InputError, DamagedError):
            raise MisfitError from None
        yield changes


def _earlier(now: Snapshot, run_id: str) -> Snapshot:
    past = retention.find(now.manifest, run_id)
    return Snapshot(now.storage, retention.read_state(now.storage, past))


def of_rows(
    table: Table, now: Snapshot, own: duckdb.DuckDBPyConnection, before: Snapshot
) -> Change | None:
    """The rows of a table that differ, found by its key.

    Raises MisfitError if the table had other columns.
    """
    if before.schema(table) != table.schema:
        raise MisfitError
    old, new = _apart(before, now, table), _apart(now, before, table)
    if not old and not new:
        return None
    name = f"{table.name}_differing"
    sql.show(own, f"{table.name}_old", table, _only(before, table, old))
    sql.show(own, f"{table.name}_new", table, _only(now, table, new))
    own.execute(f"create temp table {name} as {_difference(table)}")
    goes = f'{name} where "was_{table.required[0]}" is not null'
    comes = f'{name} where "{table.required[0]}" is not null'
    key = pa.schema([table.schema.field(column) for column in table.key])
    was = ", ".join(f'"was_{column}" as "{column}"' for column in table.key)
    columns = ", ".join(f'"{column}"' for column in table.columns)
    return Change(
        key,
        _reading(own, f"select {was} from {goes}", key),
        _reading(own, f"select {columns} from {comes}", table.schema),
        _count(own, comes),
    )


def _difference(table: Table) -> str:
    """Rows of which one side has no equal: those of the new one, and the keys of the old one."""
    columns = ", ".join(f'n."{column}"' for column in table.columns)
    was = ", ".join(f'o."{column}" as "was_{column}"' for column in table.key)
    same = " and ".join(f'n."{c}" is not distinct from o."{c}"' for c in table.key)
    rest = [column for column in table.columns if column not in table.key]
    missing = [f'{side}."{table.required[0]}" is null' for side in ("n", "o")]
    differs = " or ".join([*missing, *(f'n."{c}" is distinct from o."{c}"' for c in rest)])
    return (
        f"select {columns}, {was} from {table.name}_new n full join {table.name}_old o on {same} "
        f"where {differs}"
    )


@dataclass(frozen=True)
class DailyTraffic:
    """The table `daily_traffic` of a state, by the days of a time zone."""

    now: Snapshot
    time_zone: str
    schema: pa.Schema

    def read(self) -> Batches:
        """All of its rows."""
        return self._rows(self.now, "from daily_traffic")

    def change(self, own: duckdb.DuckDBPyConnection, before: Snapshot) -> Change | None:
        """The days whose clicks have changed: they go, and come anew."""
        days = self._changed(own, before)
        if not days:
            return None
        # A day of another time zone than UTC may be of two months.
        beyond = timedelta(days=0 if self.time_zone == "UTC" else 1)
        months = {((d + by).year, (d + by).month) for d in days for by in (-beyond, beyond)}
        clicks = _only(self.now, CLICKSTREAM, self.now.manifest.files(CLICKSTREAM.name, months))
        key = pa.schema([self.schema.field("day")])
        gone = pa.RecordBatch.from_arrays([pa.array(days, pa.date32())], schema=key)
        wanted = ", ".join(f"date '{day}'" for day in days)
        query = f"from daily_traffic where day in ({wanted})"
        return Change(key, lambda: iter([gone]), lambda: self._rows(clicks, query))

    def _changed(self, own: duckdb.DuckDBPyConnection, before: Snapshot) -> list[date]:
        old, new = _apart(before, self.now, CLICKSTREAM), _apart(self.now, before, CLICKSTREAM)
        if not old and not new:
            return []
        sql.show(own, "clicks_old", CLICKSTREAM, _only(before, CLICKSTREAM, old))
        sql.show(own, "clicks_new", CLICKSTREAM, _only(self.now, CLICKSTREAM, new))
        counted = "hash(host, is_bot, anonymous_user_id, session_id)"
        day = sql.day("time", self.time_zone)
        digests = [
            f"select {day} as day, sum({counted}) as digest, count(*) as n from {name} group by all"
            for name in ("clicks_old", "clicks_new")
        ]
        rows = own.execute(
            f"select day from ({digests[0]}) o full join ({digests[1]}) n using (day) "
            "where (o.digest, o.n) is distinct from (n.digest, n.n) order by day"
        )
        return [day for (day,) in rows.fetchall()]

    def _rows(self, clicks: Snapshot, query: str) -> Batches:
        with closing(sql.connect(clicks, MEMORY_MB, self.time_zone)) as connection:
            for batch in connection.sql(query).to_arrow_reader(BATCH_ROWS):
                yield batch.cast(self.schema)


def matching(key: pa.Schema, rows: str, gone: str) -> str:
    """The SQL condition that a row has the key of one that goes."""
    return " and ".join(f'{rows}."{name}" = {gone}."{name}"' for name in key.names)


def of_few(read: Read, key: pa.Schema, _: duckdb.DuckDBPyConnection, __: Snapshot) -> Change:
    """Of a small table that only grows: its rows go, and come again."""
    return Change(key, lambda: (batch.select(key.names) for batch in read()), read)


def _apart(one: Snapshot, other: Snapshot, table: Table) -> list[LiveFile]:
    """The files of a table that only one state has. A file never changes under its name."""
    known = set(other.live(table.name))
    return [file for file in one.live(table.name) if file not in known]


def _only(state: Snapshot, table: Table, files: Sequence[LiveFile]) -> Snapshot:
    return Snapshot(state.storage, replace(state.manifest, tables={table.name: tuple(files)}))


def _count(own: duckdb.DuckDBPyConnection, rows: str) -> int:
    return int(own.execute(f"select count(*) from {rows}").fetchall()[0][0])


def _reading(own: duckdb.DuckDBPyConnection, query: str, schema: pa.Schema) -> Read:
    def read() -> Batches:
        for batch in own.sql(query).to_arrow_reader(BATCH_ROWS):
            yield batch.cast(schema)

    return read
