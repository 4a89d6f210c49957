"""Visits: the events of a visitor without a long pause between them.

The windows are partitioned by a hash bucket and ordered by visitor, not partitioned by visitor:
both engines spend more on a million small window partitions than on the rows in them.
"""

from __future__ import annotations

from decimal import Decimal
from functools import reduce

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from clicklake.parse.rows import CLICKS
from clicklake.schemas import CLICKSTREAM, SESSIONS

BUCKETS = 16

# A visitor's events are ordered by the rules' order; equal keys are neighbours in it.
_ORDER = ("anonymous_user_id", "time", "url", "browser", "os", "screen_resolution")
_MINUTE = 60
_PLACE = Decimal(10**18)  # above every time in microseconds
_DIGITS = 20  # of a time in microseconds, with room to spare

# The path of a URL, as `parse.urls` takes it (RFC 3986, appendix B).
_PATH = r"^(?:[^:/?#]+:)?(?://[^/?#]*)?([^?#]*)"


def label(
    clicks: DataFrame,
    *,
    gap_minutes: int,
    fast: DataFrame | None = None,
    carried: DataFrame | None = None,
    buckets: int = BUCKETS,
) -> DataFrame:
    """`clickstream` of parsed clicks: deduplicated, bots labelled, session ids given.

    `clicks`: columns `CLICKS`. `fast`: the minutes of visitors that were too fast (see
    `fast_minutes`). `carried`: events of months that are not computed anew, with the
    `_started_at` of their session, from which sessions go on into `clicks`; not in the result.
    """
    events = clicks.select(*CLICKS.names, F.lit(None).cast("timestamp").alias("_started_at"))
    if carried is not None:
        events = events.unionByName(carried.select(*CLICKS.names, "_started_at"))
    ordered = Window.partitionBy("_bucket").orderBy(*_ORDER)
    marked = _bucketed(events, buckets).select(
        "*",
        _repeats(ordered).alias("_repeats"),
        _session_opening(ordered, gap_minutes).alias("_opening"),
    )
    so_far = ordered.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    opening = F.max("_opening").over(so_far)
    start = F.timestamp_micros((opening % _PLACE).cast("bigint"))
    started = marked.select("*", start.alias("_start"))
    own = started.where(~F.col("_repeats") & F.col("_started_at").isNull())
    return _with_speed(own, fast).select(*_clickstream_columns())


def fast_minutes(clicks: DataFrame, bot_views_per_minute: int) -> DataFrame:
    """The minutes in which a visitor had too many events: anonymous_user_id, _minute.

    Repeated rows count once. Few minutes can be concerned, so only their rows are compared.
    """
    by_minute = ["anonymous_user_id", "_minute"]
    minutes = clicks.select(*_ORDER, _minute(F.col("time")).alias("_minute"))
    is_fast = F.col("count") > bot_views_per_minute
    suspects = minutes.groupBy(*by_minute).count().where(is_fast).select(*by_minute)
    distinct = minutes.join(suspects, on=by_minute, how="left_semi").distinct()
    return distinct.groupBy(*by_minute).count().where(is_fast).select(*by_minute)


def _minute(time: Column) -> Column:
    return F.floor(F.unix_seconds(time) / _MINUTE)


def _bucketed(events: DataFrame, buckets: int) -> DataFrame:
    bucket = F.pmod(F.xxhash64("anonymous_user_id"), F.lit(buckets))
    return events.select("*", bucket.alias("_bucket"))


def _repeats(ordered: WindowSpec) -> Column:
    """Whether the event's key equals that of the event before."""
    equal = [F.col(name).eqNullSafe(F.lag(name).over(ordered)) for name in _ORDER]
    return reduce(Column.__and__, equal)


