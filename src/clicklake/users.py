"""One row per user: the latest e-mail and name, and when they changed first and last."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from clicklake.schemas import USERS


def latest(user_updates: DataFrame) -> DataFrame:
    """`users` of all user_updates.

    E-mail and name are of the update that is greatest by (updated_at, email, name), a null name
    being the lowest.
    """
    newest = Window.partitionBy("user_id").orderBy(
        F.col("updated_at").desc(), F.col("email").desc(), F.col("name").desc_nulls_last()
    )
    everything = Window.partitionBy("user_id")
    return (
        user_updates.select(
            "user_id",
            "email",
            "name",
            F.min("updated_at").over(everything).alias("first_updated_at"),
            F.col("updated_at").alias("last_updated_at"),
            F.row_number().over(newest).alias("_rank"),
        )
        .where(F.col("_rank") == 1)
        .select(*USERS.columns)
    )
