"""`user_page_views`: how often each user has viewed each page, and when last."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from chispa import assert_df_equality
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_schema

from clicklake.engines import Engine
from clicklake.rules import page_views
from clicklake.schemas import PAGE_VIEWS, USER_PAGE_VIEWS, USERS

T = datetime(2018, 4, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ANN = (1, "ann@x.y", None, T, T)
VIEWS = [(T, 1, "/a"), (T + HOUR, 1, "/a"), (T, 1, "/b"), (T, 2, "/a")]
COUNTED = [
    (1, "ann@x.y", "/a", 2, T + HOUR),
    (1, "ann@x.y", "/b", 1, T),
    (2, None, "/a", 1, T),  # no update of theirs: no address
]


def _frame(engine: Engine, rows: list[tuple], table: object) -> DataFrame:
    return engine.session.createDataFrame(rows, from_arrow_schema(table.schema))


def _same(engine: Engine, found: DataFrame, expected: list[tuple]) -> None:
    wanted = _frame(engine, expected, USER_PAGE_VIEWS)
    assert_df_equality(
        found, wanted, ignore_row_order=True, ignore_nullable=True, ignore_metadata=True
    )


def test_views_are_counted(sail: Engine) -> None:
    people, views = _frame(sail, [ANN], USERS), _frame(sail, VIEWS, PAGE_VIEWS)
    _same(sail, page_views.by_user_and_url(views, people), COUNTED)


@pytest.mark.parametrize("cut", range(5))
def test_new_views_are_added(sail: Engine, cut: int) -> None:
    people = _frame(sail, [ANN], USERS)
    before = page_views.by_user_and_url(_frame(sail, VIEWS[:cut], PAGE_VIEWS), people)
    added = _frame(sail, VIEWS[cut:], PAGE_VIEWS)
    touched = added.select("user_id").distinct()
    _same(sail, page_views.renewed(before, added, people, touched), COUNTED)


def test_a_new_address_reaches_all_rows_of_a_user(sail: Engine) -> None:
    before = _frame(sail, COUNTED, USER_PAGE_VIEWS)
    people = _frame(sail, [(1, "new@x.y", None, T, T)], USERS)
    touched = _frame(sail, [ANN], USERS).select("user_id")
    found = page_views.renewed(before, _frame(sail, [], PAGE_VIEWS), people, touched)
    expected = [(user, "new@x.y" if user == 1 else None, *rest) for user, _, *rest in COUNTED]
    _same(sail, found, expected)


@pytest.mark.spark
def test_on_spark(spark: Engine) -> None:
    people, views = _frame(spark, [ANN], USERS), _frame(spark, VIEWS, PAGE_VIEWS)
    _same(spark, page_views.by_user_and_url(views, people), COUNTED)
