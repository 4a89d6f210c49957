"""The lake in SQL: a DuckDB connection with one view for each table of a snapshot."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import fs

from clicklake.lake.snapshot import Snapshot
from clicklake.schemas import PARTITIONS, TABLES, Table
from clicklake.storage import arrow_s3

if TYPE_CHECKING:
    import duckdb
    import pyarrow.dataset as ds


DUCKDB_TYPES = {
    pa.int64(): "bigint",
    pa.int32(): "integer",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    pa.string(): "varchar",
    pa.date32(): "date",
    pa.timestamp("us", tz="UTC"): "timestamptz",
}

# Filled with what `day` gives.
_DAILY_TRAFFIC = """
select
    {day} as day,
    host,
    count(*) filter (not is_bot) as views,
    count(distinct anonymous_user_id) filter (not is_bot) as visitors,
    count(distinct session_id) filter (not is_bot) as sessions,
    count(*) filter (is_bot) as bot_views,
    count(distinct anonymous_user_id) filter (is_bot) as bot_visitors,
    count(distinct session_id) filter (is_bot) as bot_sessions
from clickstream
group by all
order by all
""".strip()


def day(column: str, time_zone: str) -> str:
    """The day of a time in a time zone, whatever the time zone of the connection is."""
    if time_zone == "UTC":
        return f"make_timestamp(epoch_us({column}))::date"
    return f"timezone({_quoted(time_zone)}, {column})::date"


def connect(
    snapshot: Snapshot, memory_mb: int = 0, time_zone: str = "UTC"
) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory that knows all tables of the lake, and `daily_traffic`.

    `memory_mb` bounds its memory (0: DuckDB's default); what does not fit goes to the system's
    folder for temporary files. `time_zone`: whose days `daily_traffic` counts by. Close it after
    use.
    """
    connection = opened(memory_mb)
    for table in TABLES.values():
        show(connection, table.name, table, snapshot)
    daily_traffic = _DAILY_TRAFFIC.format(day=day("time", time_zone))
    connection.execute(f"create view daily_traffic as {daily_traffic}")
    return connection


def opened(memory_mb: int = 0) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory that knows nothing yet; see `connect`."""
    import duckdb

    connection = duckdb.connect()
    spill = Path(tempfile.gettempdir()) / f"clicklake-duckdb-{os.getpid()}"
    connection.execute(f"set temp_directory = {_quoted(str(spill))}")
    connection.execute("set timezone = 'UTC'")
    if memory_mb:
        connection.execute(f"set memory_limit = '{memory_mb}MB'")
    return connection


def show(
    connection: duckdb.DuckDBPyConnection, name: str, table: Table, snapshot: Snapshot
) -> None:
    """Make a table of a snapshot known by a name."""
    files, schema = snapshot.files(table.name), snapshot.schema(table)
    if is_local(files):
        connection.execute(f"create view {name} as {select_files(table, files, schema)}")
    else:
        connection.register(name, dataset(table, files, schema))


def with_partitions(table: Table, schema: pa.Schema | None = None) -> pa.Schema:
    """All columns of a table, those of its folders' names at the end.

    `schema`: its data columns, where its files have others than its declaration.
    """
    return pa.schema([*(schema or table.schema), *_folders(table)])


def _folders(table: Table) -> pa.Schema:
    return pa.schema([PARTITIONS.field(name) for name in table.partitions])


def dataset(table: Table, files: list[str], schema: pa.Schema | None = None) -> ds.Dataset:
    """Exactly these files of a table, local or on S3, as an Arrow dataset."""
    import pyarrow.dataset as ds  # brings pandas along, half a second

    folders = ds.partitioning(_folders(table), flavor="hive")
    filesystem: fs.FileSystem = fs.LocalFileSystem()
    if not is_local(files):
        filesystem = arrow_s3()
    return ds.dataset(
        [file.removeprefix("s3a://") for file in files],
        with_partitions(table, schema),
        format="parquet",
        filesystem=filesystem,
        partitioning=folders,
    )


def is_local(files: list[str]) -> bool:
    """Whether DuckDB itself can open the files: for S3 it needs an extension to be downloaded."""
    return not any("://" in file for file in files)


def select_files(table: Table, files: list[str], schema: pa.Schema | None = None) -> str:
    """A query over exactly these local Parquet files of a table; none gives no rows."""
    all_columns = with_partitions(table, schema)
    if not files:
        columns = ", ".join(f'null::{DUCKDB_TYPES[f.type]} as "{f.name}"' for f in all_columns)
        return f"select {columns} where false"
    columns = ", ".join(f'"{name}"' for name in all_columns.names)
    paths = ", ".join(_quoted(_literal(file)) for file in files)
    partitions = ", ".join(f"{field.name}: {DUCKDB_TYPES[field.type]}" for field in _folders(table))
    hive = f"hive_types = {{{partitions}}}" if partitions else "hive_partitioning = false"
    return f"select {columns} from read_parquet([{paths}], {hive})"


def _literal(path: str) -> str:
    """A path that DuckDB does not take for a pattern."""
    return re.sub(r"([*?\[])", r"[\1]", path)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
