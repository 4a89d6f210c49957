"""The clickstream's months: which of them a run computes anew, their sessions and steps.

A session may reach over a month's border. Its events carry one session id, made of its start,
and it is counted in the month of its start. So beside the months that have new rows (`touched`)
- a following month is computed anew if a session that reaches into it now starts elsewhere;
- the sessions of a preceding month are, if one of them goes on into a month with new rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from clicklake import buckets
from clicklake.buckets import Buckets, Labelled, Partitioning
from clicklake.lake import LiveFile, Manifest, Month, month_of
from clicklake.lake.tables import Rewrite, Staged, Tables
from clicklake.parse.rows import CLICKS
from clicklake.rules import page_steps
from clicklake.rules.visits import Rules
from clicklake.schemas import CLICKSTREAM, PAGE_STEPS, SESSIONS, Table


@dataclass(frozen=True)
class NewEvents:
    """A run's new events: as rows, and in their buckets."""

    rows: DataFrame
    buckets: Buckets


def begins(month: Month) -> datetime:
    return datetime(month[0], month[1], 1, tzinfo=UTC)


def ends(month: Month) -> datetime:
    year, number = month
    return begins((year + number // 12, number % 12 + 1))


class ClickstreamUpdate:
    """Which months of the clickstream a run computes, and the sessions that follow.

    `manifest`: the lake that it builds upon; `rows`: reads some of its files.
    """

    def __init__(
        self,
        tables: Tables,
        manifest: Manifest,
        rows: Callable[[Table, Iterable[LiveFile]], DataFrame],
        rules: Rules,
        partitioning: Partitioning,
        shuffled: buckets.Shuffle,
    ) -> None:
        self.tables = tables
        self.manifest = manifest
        self.rows = rows
        self.rules = rules
        self.partitioning = partitioning
        self.shuffled = shuffled
        self._computed: set[Month] = set()
        self._made = Labelled(Staged(CLICKSTREAM, ()), Staged(SESSIONS, ()), [])

    def compute(self, new: NewEvents | None, touched: Iterable[Month]) -> Rewrite:
        """`clickstream` of the touched months and of those that follow from them."""
        months = self._closure(new, set(touched))
        known = self._known(months)
        self._made = self._label(known, "tables", new.buckets if new else {})
        self._computed = months
        return Rewrite(self._made.clickstream, self.manifest.files(CLICKSTREAM.name, months))

    def summarize(self, clickstream: Rewrite) -> Rewrite:
        """`sessions` of every month whose sessions the rewritten events belong to."""
        months = clickstream.months
        if not months:
            return Rewrite(Staged(SESSIONS, ()), [])
        affected = months | self._started_before(clickstream, months)
        whole = affected & self._months_of_whole_sessions()
        staged = self._made.sessions.of(whole)
        if rest := affected - whole:
            events = self._events_of_sessions_started_in(rest, clickstream)
            others = self._label(events, "sessions").sessions
            staged = Staged(SESSIONS, staged.files + others.files)
        return Rewrite(staged, self.manifest.files(SESSIONS.name, affected))

    def steps(self, clickstream: Rewrite) -> Rewrite:
        """`page_steps` of the rewritten months."""
        months = clickstream.months
        if not months:
            return Rewrite(Staged(PAGE_STEPS, ()), [])
        paths = [info.path for info in self._made.steps if month_of(info.path) in months]
        counts = self.tables.read(PAGE_STEPS.schema, paths)
        staged = self.tables.stage(page_steps.merged(counts), PAGE_STEPS, "steps")
        return Rewrite(staged, self.manifest.files(PAGE_STEPS.name, months))

    def _months_of_whole_sessions(self) -> set[Month]:
        """The computed months, unless one of their sessions may go on in another month."""
        others = set(self.manifest.months(CLICKSTREAM.name)) - self._computed
        return set() if any(self._reaches(self._computed, m) for m in others) else self._computed

    def _live(self, months: Iterable[Month]) -> DataFrame:
        return self.rows(CLICKSTREAM, self.manifest.files(CLICKSTREAM.name, months))

    def _known(self, months: set[Month]) -> DataFrame | None:
        """The lake's events of `months`, and those from which a session may go on into them."""
        known = self.manifest.months(CLICKSTREAM.name)
        parts = [_parsed(self._live([month])) for month in known if month in months]
        parts += [self._tail(month, since) for month, since in self._tails(months).items()]
        return reduce(DataFrame.unionByName, parts) if parts else None

    def _label(self, known: DataFrame | None, attempt: str, new: Buckets | None = None) -> Labelled:
        """What is made of known events and new ones, staged."""
        parts = [new or {}]
        if known is not None:
            folder = f"events/{attempt}"
            parts.append(
                buckets.write(self.tables, known, folder, self.partitioning, self.shuffled)
            )
        events = buckets.merged(*parts)
        return buckets.label(self.tables, events, self.rules, attempt, self.partitioning.tasks)

    def _tails(self, months: set[Month]) -> dict[Month, datetime]:
        """Other months from which a session may go on into `months`, and from when on."""
        since: dict[Month, datetime] = {}
        for month in months:
            horizon = begins(month) - self.rules.gap
            for other in self.manifest.months(CLICKSTREAM.name):
                if other not in months and other < month and ends(other) > horizon:
                    since[other] = min(horizon, since.get(other, horizon))
        return since

    def _tail(self, month: Month, since: datetime) -> DataFrame:
        return _in_sessions(self._live([month]).where(F.col("time") >= F.lit(since)))

    def _closure(self, new: NewEvents | None, months: set[Month]) -> set[Month]:
        """`months` and those after them where a session's start changes."""
        while new is not None:
            changed = [
                other
                for other in self.manifest.months(CLICKSTREAM.name)
                if other not in months
                and self._reaches(months, other)
                and self._start_changes(new.rows, months, other)
            ]
            if not changed:
                break
            months = months | set(changed)
        return months

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

    def _start_changes(self, new: DataFrame, months: set[Month], month: Month) -> bool:
        """Whether an event early in `month` now belongs to a session with another start.

        Only visitors with new rows can be concerned, so only their events are looked at.
        """
        early = self._live([month]).where(F.col("time") < F.lit(begins(month) + self.rules.gap))
        visitors = new.select("anonymous_user_id").distinct()
        suspects = early.join(visitors, on="anonymous_user_id", how="left_semi")
        concerned = suspects.select("anonymous_user_id").distinct()
        if not concerned.limit(1).count():
            return False
        parts = [_parsed(new), _parsed(suspects), self._known(months)]
        events = reduce(DataFrame.unionByName, [part for part in parts if part is not None])
        theirs = events.join(concerned, on="anonymous_user_id", how="left_semi")
        made = self._label(theirs, f"look-{month[0]}-{month[1]}-{len(months)}")
        identity = ["anonymous_user_id", "time", "session_id"]
        now = self.tables.staged(made.clickstream).where(F.col("time") >= F.lit(begins(month)))
        moved = now.select(*identity).join(suspects.select(*identity), identity, "left_anti")
        return moved.limit(1).count() > 0

    def _started_before(self, clickstream: Rewrite, months: set[Month]) -> set[Month]:
        """Other months whose sessions have gained or lost events in `months`."""
        if not self.manifest.files(CLICKSTREAM.name):
            return set()
        now = _foreign_events(self.tables.staged(clickstream.staged), months, sign=1)
        before = _foreign_events(self.rows(CLICKSTREAM, clickstream.removed), months, sign=-1)
        changed = (
            now.unionByName(before)
            .groupBy("session_id")
            .agg(F.sum("sign").alias("difference"))
            .where(F.col("difference") != 0)
        )
        started = started_at(F.col("session_id"))
        found = changed.select(F.year(started).alias("y"), F.month(started).alias("m")).distinct()
        return {(row["y"], row["m"]) for row in found.collect()}

    def _events_of_sessions_started_in(self, months: set[Month], clickstream: Rewrite) -> DataFrame:
        """All events, wherever they are, of the sessions that started in `months`."""
        known = self.manifest.months(CLICKSTREAM.name)
        others = [month for month in known if month not in clickstream.months]
        parts = [self.tables.staged(clickstream.staged)]
        parts += [self._live([m]) for m in others if m in months]
        parts += [self._goes_on(m) for m in others if m not in months and m > min(months)]
        events = reduce(DataFrame.unionByName, parts)
        return _in_sessions(events.where(_starts_in(months)))

    def _goes_on(self, month: Month) -> DataFrame:
        """The events of a month whose session started before it."""
        started = started_at(F.col("session_id"))
        return self._live([month]).where(started < F.lit(begins(month)))


def started_at(session: Column) -> Column:
    """The start that a session's name holds."""
    return F.timestamp_micros(F.substring_index(session, "-", -1).cast("bigint"))


def _parsed(events: DataFrame) -> DataFrame:
    """Events as they were parsed, to be labelled anew."""
    return events.select(*CLICKS.names, F.lit(None).cast("timestamp").alias("started_at"))


def _in_sessions(events: DataFrame) -> DataFrame:
    """Events whose session is known to stay."""
    return events.select(*CLICKS.names, started_at(F.col("session_id")).alias("started_at"))


def _starts_in(months: Sequence[Month] | set[Month]) -> Column:
    started = started_at(F.col("session_id"))
    number = F.year(started) * 12 + F.month(started)
    return number.isin([year * 12 + month for year, month in sorted(months)])


def _foreign_events(events: DataFrame, months: set[Month], sign: int) -> DataFrame:
    return events.where(~_starts_in(months)).select("session_id", F.lit(sign).alias("sign"))
