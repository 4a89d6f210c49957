"""Ask the lake: SQL in, an answer of one state of the lake out.

DuckDB reads the files that the manifest lists. If a run replaces those files meanwhile, the
question is asked again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import duckdb
import pyarrow as pa

from clicklake import lake, schemas
from clicklake.config import Config
from clicklake.derive.fields import meaning
from clicklake.errors import ClicklakeError, ConfigError
from clicklake.lake import sql
from clicklake.lake.metrics import committed
from clicklake.publish.tables import DAILY_TRAFFIC, RUNS, runs_batch
from clicklake.storage import Storage

ATTEMPTS = 3
BATCH_ROWS = 1 << 14
T = TypeVar("T")

# The question for `--tables`. What is computed when it is asked for has no rows to count.
TABLES = """
select c.table_name as "table", r.rows, string_agg(column_name || ' ' || lower(data_type), ', '
    order by ordinal_position) as columns
from information_schema.columns c left join rows_of_tables r on c.table_name = r.name
where c.table_name not in ('rows_of_tables', 'meanings')
group by all order by c.table_name
"""


def columns_of(table: str) -> str:
    """The question for a table's columns, with their types and what they mean.

    Raises ConfigError if there is no such table.
    """
    if table not in _DESCRIBED:
        raise ConfigError(f"{table}: no such table. There are {', '.join(sorted(_DESCRIBED))}.")
    return _COLUMNS.replace("TABLE", table)


_COLUMNS = """
select c.column_name as "column", lower(c.data_type) as type, m.meaning
from information_schema.columns c
left join meanings m on m.name = c.table_name and m.column_name = c.column_name
where c.table_name = 'TABLE' order by c.ordinal_position
"""
_DESCRIBED = {table.name: sql.with_partitions(table) for table in schemas.TABLES.values()}
_DESCRIBED |= {"daily_traffic": DAILY_TRAFFIC, "runs": RUNS}


@dataclass(frozen=True)
class Target:
    """Which lake is asked; which state of it, if not the present one."""

    storage: Storage
    config: Config
    run_id: str | None = None
    as_of: datetime | None = None

    def snapshot(self) -> lake.Snapshot:
        return lake.snapshot(self.storage, self.run_id, self.as_of)


def ask(target: Target, question: str, use: Callable[[pa.RecordBatchReader], T]) -> T:
    """What `use` makes of the answer; it is called again if the lake changes meanwhile.

    Raises ConfigError if the question is wrong, with the place in it.
    """
    for attempt in range(ATTEMPTS):
        snapshot = target.snapshot()
        if not snapshot.run_id:
            raise lake.no_lake(target.storage.root)
        try:
            with closing(_connect(target, snapshot)) as connection:
                return use(_answer(connection, question))
        except (duckdb.Error, pa.ArrowException, FileNotFoundError) as error:
            changed = target.snapshot().seq != snapshot.seq
            if not changed or attempt + 1 == ATTEMPTS:
                raise _explained(error) from None
    raise AssertionError("unreachable")


def _connect(target: Target, snapshot: lake.Snapshot) -> duckdb.DuckDBPyConnection:
    settings = target.config
    connection = sql.connect(snapshot, settings.job.memory_mb, settings.report.time_zone)
    runs = runs_batch([run for run in committed(target.storage) if run.seq <= snapshot.seq])
    connection.register("runs", pa.Table.from_batches([runs]))
    counts = {name: snapshot.rows(name) for name in schemas.TABLES} | {"runs": runs.num_rows}
    named = pa.table({"name": list(counts), "rows": list(counts.values())})
    connection.register("rows_of_tables", named)
    meanings = [(name, f.name, meaning(f)) for name, fields in _DESCRIBED.items() for f in fields]
    columns = map(pa.array, zip(*meanings, strict=True))
    connection.register("meanings", pa.table(list(columns), ["name", "column_name", "meaning"]))
    return connection


def _answer(connection: duckdb.DuckDBPyConnection, question: str) -> pa.RecordBatchReader:
    try:
        answer = connection.sql(question)
    except duckdb.ProgrammingError:
        connection.execute(question)  # fails in the same way, and tells the place as well
        raise
    if answer is None:  # a statement without an answer
        return pa.RecordBatchReader.from_batches(pa.schema([]), [])
    return answer.to_arrow_reader(BATCH_ROWS)


def _explained(error: Exception) -> ClicklakeError:
    if isinstance(error, duckdb.Error) and not isinstance(error, duckdb.OperationalError):
        return ConfigError(str(error))
    return ClicklakeError(f"the lake could not be read: {error}")
