"""A lake, opened for questions in SQL, on the engine of your choice.

>>> lake = open_lake("s3a://bucket/lake")                            # doctest: +SKIP
>>> lake.sql("select url, count from user_page_views limit 5")       # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import pyarrow as pa

from clicklake import config, engines
from clicklake.errors import ConfigError
from clicklake.lake import Snapshot, open_snapshot, partition_values, sql
from clicklake.schemas import TABLES, Table
from clicklake.storage import is_s3

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame, SparkSession

ENGINES = ("duckdb", "sail", "spark")


@dataclass(frozen=True)
class OpenLake:
    """All tables of a lake as one run left them; later runs do not show until it is reopened.

    `time_zone`: what `cast(time as date)` and the like go by. Tables themselves are in UTC.
    """

    snapshot: Snapshot
    time_zone: str
    engine: str
    query: Callable[[str], pa.Table]
    close: Callable[[], None]

    def sql(self, text: str) -> pd.DataFrame:
        """The rows of a query as a pandas table; times and their days are those of `time_zone`.

        Every table of the lake is there by its name; one that has no rows yet is empty.
        """
        return _whole_numbers(self.query(text)).to_pandas(date_as_object=False)

    def tables(self) -> pd.DataFrame:
        """What there is: each table's rows, megabytes, files and columns."""
        import pandas as pd

        manifest = self.snapshot.manifest
        return pd.DataFrame(
            [
                {
                    "table": table.name,
                    "rows": self.snapshot.rows(table.name),
                    "MB": sum(file.bytes for file in manifest.files(table.name)) / 1e6,
                    "files": len(manifest.files(table.name)),
                    "columns": ", ".join((*table.columns, *table.partitions)),
                }
                for table in TABLES.values()
            ]
        )


def open_lake(
    place: str | None = None, engine: str = "duckdb", time_zone: str | None = None
) -> OpenLake:
    """Open a lake: a folder or s3a://bucket/prefix; None is OUTPUT_DATA of `dl.cfg`.

    `engine`: "duckdb" needs nothing else, "sail" and "spark" speak Spark SQL. `time_zone`: whose
    days count; None is TIME_ZONE of `dl.cfg`.
    Raises InputError where there is no lake, ConfigError for another engine.
    """
    if engine not in ENGINES:
        raise ConfigError(f'"{engine}" is no engine; take one of {", ".join(ENGINES)}.')
    settings = config.load() if place is None or time_zone is None else config.Config()
    place = place or settings.datalake.output_data
    zone = time_zone or settings.report.time_zone
    found = open_snapshot(place)
    if engine == "duckdb":
        connection = sql.connect(found, time_zone=zone)
        connection.execute("set timezone = ?", [zone])
        # So that questions about spans of time are the same on every engine.
        connection.execute("create macro unix_timestamp(time) as epoch(time)::bigint")
        return OpenLake(
            found,
            zone,
            engine,
            lambda text: connection.sql(text).to_arrow_table(),
            connection.close,
        )
    return _on_spark(found, engine, zone)


def _on_spark(found: Snapshot, name: str, zone: str) -> OpenLake:
    running = engines.start(name, uses_s3=is_s3(found.storage.root))
    running.session.conf.set("spark.sql.session.timeZone", zone)
    for table in TABLES.values():
        _rows(running.session, found, table, zone).createOrReplaceTempView(table.name)
    return OpenLake(
        found, zone, name, lambda text: running.session.sql(text).toArrow(), running.stop
    )


def _rows(session: SparkSession, found: Snapshot, table: Table, zone: str) -> DataFrame:
    """A table with its partition columns, which Sail does not take from the names of folders.

    Months, which are those of UTC, follow from a time only where `zone` is UTC.
    """
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F
    from pyspark.sql.pandas.types import from_arrow_schema

    from clicklake.rules.distinct import with_month

    schema = found.schema(table)
    columns = from_arrow_schema(schema)
    if not found.files(table.name):
        return session.createDataFrame([], from_arrow_schema(sql.with_partitions(table)))
    if table.time and zone == "UTC":
        rows = session.read.schema(columns).parquet(*found.files(table.name))
        months = [F.col(name).cast("bigint") for name in table.partitions]
        return with_month(rows, table.time).select(*schema.names, *months)
    folders: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for file in found.live(table.name):
        values = tuple(partition_values(file.path).items())
        folders.setdefault(values, []).append(found.storage.uri(found.path(file.path)))
    parts = [
        session.read.schema(columns)
        .parquet(*files)
        .select("*", *(F.lit(value).alias(name) for name, value in values))
        for values, files in folders.items()
    ]
    return reduce(DataFrame.unionByName, parts)


def _whole_numbers(rows: pa.Table) -> pa.Table:
    """DuckDB's sums of whole numbers have 128 bits, which pandas knows as objects only."""
    schema = pa.schema(
        [
            field.with_type(pa.int64())
            if pa.types.is_decimal(field.type) and field.type.scale == 0
            else field
            for field in rows.schema
        ]
    )
    return rows.cast(schema)
