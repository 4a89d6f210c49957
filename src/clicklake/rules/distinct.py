"""Deduplication: rows whose keys are equal, nulls included, are one row."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from clicklake.schemas import Table


def with_month(rows: DataFrame, time: str) -> DataFrame:
    """Adds `year` and `month` of a time, as the folders have them."""
    return rows.select("*", F.year(time).alias("year"), F.month(time).alias("month"))


def distinct_rows(rows: DataFrame, table: Table) -> DataFrame:
    """The distinct rows of a table whose key is all of its columns."""
    return rows.select(*table.columns).dropDuplicates()


def apart(rows: DataFrame, touched: DataFrame) -> tuple[DataFrame, DataFrame]:
    """The rows of users who are `touched` (user_id, each once), and those of all others."""
    marked = touched.select("user_id", F.lit(True).alias("_touched"))
    # Sail holds the left side of a join in memory: here the few.
    rows = marked.join(rows, on="user_id", how="right")
    is_touched = F.col("_touched").isNotNull()
    return rows.where(is_touched).drop("_touched"), rows.where(~is_touched).drop("_touched")


def added(new: DataFrame, known: DataFrame, table: Table) -> DataFrame:
    """The distinct new rows that are not known, of a table whose key is all of its columns."""
    # Sail holds the left side of a join in memory: here the new rows.
    return distinct_rows(new, table).join(known, on=list(table.key), how="left_anti")
