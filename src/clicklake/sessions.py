"""Visits: the events of a visitor without a long pause between them."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from clicklake.clean import drop_repeats
from clicklake.parse.rows import CLICKS
from clicklake.schemas import CLICKSTREAM, SESSIONS

# The rules' order of a visitor's events. The minute goes first, which changes nothing, so that
# the frame of one minute needs no other sort.
_EVENT_ORDER = ("_minute", "time", "url", "browser", "os", "screen_resolution")
_MINUTE = 60


def label(
    clicks: DataFrame, *, gap_minutes: int, bot_views_per_minute: int, carried: DataFrame | None
) -> DataFrame:
    """`clickstream` of parsed clicks: deduplicated, bots labelled, session ids given.

    `clicks`: columns `CLICKS`. `carried`: events of months that are not computed anew, with the
    `_started_at` of their session, from which sessions go on into `clicks`; not in the result.
    """
    events = clicks.select(*CLICKS.names, F.lit(None).cast("timestamp").alias("_started_at"))
    if carried is not None:
        events = events.unionByName(carried.select(*CLICKS.names, "_started_at"))
    events = events.select("*", F.floor(F.unix_seconds("time") / _MINUTE).alias("_minute"))
    by_visitor = Window.partitionBy("anonymous_user_id").orderBy(*_EVENT_ORDER)
    distinct = drop_repeats(events, CLICKSTREAM.key, by_visitor)
    in_minute = Window.partitionBy("anonymous_user_id").orderBy("_minute").rangeBetween(0, 0)
    rated = distinct.select(
        *CLICKS.names,
        "_minute",
        "_started_at",
        (F.count(F.lit(1)).over(in_minute) > bot_views_per_minute).alias("_is_fast"),
        _pause(by_visitor).alias("_pause"),
    )
    started = rated.select("*", _session_start(by_visitor, gap_minutes).alias("_start"))
    own = started.where(F.col("_started_at").isNull())
    return own.select(*_clickstream_columns())


def _pause(by_visitor: WindowSpec) -> Column:
    """Microseconds since the visitor's event before; null for the first."""
    time = F.unix_micros("time")
    return time - F.lag(time).over(by_visitor)


def _session_start(by_visitor: WindowSpec, gap_minutes: int) -> Column:
    """When the event's session began. Starts only grow, so the greatest so far is the last."""
    so_far = by_visitor.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    opens = F.coalesce(F.col("_pause") > gap_minutes * _MINUTE * 1_000_000, F.lit(True))
    anchor = F.when(F.col("_started_at").isNotNull(), F.col("_started_at")).when(
        opens, F.col("time")
    )
    return F.max(anchor).over(so_far)


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


def summarize(clickstream: DataFrame) -> DataFrame:
    """`sessions` of labelled events: one row each, with its first and last event's columns."""
    order = Window.partitionBy("session_id").orderBy(
        "time", "url", "browser", "os", "screen_resolution"
    )
    backwards = Window.partitionBy("session_id").orderBy(F.col("time").desc(), F.col("url").desc())
    events = clickstream.select(
        "*",
        (F.row_number().over(order) == 1).alias("_first"),
        (F.row_number().over(backwards) == 1).alias("_last"),
    )
    of_first = {
        "landing_path": "path",
        **{name: name for name in ("utm_source", "utm_medium", "utm_campaign", "browser", "os")},
    }
    return (
        events.groupBy("session_id", "anonymous_user_id")
        .agg(
            F.min("time").alias("started_at"),
            F.max("time").alias("ended_at"),
            F.count(F.lit(1)).alias("events"),
            *[
                F.max(F.when(F.col("_first"), F.col(column))).alias(name)
                for name, column in of_first.items()
            ],
            F.max(F.when(F.col("_last"), F.col("path"))).alias("exit_path"),
            F.max("is_bot").alias("is_bot"),
        )
        .select(*SESSIONS.columns)
    )
