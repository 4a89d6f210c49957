"""One row for each user and URL: how often and when last."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from clicklake.rules.distinct import apart
from clicklake.schemas import USER_PAGE_VIEWS

_COUNTS = ("user_id", "url", "count", "last_viewed")


def by_user_and_url(page_views: DataFrame, users: DataFrame) -> DataFrame:
    """`user_page_views` of all page_views; the e-mail is null for a user without an update."""
    return _counted(_single(page_views), users)


def renewed(before: DataFrame, added: DataFrame, users: DataFrame, touched: DataFrame) -> DataFrame:
    """`user_page_views` as it was before, with the page views that were `added` since.

    `touched`: user_id of all who have some or whose e-mail may be another, each once.
    """
    theirs, kept = apart(before, touched)
    counts = theirs.select(*_COUNTS).unionByName(_single(added))
    return kept.select(*USER_PAGE_VIEWS.columns).unionByName(_counted(counts, users))


def _single(page_views: DataFrame) -> DataFrame:
    """Each page view as a count of one."""
    count = F.lit(1).cast("bigint").alias("count")
    return page_views.select("user_id", "url", count, F.col("ts").alias("last_viewed"))


def _counted(counts: DataFrame, users: DataFrame) -> DataFrame:
    total = counts.groupBy("user_id", "url").agg(
        F.sum("count").alias("count"), F.max("last_viewed").alias("last_viewed")
    )
    emails = users.select("user_id", "email")
    # Sail holds the left side of a join in memory: users are fewer than what they have viewed.
    named = emails.join(total, on="user_id", how="right").select(*USER_PAGE_VIEWS.columns)
    return named.sortWithinPartitions("user_id")
