"""`users`: of each user the newest address and name, and when they were first and last seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from chispa import assert_df_equality
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_schema

from clicklake.engines import Engine
from clicklake.rules import users
from clicklake.schemas import USER_UPDATES, USERS

T = datetime(2018, 4, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)

Update = tuple[datetime, int, str, str | None]
User = tuple[int, str, str | None, datetime, datetime]


def _updates(engine: Engine, rows: list[Update]) -> DataFrame:
    return engine.session.createDataFrame(rows, from_arrow_schema(USER_UPDATES.schema))


def _same(engine: Engine, found: DataFrame, expected: list[User]) -> None:
    wanted = engine.session.createDataFrame(expected, from_arrow_schema(USERS.schema))
    assert_df_equality(
        found, wanted, ignore_row_order=True, ignore_nullable=True, ignore_metadata=True
    )


CASES: dict[str, tuple[list[Update], list[User]]] = {
    "the newest update counts": (
        [(T, 1, "old@x.y", "Old"), (T + HOUR, 1, "new@x.y", "New")],
        [(1, "new@x.y", "New", T, T + HOUR)],
    ),
    "of two at one time the greater address": (
        [(T, 1, "b@x.y", "A"), (T, 1, "a@x.y", "Z")],
        [(1, "b@x.y", "A", T, T)],
    ),
    "then the greater name": (
        [(T, 1, "a@x.y", "A"), (T, 1, "a@x.y", "B")],
        [(1, "a@x.y", "B", T, T)],
    ),
    "a null name is the lowest": (
        [(T, 1, "a@x.y", None), (T, 1, "a@x.y", "A")],
        [(1, "a@x.y", "A", T, T)],
    ),
    "a null name that is the newest stays": (
        [(T, 1, "a@x.y", "A"), (T + HOUR, 1, "a@x.y", None)],
        [(1, "a@x.y", None, T, T + HOUR)],
    ),
    "users are apart": (
        [(T, 1, "a@x.y", "A"), (T, 2, "a@x.y", "A")],
        [(1, "a@x.y", "A", T, T), (2, "a@x.y", "A", T, T)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_of_all_updates(sail: Engine, name: str) -> None:
    updates, expected = CASES[name]
    _same(sail, users.latest(_updates(sail, updates)), expected)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("cut", [0, 1, 2])
def test_of_what_they_were_and_what_is_new(sail: Engine, name: str, cut: int) -> None:
    updates, expected = CASES[name]
    before = users.latest(_updates(sail, updates[:cut]))
    _same(sail, users.renewed(before, _updates(sail, updates[cut:])), expected)


@pytest.mark.spark
def test_on_spark(spark: Engine) -> None:
    _same(spark, users.latest(_updates(spark, _all_updates())), _all_users())


def _all_updates() -> list[Update]:
    """All cases at once, each with users of its own."""
    return [
        (time, user + 10 * at, email, name)
        for at, (updates, _) in enumerate(CASES.values())
        for time, user, email, name in updates
    ]


def _all_users() -> list[User]:
    return [
        (user + 10 * at, *others)
        for at, (_, expected) in enumerate(CASES.values())
        for user, *others in expected
    ]
