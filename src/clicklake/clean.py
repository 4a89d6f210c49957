"""Deduplication: rows whose keys are equal, nulls included, are one row."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame, WindowSpec
from pyspark.sql import functions as F

from clicklake.schemas import Table


def with_month(rows: DataFrame, time: str) -> DataFrame:
    """Adds `year` and `month` of a time, as the folders have them."""
    return rows.select("*", F.year(time).alias("year"), F.month(time).alias("month"))


def distinct_rows(rows: DataFrame, table: Table) -> DataFrame:
    """The distinct rows of a table whose key is all of its columns."""
    return rows.select(*table.columns).dropDuplicates()


def drop_repeats(rows: DataFrame, key: Sequence[str], order: WindowSpec) -> DataFrame:
    """Drops every row whose key equals that of the row before.

    `order` must bring equal keys together; one sort then serves this step and the next.
    """
    repeats: Column = reduce(
        lambda both, one: both & one,
        [F.col(name).eqNullSafe(F.lag(name).over(order)) for name in key],
    )
    numbered = F.row_number().over(order)
    marked = rows.select("*", ((numbered > 1) & repeats).alias("_repeats"))
    return marked.where(~F.col("_repeats")).drop("_repeats")
