"""What visitors did: sessions, bounces and times, who is new, campaigns and landing pages.

A session bounces if it has one event. A visitor is new on the day of the first session that is
known of it. Bots are left out. Days are those of the report's time zone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from clicklake.lake import sql
from clicklake.report import masks

if TYPE_CHECKING:
    import duckdb

_DAYS = """
select {day}, count(*), count(*) filter (events = 1)
from sessions where not is_bot and {shown} group by 1
"""
_TIMES = """
select count(*), count(*) filter (events = 1), sum(events),
    median(epoch_us(ended_at) - epoch_us(started_at)) filter (events > 1) / 60e6,
    quantile_cont(epoch_us(ended_at) - epoch_us(started_at), 0.9) filter (events > 1) / 60e6
from sessions where not is_bot and {shown}
"""
_VISITORS = """
with days as (
    select distinct anonymous_user_id, {day} as day, {shown} as is_shown
    from sessions where not is_bot
),
numbered as (
    select day, is_shown, day = min(day) over (partition by anonymous_user_id) as is_new from days
)
select day, count(*) filter (is_new), count(*) filter (not is_new)
from numbered where is_shown group by 1
"""
_CAMPAIGNS = """
select utm_source, utm_medium, utm_campaign, count(*), count(*) filter (events = 1), sum(events)
from sessions
where not is_bot and {shown} and coalesce(utm_source, utm_medium, utm_campaign) is not null
group by 1, 2, 3 order by 4 desc, 1, 2, 3 limit 15
"""
_LANDINGS = """
select landing_path, count(*), count(*) filter (events = 1), sum(events)
from sessions where not is_bot and {shown} group by 1 order by 2 desc, 1 limit 10
"""


@dataclass(frozen=True)
class Sessions:
    """Sessions of one kind; `name`: what they have in common."""

    name: tuple[str, ...]
    sessions: int
    bounced: int
    events: int


@dataclass(frozen=True)
class Visitors:
    """By day: `sessions`, of which `bounced`; visitors who are `new`, and who are `returning`.

    In all: the `total`, and the minutes of the `usual` (median) and of a `long` session (the 90th
    percentile) of more than one event; None where there is none.
    """

    sessions: Mapping[date, int] = field(default_factory=dict)
    bounced: Mapping[date, int] = field(default_factory=dict)
    new: Mapping[date, int] = field(default_factory=dict)
    returning: Mapping[date, int] = field(default_factory=dict)
    total: Sessions = Sessions((), 0, 0, 0)
    usual: float | None = None
    long: float | None = None
    campaigns: tuple[Sessions, ...] = ()
    landings: tuple[Sessions, ...] = ()


def gather(
    connection: duckdb.DuckDBPyConnection, months: list[tuple[int, int]], time_zone: str
) -> Visitors:
    """Of the sessions of some months (UTC); the connection knows these and earlier ones."""
    shown = ", ".join(map(str, months))
    words = {"day": sql.day("started_at", time_zone), "shown": f"(year, month) in ({shown})"}

    def ask(query: str) -> list[tuple]:
        return connection.execute(query.format(**words)).fetchall()

    days, visitors = ask(_DAYS), ask(_VISITORS)
    [(sessions, bounced, events, usual, long)] = ask(_TIMES)
    return Visitors(
        sessions={day: count for day, count, _ in days},
        bounced={day: count for day, _, count in days},
        new={day: count for day, count, _ in visitors},
        returning={day: count for day, _, count in visitors},
        total=Sessions((), sessions, bounced, events or 0),
        usual=usual,
        long=long,
        campaigns=tuple(
            Sessions(tuple(masks.hide_private(name or "–") for name in names), *counts)
            for *names, counts in ((*row[:3], row[3:]) for row in ask(_CAMPAIGNS))
        ),
        landings=tuple(
            Sessions((masks.hide_private(path or ""),), *counts) for path, *counts in ask(_LANDINGS)
        ),
    )
