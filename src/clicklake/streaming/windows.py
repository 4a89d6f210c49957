"""Counts per minute, hour and day of event time, closed by a watermark.

The watermark is the latest time of any event before, less the allowed lateness. A window closes
when the watermark reaches its end; an event for a closed window is counted as late there and
nowhere else. The watermark moves with each event, not with each read, so the counts depend on
the order of the events alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from heapq import nsmallest
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from clicklake.streaming.counting import KINDS, Coded
from clicklake.streaming.messages import digest_of

_MICROSECOND = timedelta(microseconds=1)
SPANS = {"minute": 60_000_000, "hour": 3_600_000_000, "day": 86_400_000_000}  # microseconds
PERIODS = tuple(SPANS)
_NEVER = -(2**62)  # before any event

Key = tuple[str, int]  # period, start in microseconds since 1970
Visit = tuple[str, str, str, str, bool]  # visitor, session, path, source, is_bot


class Passed(NamedTuple):
    """Windows of a period that have opened and closed since the last store.

    `starts`: of windows; `window`: the place among them of each event.
    """

    period: str
    starts: np.ndarray
    window: np.ndarray
    events: Coded


def _counters() -> dict[str, Counter[str]]:
    return {kind: Counter() for kind in KINDS}


@dataclass
class Window:
    """One window's events by visitor, session, path and source.

    `start`: microseconds since 1970, UTC. `visits`: the events that are alike but for their moment.
    `unstored`: those whose counts have changed since the window was stored last; `is_stored`:
    whether it ever was; `is_redacted`: whether stored rows must go.
    """

    period: str
    start: int
    events: int = 0
    bot_events: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=_counters)
    visits: Counter[Visit] = field(default_factory=Counter)
    older: Counter[tuple[str, str]] = field(default_factory=Counter)  # kind and name
    closed: bool = False
    is_stored: bool = False
    is_redacted: bool = False
    unstored: set[Visit] = field(default_factory=set)

    @property
    def key(self) -> Key:
        return self.period, self.start

    def add(self, visits: list[Visit]) -> None:
        self.events += len(visits)
        self.bot_events += sum(visit[4] for visit in visits)
        self.visits.update(visits)
        visitors, sessions, paths, sources = self.counts.values()
        visitors.update([visit[0] for visit in visits])
        sessions.update([visit[1] for visit in visits])
        paths.update([visit[2] for visit in visits])
        sources.update([visit[3] for visit in visits])
        self.unstored.update(visits)

    def restore(self, visits: Counter[Visit]) -> None:
        """Put visits in, but for the numbers of events and of bots."""
        self.visits.update(visits)
        for visit, events in visits.items():
            for kind, name in zip(KINDS, visit[:4], strict=True):
                self.counts[kind][name] += events

    def restore_name(self, kind: str, name: str, events: int) -> None:
        """Put in what an older release had stored instead of visits."""
        self.older[kind, name] = events
        self.counts[kind][name] += events

    def retract(self, digest: str) -> None:
        """Take a visitor's events back. Of older ones path, source and bot are not known."""
        visitors = [name for name in self.counts["visitor"] if digest_of(name) == digest]
        for visit in [visit for visit in self.visits if visit[0] in visitors]:
            events = self.visits.pop(visit)
            self.events -= events
            self.bot_events -= events * visit[4]
            for kind, name in zip(KINDS, visit[:4], strict=True):
                self._lower(kind, name, events)
        for kind, name in list(self.older):
            visitor = {"visitor": name, "session": name.rpartition("-")[0]}.get(kind)
            if visitor in visitors:
                events = self.older.pop((kind, name))
                self._lower(kind, name, events)
                self.events -= events if kind == "visitor" else 0
        if visitors:
            self.is_redacted = True
            self.unstored = set(self.visits)

    def _lower(self, kind: str, name: str, events: int) -> None:
        self.counts[kind][name] -= events
        if not self.counts[kind][name]:
            del self.counts[kind][name]

    def top(self, kind: str, size: int) -> list[tuple[str, int]]:
        """The names with most events, equal ones by name."""
        return nsmallest(size, self.counts[kind].items(), key=lambda item: (-item[1], item[0]))


class Windows:
    """The open windows, those closed since they were stored, and late events by window.

    `latest`: the latest time of any event so far, in microseconds since 1970, None before the
    first. `passed`: the windows that have opened and closed since, as counts and tops.
    """

    def __init__(
        self, lateness: timedelta, latest: int | None = None, stored: Iterable[Window] = ()
    ) -> None:
        self._lateness = lateness // _MICROSECOND
        self.latest = latest
        self.late: Counter[Key] = Counter()
        self.passed: list[Passed] = []
        self._windows = {window.key: window for window in stored}
        self._changed: set[Key] = set()

    def add(self, events: Coded) -> None:
        """Count events, the next in the stream's order."""
        if not len(events):
            return
        so_far = np.maximum.accumulate(
            np.r_[_NEVER if self.latest is None else self.latest, events.times]
        )
        self.latest = int(so_far[-1])
        for period, span in SPANS.items():
            starts = events.times - events.times % span
            late = so_far[:-1] >= starts + span + self._lateness
            self._count_late(period, starts[late])
            self._count(period, starts[~late], events[~late])
        for window in self._windows.values():
            if not window.closed and self._is_closed(*window.key):
                window.closed = True
                self._changed.add(window.key)

    def retract(self, digest: str) -> None:
        """Take a visitor's events back, where the window is open."""
        for key, window in self._windows.items():
            if not window.closed:
                window.retract(digest)
                if window.is_redacted:
                    self._changed.add(key)

    def changed(self) -> list[Window]:
        """The windows that differ from what was stored last, but for those passed."""
        return [self._windows[key] for key in self._changed]

    def stored(self) -> None:
        """All that has changed was stored: forget the changes, and the windows that closed."""
        for window in self.changed():
            window.is_stored = True
            window.is_redacted = False
            window.unstored = set()
        self._windows = {key: window for key, window in self._windows.items() if not window.closed}
        self._changed.clear()
        self.passed.clear()
        self.late.clear()

    def _count_late(self, period: str, starts: np.ndarray) -> None:
        distinct, events = np.unique(starts, return_counts=True)
        for start, count in zip(distinct.tolist(), events.tolist(), strict=True):
            self.late[period, start] += count

    def _count(self, period: str, starts: np.ndarray, events: Coded) -> None:
        """Count events in windows that were open when each of them came."""
        distinct, window = np.unique(starts, return_inverse=True)
        stays = ~self._is_closed(period, distinct)
        stays |= np.isin(distinct, [start for name, start in self._windows if name == period])
        passes = ~stays[window]
        self.passed.append(Passed(period, distinct, window[passes], events[passes]))
        for start, visits in _visits_by_start(starts[~passes], events[~passes]):
            key = (period, start)
            self._windows.setdefault(key, Window(*key)).add(visits)
            self._changed.add(key)

    def _is_closed(self, period: str, start: Any) -> Any:
        """Whether a window that starts then is closed by now; of an array, for each."""
        assert self.latest is not None
        return start + (SPANS[period] + self._lateness) <= self.latest


def _visits_by_start(starts: np.ndarray, events: Coded) -> Iterator[tuple[int, list[Visit]]]:
    order = np.argsort(starts, kind="stable")
    visits = list(events[order].visits())
    distinct, first = np.unique(starts[order], return_index=True)
    for start, part in zip(distinct.tolist(), pairwise([*first, len(visits)]), strict=True):
        yield start, visits[slice(*part)]
