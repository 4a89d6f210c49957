"""The clickstream's months: which of them a run computes anew, and their sessions.

A session may reach over a month's border. Its events carry one session id, made of its start,
and it is counted in the month of its start. So beside the months that have new rows (`touched`)
- a following month is computed anew if a session that reaches into it now starts elsewhere;
- the sessions of a preceding month are, if one of them goes on into a month with new rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from clicklake import sessions
from clicklake.lake import LiveFile, Manifest, Month
from clicklake.parse import crawlers
from clicklake.parse.rows import CLICKS
from clicklake.schemas import CLICKSTREAM, SESSIONS
from clicklake.tables import Staged, Tables

_ASCII_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Rules:
    """The settings that labels and sessions depend on."""

    gap_minutes: int
    bot_views_per_minute: int

    @property
    def gap(self) -> timedelta:
        return timedelta(minutes=self.gap_minutes)


@dataclass(frozen=True)
class Rewrite:
    """Staged files of a table, and the live files that they replace."""

    staged: Staged
    removed: list[LiveFile]

    @property
    def months(self) -> set[Month]:
        return {*self.staged.months, *(file.month for file in self.removed if file.month)}

    @property
    def gaining(self) -> set[Month]:
        """The months that have gained rows."""
        balance: dict[Month | None, int] = {}
        for file in [file for _, file in self.staged.files]:
            balance[file.month] = balance.get(file.month, 0) + file.rows
        for file in self.removed:
            balance[file.month] = balance.get(file.month, 0) - file.rows
        return {month for month, rows in balance.items() if month and rows}

    def of(self, months: Iterable[Month]) -> Rewrite:
        """What is done to some of the months."""
        wanted = set(months)
        return Rewrite(
            self.staged.of(wanted), [file for file in self.removed if file.month in wanted]
        )

    @property
    def kept(self) -> int:
        """Rows that the table has gained."""
        return self.staged.rows - sum(file.rows for file in self.removed)


def begins(month: Month) -> datetime:
    return datetime(month[0], month[1], 1, tzinfo=UTC)


def ends(month: Month) -> datetime:
    year, number = month
    return begins((year + number // 12, number % 12 + 1))


def as_clicks(clickstream: DataFrame, *, judge_anew: bool = False) -> DataFrame:
    """Labelled events as they were before: a crawler's label is what it was, or judged anew."""
    known = F.coalesce(F.col("bot_reason") == "agent", F.lit(False))
    names_crawler = [
        F.coalesce(_ascii_lower(F.col(name)).rlike(crawlers.pattern()), F.lit(False))
        for name in ("browser", "os")
    ]
    is_crawler = reduce(Column.__or__, names_crawler) if judge_anew else known
    return clickstream.withColumn("is_crawler", is_crawler)


def _ascii_lower(text: Column) -> Column:
    return F.translate(text, _ASCII_UPPER, _ASCII_UPPER.lower())


