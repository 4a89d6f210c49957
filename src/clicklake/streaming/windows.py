"""Counts per minute, hour and day of event time, closed by a watermark.

The watermark is the latest time of any event before, less the allowed lateness. A window closes
when the watermark reaches its end; an event for a closed window is counted as late there and
nowhere else. The watermark moves with each event, not with each read, so the counts depend on
the order of the events alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush, nsmallest
from itertools import groupby

from clicklake.streaming.messages import Event, digest_of

# How much of an event's time names its window: 2018-04-01T10:59.
_NAME_LENGTH = {"minute": 16, "hour": 13, "day": 10}
_SPAN = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}
PERIODS = tuple(_SPAN)
KINDS = ("visitor", "session", "path", "source")
TOP_KINDS = ("path", "source")
NO_SOURCE = "(none)"

Key = tuple[str, datetime]  # period, start
Visit = tuple[str, str, str, str, bool]  # visitor, session, path, source, is_bot


def _counters() -> dict[str, Counter[str]]:
    return {kind: Counter() for kind in KINDS}


def _minute(event: Event) -> str:
    return event.time[: _NAME_LENGTH["minute"]]


def _visit(event: Event) -> Visit:
    return (event.visitor, event.session, event.path, event.source or NO_SOURCE, event.is_bot)


@dataclass
class Window:
    """One window's events by visitor, session, path and source.

    `start` is UTC, without a zone. `visits`: the events that are alike but for their moment.
    `unstored`: those whose counts have changed since the window was stored last; `is_stored`:
    whether it ever was; `is_redacted`: whether stored rows must go. `tally` brings the counts up
    to the events added.
    """

    period: str
    start: datetime
    events: int = 0
    bot_events: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=_counters)
    visits: Counter[Visit] = field(default_factory=Counter)
    older: Counter[tuple[str, str]] = field(default_factory=Counter)  # kind and name
    closed: bool = False
    is_stored: bool = False
    is_redacted: bool = False
    unstored: set[Visit] = field(default_factory=set)
    _added: list[Visit] = field(default_factory=list)

    @property
    def key(self) -> Key:
        return self.period, self.start

    def closes_at(self, lateness: timedelta) -> str:
        """The latest time seen at which the window closes, written as an event's time."""
        end = self.start + _SPAN[self.period] + lateness
        return end.isoformat(timespec="microseconds") + "Z"

    def add(self, visits: list[Visit]) -> None:
        self._added += visits

    def tally(self) -> None:
        visits, self._added = self._added, []
        self.events += len(visits)
        self.bot_events += sum(visit[4] for visit in visits)
        self.visits.update(visits)
        visitors, sessions, paths, sources = self.counts.values()
        visitors.update([visit[0] for visit in visits])
        sessions.update([visit[1] for visit in visits])
        paths.update([visit[2] for visit in visits])
        sources.update([visit[3] for visit in visits])
        if not self.closed:
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
        self.tally()
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

    `latest`: the latest time of any event so far, "" before the first.
    """

    def __init__(self, lateness: timedelta, latest: str = "", stored: Iterable[Window] = ()):
        self._lateness = lateness
        self.latest = latest
        self.late: Counter[Key] = Counter()
        self._windows = {_name(window): window for window in stored}
        self._changed: set[tuple[str, str]] = set()
        self._closing = [(w.closes_at(lateness), name) for name, w in self._windows.items()]
        heapify(self._closing)

    def add(self, events: Iterable[Event]) -> None:
        """Count events, the next in the stream's order."""
        for minute, run in groupby(events, _minute):
            self._add_run(minute, list(run))

    def _add_run(self, minute: str, run: list[Event]) -> None:
        """Count events of one minute. None of them can close a window that it is in itself."""
        visits = list(map(_visit, run))
        for period, length in _NAME_LENGTH.items():
            name = (period, minute[:length])
            window = self._windows.get(name) or self._open(name)
            if window.closed:
                self.late[window.key] += len(run)
            else:
                window.add(visits)
                self._changed.add(name)
        latest = max(event.time for event in run)
        if latest > self.latest:
            self.latest = latest
            self._close()

    def retract(self, digest: str) -> None:
        """Take a visitor's events back, where the window is open."""
        for name, window in self._windows.items():
            if not window.closed:
                window.retract(digest)
                if window.is_redacted:
                    self._changed.add(name)

    def changed(self) -> list[Window]:
        """The windows that differ from what was stored last."""
        windows = [self._windows[name] for name in self._changed]
        for window in windows:
            window.tally()
        return windows

    def stored(self) -> None:
        """All that has changed was stored: forget the changes, and the windows that closed."""
        for name in self._changed:
            window = self._windows[name]
            window.is_stored = True
            window.is_redacted = False
            window.unstored = set()
        self._windows = {name: w for name, w in self._windows.items() if not w.closed}
        self._changed.clear()
        self.late.clear()

    def _open(self, name: tuple[str, str]) -> Window:
        window = self._windows[name] = Window(name[0], _start(name[1]))
        closes_at = window.closes_at(self._lateness)
        if closes_at <= self.latest:
            window.closed = True
        else:
            heappush(self._closing, (closes_at, name))
        return window

    def _close(self) -> None:
        while self._closing and self._closing[0][0] <= self.latest:
            _, name = heappop(self._closing)
            self._windows[name].closed = True
            self._changed.add(name)


def _start(name: str) -> datetime:
    """The start of a window that is named 2018-04-01, 2018-04-01T10 or 2018-04-01T10:59."""
    return datetime.fromisoformat(name + "0000-00-00T00:00"[len(name) :])


def _name(window: Window) -> tuple[str, str]:
    return window.period, window.start.isoformat()[: _NAME_LENGTH[window.period]]
