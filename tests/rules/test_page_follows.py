"""The three pages that follow a page most often, and the counts of parts put together."""

from __future__ import annotations

from datetime import UTC, datetime

import duckdb
import pyarrow as pa
import pytest
from chispa import assert_df_equality
from pyspark.sql.pandas.types import from_arrow_schema

from clicklake.engines import Engine
from clicklake.rules import page_follows, page_steps
from clicklake.schemas import PAGE_FOLLOWS, PAGE_STEPS

APRIL, MAY = datetime(2018, 4, 1, tzinfo=UTC), datetime(2018, 5, 1, tzinfo=UTC)

# From /a 10 sessions go on: 5 to /b, 2 each to /c and /d, 1 to /e; of 20 in all, 4 go to /d.
STEPS = [
    ("/a", "/b", 3, APRIL),
    ("/a", "/b", 2, MAY),
    ("/a", "/c", 2, MAY),
    ("/a", "/d", 2, APRIL),
    ("/a", "/é", 1, APRIL),
    ("/b", "/d", 2, APRIL),
    ("/b", "/a", 4, APRIL),
    ("/c", "/b", 2, APRIL),
    ("/c", "/Z", 2, APRIL),
]
FOLLOWS = [
    ("/a", 1, "/b", 5, 0.5, 0.5 / (7 / 20)),
    ("/a", 2, "/d", 2, 0.2, 0.2 / (4 / 20)),  # more steps lead to /d than to /c
    ("/a", 3, "/c", 2, 0.2, 0.2 / (2 / 20)),
    ("/b", 1, "/a", 4, 4 / 6, 4 / 6 / (4 / 20)),
    ("/b", 2, "/d", 2, 2 / 6, 2 / 6 / (4 / 20)),
    ("/c", 1, "/b", 2, 0.5, 0.5 / (7 / 20)),
    ("/c", 2, "/Z", 2, 0.5, 0.5 / (2 / 20)),
]


def _check_follows(engine: Engine) -> None:
    steps = engine.session.createDataFrame(STEPS, from_arrow_schema(PAGE_STEPS.schema))
    steps.createOrReplaceTempView("page_steps")
    _same(engine, engine.session.sql(page_follows.QUERY), FOLLOWS, PAGE_FOLLOWS.schema)


def _check_merged(engine: Engine) -> None:
    """A step of one session in each of two parts is one of two; of one alone it is none."""
    parts = [("/a", "/b", 1, APRIL), ("/a", "/b", 1, APRIL), ("/a", "/c", 1, APRIL)]
    parts += [("/a", "/c", 1, MAY), ("/b", "/a", 3, MAY), ("/b", "/a", 4, MAY)]
    counts = engine.session.createDataFrame(parts, from_arrow_schema(PAGE_STEPS.schema))
    expected = [("/a", "/b", 2, APRIL), ("/b", "/a", 7, MAY)]
    _same(engine, page_steps.merged(counts), expected, PAGE_STEPS.schema)


def _same(engine: Engine, found: object, expected: list[tuple], schema: pa.Schema) -> None:
    wanted = engine.session.createDataFrame(expected, from_arrow_schema(schema))
    assert_df_equality(
        found, wanted, ignore_row_order=True, ignore_nullable=True, ignore_metadata=True
    )


def test_follows_on_sail(sail: Engine) -> None:
    _check_follows(sail)


def test_counts_of_parts_on_sail(sail: Engine) -> None:
    _check_merged(sail)


@pytest.mark.spark
def test_follows_on_spark(spark: Engine) -> None:
    _check_follows(spark)
    _check_merged(spark)


def test_follows_without_an_engine() -> None:
    """As forget-user makes them."""
    columns = list(zip(*STEPS, strict=True))
    steps = pa.table([*map(pa.array, columns, PAGE_STEPS.schema.types)], schema=PAGE_STEPS.schema)
    with duckdb.connect() as connection:
        connection.register("page_steps", steps)
        assert sorted(connection.execute(page_follows.QUERY).fetchall()) == sorted(FOLLOWS)