class Months:
    """The clickstream's work of one run."""

    def __init__(
        self, tables: Tables, manifest: Manifest, rules: Rules, *, judge_anew: bool = False
    ) -> None:
        self.tables = tables
        self.manifest = manifest
        self.rules = rules
        self.judge_anew = judge_anew

    def compute(self, new: DataFrame | None, touched: Iterable[Month]) -> Rewrite:
        """`clickstream` of the touched months and of those that follow from them."""
        months = self._closure(new, set(touched))
        labelled = self._label(self._clicks(new, months), self._carried(months))
        staged = self.tables.stage(labelled, CLICKSTREAM)
        return Rewrite(staged, self.manifest.files(CLICKSTREAM.name, months))

    def summarize(self, clickstream: Rewrite) -> Rewrite:
        """`sessions` of every month whose sessions the rewritten events belong to."""
        months = clickstream.months
        if not months:
            return Rewrite(Staged(SESSIONS, ()), [])
        affected = months | self._started_before(clickstream, months)
        events = self._events_of_sessions_started_in(affected, clickstream)
        staged = self.tables.stage(sessions.summarize(events), SESSIONS)
        return Rewrite(staged, self.manifest.files(SESSIONS.name, affected))

    def _live(self, months: Iterable[Month]) -> DataFrame:
        return self.tables.live(CLICKSTREAM, self.manifest.files(CLICKSTREAM.name, months))

    def _clicks(self, new: DataFrame | None, months: Iterable[Month]) -> DataFrame:
        """The events of `months`: those in the lake and the new ones."""
        old = as_clicks(self._live(months), judge_anew=self.judge_anew).select(*CLICKS.names)
        if new is None:
            return old
        if not self.manifest.files(CLICKSTREAM.name, months):
            return new.select(*CLICKS.names)
        return old.unionByName(new.select(*CLICKS.names))

    def _label(self, clicks: DataFrame, carried: DataFrame | None) -> DataFrame:
        found = sessions.fast_minutes(clicks, self.rules.bot_views_per_minute).toArrow()
        fast = self.tables.session.createDataFrame(found) if found.num_rows else None
        return sessions.label(
            clicks, gap_minutes=self.rules.gap_minutes, fast=fast, carried=carried
        )

    def _carried(self, months: Iterable[Month]) -> DataFrame | None:
        """Events of other months from which a session may go on into `months`."""
        since: dict[Month, datetime] = {}
        for month in months:
            horizon = begins(month) - self.rules.gap
            for other in self.manifest.months(CLICKSTREAM.name):
                if other not in months and other < month and ends(other) > horizon:
                    since[other] = min(horizon, since.get(other, horizon))
        tails = [
            as_clicks(self._live([month])).where(F.col("time") >= F.lit(horizon))
            for month, horizon in since.items()
        ]
        if not tails:
            return None
        tail = reduce(DataFrame.unionByName, tails)
        return tail.withColumn("_started_at", sessions.started_at(F.col("session_id")))

    def _closure(self, new: DataFrame | None, months: set[Month]) -> set[Month]:
        """`months` and those after them where a session's start changes."""
        while True:
            after = [
                other
                for other in self.manifest.months(CLICKSTREAM.name)
                if other not in months and self._reaches(months, other)
            ]
            changed = [month for month in after if self._start_changes(new, months, month)]
            if not changed:
                return months
            months = months | set(changed)

    def only_changed(self, clickstream: Rewrite) -> Rewrite:
        """Without the months that gained no row and follow on none that did."""
        changed: set[Month] = set()
        for month in sorted(clickstream.months):
            if month in clickstream.gaining or self._reaches(changed, month):
                changed.add(month)
        return clickstream.of(changed)

    def _reaches(self, months: Iterable[Month], other: Month) -> bool:
        """Whether a session of one of `months` may go on into `other`."""
        return any(m < other and begins(other) - self.rules.gap < ends(m) for m in months)

    def _start_changes(self, new: DataFrame | None, months: set[Month], month: Month) -> bool:
        """Whether an event early in `month` now belongs to a session with another start.

        Only visitors with new rows can be concerned, so only their events are looked at.
        """
        if new is None:
            return False
        early = self._live([month]).where(F.col("time") < F.lit(begins(month) + self.rules.gap))
        visitors = new.select("anonymous_user_id").distinct()
        suspects = early.join(visitors, on="anonymous_user_id", how="left_semi")
        concerned = suspects.select("anonymous_user_id").distinct()
        if not concerned.limit(1).count():
            return False
        events = self._clicks(new, months).unionByName(as_clicks(suspects).select(*CLICKS.names))
        carried = self._carried(months | {month})
        now = self._label(
            events.join(concerned, on="anonymous_user_id", how="left_semi"),
            None
            if carried is None
            else carried.join(concerned, on="anonymous_user_id", how="left_semi"),
        ).where(F.col("time") >= F.lit(begins(month)))
        identity = ["anonymous_user_id", "time", "session_id"]
        moved = now.select(*identity).join(suspects.select(*identity), identity, "left_anti")
        return moved.limit(1).count() > 0

    def _started_before(self, clickstream: Rewrite, months: set[Month]) -> set[Month]:
        """Other months whose sessions have gained or lost events in `months`."""
        if not self.manifest.files(CLICKSTREAM.name):
            return set()
        now = _foreign_events(self.tables.staged(clickstream.staged), months, sign=1)
        before = _foreign_events(
            self.tables.live(CLICKSTREAM, clickstream.removed), months, sign=-1
        )
        changed = (
            now.unionByName(before)
            .groupBy("session_id")
            .agg(F.sum("sign").alias("difference"))
            .where(F.col("difference") != 0)
        )
        started = sessions.started_at(F.col("session_id"))
        found = changed.select(F.year(started).alias("y"), F.month(started).alias("m")).distinct()
        return {(row["y"], row["m"]) for row in found.collect()}

    def _events_of_sessions_started_in(self, months: set[Month], clickstream: Rewrite) -> DataFrame:
        """All events, wherever they are, of the sessions that started in `months`."""
        known = self.manifest.months(CLICKSTREAM.name)
        if not known:
            return self.tables.staged(clickstream.staged)
        others = [month for month in known if month not in clickstream.months]
        parts = [self.tables.staged(clickstream.staged)]
        parts += [self._live([m]) for m in others if m in months]
        parts += [self._goes_on(m) for m in others if m not in months and m > min(months)]
        events = reduce(DataFrame.unionByName, parts)
        return events.where(_starts_in(months))

    def _goes_on(self, month: Month) -> DataFrame:
        """The events of a month whose session started before it."""
        started = sessions.started_at(F.col("session_id"))
        return self._live([month]).where(started < F.lit(begins(month)))


def _starts_in(months: Sequence[Month] | set[Month]) -> Column:
    started = sessions.started_at(F.col("session_id"))
    number = F.year(started) * 12 + F.month(started)
    return number.isin([year * 12 + month for year, month in sorted(months)])


def _foreign_events(events: DataFrame, months: set[Month], sign: int) -> DataFrame:
    return events.where(~_starts_in(months)).select("session_id", F.lit(sign).alias("sign"))
