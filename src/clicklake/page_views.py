"""One row for each user and URL: how often and when last."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from clicklake.schemas import USER_PAGE_VIEWS


def by_user_and_url(page_views: DataFrame, users: DataFrame) -> DataFrame:
    """`user_page_views` of all page_views; the e-mail is null for a user without an update."""
    counted = page_views.groupBy("user_id", "url").agg(
        F.count(F.lit(1)).alias("count"), F.max("ts").alias("last_viewed")
    )
    emails = users.select("user_id", "email")
    # Sail holds the left side of a join in memory.
    return emails.join(counted, on="user_id", how="right").select(*USER_PAGE_VIEWS.columns)


def renewed(
    before: DataFrame, page_views: DataFrame, users: DataFrame, touched: DataFrame
) -> DataFrame:
    """`user_page_views` as it was before, but for the `touched` users (user_id, each once)."""
    marked = touched.select("user_id", F.lit(True).alias("_touched"))
    # As above: the few users are on the left.
    kept = marked.join(before, on="user_id", how="right").where(F.col("_touched").isNull())
    theirs = marked.join(page_views, on="user_id").drop("_touched")
    columns = USER_PAGE_VIEWS.columns
    return kept.select(*columns).unionByName(by_user_and_url(theirs, users))
