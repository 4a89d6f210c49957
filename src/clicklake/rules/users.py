"""One row per user: the latest e-mail and name, and when they changed first and last."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from clicklake.rules.distinct import apart
from clicklake.schemas import USERS


def latest(user_updates: DataFrame) -> DataFrame:
    """`users` of all user_updates.

    E-mail and name are of the update that is greatest by (updated_at, email, name), a null name
    being the lowest.
    """
    return _latest(_states(user_updates))


def renewed(before: DataFrame, added: DataFrame) -> DataFrame:
    """`users` as it was before, with the user_updates that were `added` since."""
    theirs, kept = apart(before, added.select("user_id").distinct())
    renewed = _latest(theirs.unionByName(_states(added)))
    return kept.select(*USERS.columns).unionByName(renewed)


def _states(user_updates: DataFrame) -> DataFrame:
    """Each update as the row of a user who has no other."""
    time = F.col("updated_at")
    times = time.alias("first_updated_at"), time.alias("last_updated_at")
    return user_updates.select("user_id", "email", "name", *times)


def _latest(states: DataFrame) -> DataFrame:
    newest = Window.partitionBy("user_id").orderBy(
        F.col("last_updated_at").desc(), F.col("email").desc(), F.col("name").desc_nulls_last()
    )
    everything = Window.partitionBy("user_id")
    return (
        states.withColumn("first_updated_at", F.min("first_updated_at").over(everything))
        .withColumn("_rank", F.row_number().over(newest))
        .where(F.col("_rank") == 1)
        .select(*USERS.columns)
    )