def _session_opening(ordered: WindowSpec, gap_minutes: int) -> Column:
    """The start of the session that begins, or is carried on, with the event; null otherwise.

    The row's number stands before the microseconds, so that the latest is the greatest so far:
    a running maximum costs the same for every row, which `last(ignorenulls)` does not.
    """
    same_visitor = F.col("anonymous_user_id").eqNullSafe(F.lag("anonymous_user_id").over(ordered))
    pause = F.unix_micros("time") - F.unix_micros(F.lag("time").over(ordered))
    opens = ~same_visitor | F.coalesce(pause > gap_minutes * _MINUTE * 1_000_000, F.lit(True))
    start = F.coalesce(F.col("_started_at"), F.when(opens, F.col("time")))
    number = F.row_number().over(ordered).cast("decimal(12,0)")
    return number * F.lit(_PLACE) + F.unix_micros(start).cast("decimal(19,0)")


def _with_speed(events: DataFrame, fast: DataFrame | None) -> DataFrame:
    """Adds `_is_fast`."""
    if fast is None:
        return events.withColumn("_is_fast", F.lit(False))
    marked = fast.withColumn("_is_fast", F.lit(True))
    keyed = events.withColumn("_minute", _minute(F.col("time")))
    return keyed.join(
        F.broadcast(marked), on=["anonymous_user_id", "_minute"], how="left"
    ).withColumn("_is_fast", F.coalesce(F.col("_is_fast"), F.lit(False)))


def session_id(visitor: Column, started_at: Column) -> Column:
    """A session's name: its visitor and the microsecond of its start, nothing else."""
    return F.concat(visitor, F.lit("-"), F.unix_micros(started_at).cast("string"))


def started_at(session: Column) -> Column:
    """The start that a session's name holds."""
    return F.timestamp_micros(F.substring_index(session, "-", -1).cast("bigint"))


def _clickstream_columns() -> list[Column]:
    labels = {
        "is_bot": F.col("is_crawler") | F.col("_is_fast"),
        "bot_reason": F.when(F.col("is_crawler"), "agent").when(F.col("_is_fast"), "rate"),
        "session_id": session_id(F.col("anonymous_user_id"), F.col("_start")),
    }
    return [labels.get(name, F.col(name)).alias(name) for name in CLICKSTREAM.columns]


def summarize(clickstream: DataFrame, buckets: int = BUCKETS) -> DataFrame:
    """`sessions` of labelled events: one row each, with its first and last event's columns."""
    totals = clickstream.groupBy("session_id", "anonymous_user_id").agg(
        F.min("time").alias("started_at"),
        F.max("time").alias("ended_at"),
        F.count(F.lit(1)).alias("events"),
        F.max(_time_and_url()).alias("_last"),
        F.max("is_bot").alias("is_bot"),
    )
    firsts = _first_events(clickstream, buckets).withColumnRenamed("path", "landing_path")
    sessions = totals.join(firsts, on="session_id", how="inner")
    return sessions.withColumn("exit_path", _path(_url_of("_last"))).select(*SESSIONS.columns)


def _time_and_url() -> Column:
    """One text that sorts by time, then URL."""
    micros = F.lpad(F.unix_micros("time").cast("string"), _DIGITS, "0")
    return F.concat(micros, F.col("url"))


def _url_of(time_and_url: str) -> Column:
    return F.substring(F.col(time_and_url), _DIGITS + 1, 1 << 30)


def _path(url: Column) -> Column:
    path = F.regexp_extract(url, _PATH, 1)
    return F.when(path == "", "/").otherwise(path)


def _first_events(clickstream: DataFrame, buckets: int) -> DataFrame:
    """Each session's first event: of those at its start the first in order, nulls first."""
    named = session_id(F.col("anonymous_user_id"), F.col("time"))
    starting = clickstream.where(F.col("session_id") == named)
    order = Window.partitionBy("_bucket").orderBy("session_id", *_ORDER[2:])
    is_first = ~F.col("session_id").eqNullSafe(F.lag("session_id").over(order))
    return (
        _bucketed(starting, buckets)
        .select(
            "session_id",
            *("path", "utm_source", "utm_medium", "utm_campaign", "browser", "os"),
            is_first.alias("_is_first"),
        )
        .where("_is_first")
        .drop("_is_first")
    )
