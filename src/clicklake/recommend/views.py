"""From `user_page_views` to numbered interactions, on the engine."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from clicklake.recommend.interactions import Weighting
from clicklake.recommend.urls import canonical_url


def page_forms(views: DataFrame) -> DataFrame:
    """Every spelling of every page: url, page (canonical URL), page_key, views.

    `page_key` is the canonical URL's 64-bit hash: a million pages share one with a chance of
    1 in 30 million.
    """
    urls = views.groupBy("url").agg(F.sum("count").alias("views"))
    pages = urls.withColumn("page", canonical_url(F.col("url")))
    return pages.withColumn("page_key", F.xxhash64("page"))


def interactions(views: DataFrame) -> DataFrame:
    """One row for each user and page: user_id, page_key, views, last_viewed (microseconds)."""
    keys = page_forms(views).select("url", "page_key")
    return (
        # Sail holds the left side of a join in memory.
        keys.join(views, on="url", how="inner")
        .groupBy("user_id", "page_key")
        .agg(
            F.sum("count").alias("views"),
            F.max(F.unix_micros("last_viewed")).alias("last_viewed"),
        )
    )


def catalogue(views: DataFrame, pairs: DataFrame) -> DataFrame:
    """One row for each page: page_key, page, url (its commonest spelling), users, last_viewed.

    `pairs`: the result of `interactions`. Of equally common spellings the least counts.
    """
    commonest = F.min(F.struct(-F.col("views"), F.col("url")))
    display = (
        page_forms(views)
        .groupBy("page_key")
        .agg(F.min("page").alias("page"), commonest.alias("form"))
        .select("page_key", "page", F.col("form.url").alias("url"))
    )
    support = pairs.groupBy("page_key").agg(
        F.count("*").alias("users"), F.max("last_viewed").alias("last_viewed")
    )
    return support.join(display, on="page_key", how="inner")


def histories(users: DataFrame, pairs: DataFrame) -> DataFrame:
    """One row for each user, with or without views: user_id, email, history.

    `history` holds structs of page_key, views and last_viewed in no order, or is null.
    """
    history = F.collect_list(F.struct("page_key", "views", "last_viewed"))
    viewed = pairs.groupBy("user_id").agg(history.alias("history"))
    return users.select("user_id", "email").join(viewed, on="user_id", how="full_outer")


def weighted(pairs: DataFrame, pages: DataFrame, weighting: Weighting) -> DataFrame:
    """Rows of user_id, page and weight, the latter as `weighting` has it.

    `pages` numbers the pages of the catalogue: page_key, page. Others are left out.
    """
    weight = F.lit(1.0)
    if weighting.kind == "log":
        weight = F.log2(1 + F.least("views", F.lit(weighting.cap)))
    if weighting.half_life_days:
        age = (F.lit(weighting.now) - F.col("last_viewed")) / weighting.half_life
        weight = F.greatest(weight * F.pow(F.lit(0.5), age), F.lit(weighting.least))
    known = pairs.join(F.broadcast(pages), on="page_key", how="inner")
    return known.select("user_id", "page", weight.alias("weight"))
