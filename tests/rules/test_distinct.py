"""Equal rows are one, within what is new and against what is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from chispa import assert_df_equality
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_schema

from clicklake.engines import Engine
from clicklake.rules import distinct
from clicklake.schemas import PAGE_VIEWS

T = datetime(2018, 4, 1, tzinfo=UTC)
A, B, C = (T, 1, "/a"), (T, 1, "/b"), (T + timedelta(microseconds=1), 1, "/a")


def _views(engine: Engine, *rows: tuple) -> DataFrame:
    return engine.session.createDataFrame(list(rows), from_arrow_schema(PAGE_VIEWS.schema))


def _same(found: DataFrame, expected: DataFrame) -> None:
    assert_df_equality(
        found, expected, ignore_row_order=True, ignore_nullable=True, ignore_metadata=True
    )


def test_equal_rows_are_one(sail: Engine) -> None:
    found = distinct.distinct_rows(_views(sail, A, B, A, C), PAGE_VIEWS)
    _same(found, _views(sail, A, B, C))


@pytest.mark.parametrize(
    "new, known, expected",
    [((A, B), (A,), (B,)), ((B, B), (A,), (B,)), ((A,), (A, B), ()), ((C,), (A,), (C,))],
)
def test_what_is_known_is_not_new(sail: Engine, new: tuple, known: tuple, expected: tuple) -> None:
    found = distinct.added(_views(sail, *new), _views(sail, *known), PAGE_VIEWS)
    _same(found, _views(sail, *expected))


def test_users_who_are_touched_are_told_apart(sail: Engine) -> None:
    rows = _views(sail, A, (T, 2, "/a"))
    theirs, others = distinct.apart(rows, _views(sail, B).select("user_id"))
    _same(theirs.select(*PAGE_VIEWS.columns), _views(sail, A))
    _same(others.select(*PAGE_VIEWS.columns), _views(sail, (T, 2, "/a")))
