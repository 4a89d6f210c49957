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
_DIGITS = 19  # of a time in microseconds with `_PLACE` before it

# What a session has from its first event, and the types.
_FIRST = {
    "anonymous_user_id": "string",
    "started_at": "timestamp",
    "landing_path": "string",
    "utm_source": "string",
    "utm_medium": "string",
    "utm_campaign": "string",
    "browser": "string",
    "os": "string",
}

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
    """`sessions` of labelled events: one row each, with its first and last event's columns.

    The first events are stacked upon all events and grouped with them, as a join would hold a
    whole side of it in memory.
    """
    nothing = [F.lit(None).cast(kind).alias(name) for name, kind in _FIRST.items()]
    counted = [F.lit(1).alias("events"), _time_and_url().alias("_last"), F.col("is_bot")]
    uncounted = [F.lit(0).alias("events"), F.lit("").alias("_last"), F.lit(False).alias("is_bot")]
    firsts = _first_events(clickstream, buckets).select("session_id", *uncounted, *_FIRST)
    sessions = (
        clickstream.select("session_id", *counted, *nothing)
        .unionByName(firsts)
        .groupBy("session_id")
        .agg(
            F.sum("events").cast("bigint").alias("events"),
            *(F.max(name).alias(name) for name in ("_last", "is_bot", *_FIRST)),
        )
    )
    return sessions.select(
        "*",
        _time_of("_last").alias("ended_at"),
        _path(_url_of("_last")).alias("exit_path"),
    ).select(*SESSIONS.columns)


def _time_and_url() -> Column:
    """One text that sorts by time, then URL."""
    return F.concat((F.unix_micros("time") + int(_PLACE)).cast("string"), F.col("url"))


def _time_of(time_and_url: str) -> Column:
    digits = F.substring(F.col(time_and_url), 1, _DIGITS)
    return F.timestamp_micros(digits.cast("bigint") - int(_PLACE))


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
            *("session_id", "anonymous_user_id"),
            F.col("time").alias("started_at"),
            F.col("path").alias("landing_path"),
            *("utm_source", "utm_medium", "utm_campaign", "browser", "os"),
            is_first.alias("_is_first"),
        )
        .where("_is_first")
        .drop("_is_first")
    )
