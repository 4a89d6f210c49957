"""Read the stream in the publisher's order: a file for every N events, and windowed statistics.

What was read, counted and stored is committed together with the place in the stream, in one
transaction of the database. Files are written before that commit and named by batch number:
whoever starts again from an older place writes the same bytes under the same names.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from pathlib import Path

from clicklake.errors import ConfigError
from clicklake.storage.durable import sync_path, write_durably
from clicklake.streaming.marks import Mark, foreign
from clicklake.streaming.messages import BadMessageError, Event, Retraction, digest_of, names, parse
from clicklake.streaming.sequencer import Sequencer
from clicklake.streaming.statistics import Progress, Statistics
from clicklake.streaming.stream import Incoming, Source

log = logging.getLogger(__name__)

_COMMIT_SECONDS = 2.0
_COMMIT_EVENTS = 50_000
# Bounds the memory where one partition is read faster than another.
_MOST_WAITING = 100_000


@dataclass(frozen=True)
class Summary:
    """What a call of `summarize` did: events counted, files finished, messages quarantined.

    `waiting`: events that were read, but that wait for one before them that is not there yet.
    """

    events: int
    files: int
    quarantined: int
    missing: int
    waiting: int


class Batch:
    """The file being filled."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        self._folder = folder
        self._progress = progress
        self._users = set(progress.batch_users)

    def add(self, events: list[Event]) -> None:
        """Count events; with the last of each batch, write its file."""
        at = 0
        while at < len(events):
            part = events[at : at + self._progress.every - self._progress.batch_events]
            at += len(part)
            self._fill(part)

    def _fill(self, events: list[Event]) -> None:
        p = self._progress
        p.batch_events += len(events)
        times = [event.time for event in events]
        p.batch_min = min(p.batch_min or times[0], *times)
        p.batch_max = max(p.batch_max, *times)
        self._users.update([event.visitor for event in events])
        if p.batch_events == p.every:
            self._write(f"{p.batch}.json")
            self._partial(p.batch).unlink(missing_ok=True)
            p.batch, p.batch_events, p.batch_min, p.batch_max = p.batch + 1, 0, "", ""
            self._users.clear()

    def retract(self, digest: str) -> None:
        """The file keeps its events and no longer counts their visitor."""
        self._users = {user for user in self._users if digest_of(user) != digest}

    def note_users(self) -> None:
        """Put the users so far into the progress, to be stored with it."""
        self._progress.batch_users = sorted(self._users)

    def write_partial(self) -> None:
        """Write what there is of an unfinished batch to a file that says so by its name."""
        if self._progress.batch_events:
            self._write(self._partial(self._progress.batch).name)

    def _partial(self, number: int) -> Path:
        return self._folder / f"{number}.partial.json"

    def _write(self, name: str) -> None:
        summary = {
            "min date": self._progress.batch_min,
            "max date": self._progress.batch_max,
            "unique users": len(self._users),
        }
        write_durably(self._folder / name, json.dumps(summary).encode() + b"\n", settled=False)


def summarize(
    source: Source,
    statistics: Statistics,
    folder: Path,
    settings: Progress,
    *,
    until_end: bool = True,
    stopped: Callable[[], bool] = lambda: False,
    adopt: str = "",
) -> Summary:
    """Go on from where the last call, finished or killed, had come to.

    `settings`: which stream, and how many events a file takes. `until_end`: stop at the stream's
    present end and write the unfinished batch to `<number>.partial.json`; else go on until
    `stopped` says so. `adopt`: the address of the stream whose statistics these are, if that is
    this one all the same. Raises ConfigError if they are of another stream or batch size.
    """
    progress = _resume(statistics, settings, adopt)
    before = (progress.events, progress.batch, progress.missing)
    reading = _Reading(source, statistics, folder, progress)
    reading.look_for_mark(stopped)
    while not stopped():
        messages = source.poll()
        reading.take(messages)
        if until_end and not messages and not source.behind():
            break
    reading.commit()
    if until_end:
        reading.batch.write_partial()
    return Summary(
        progress.events - before[0],
        progress.batch - before[1],
        reading.bad,
        progress.missing - before[2],
        reading.sequencer.waiting,
    )


class _Reading:
    """From messages to what is counted and stored, from where the statistics are."""

    def __init__(
        self, source: Source, statistics: Statistics, folder: Path, progress: Progress
    ) -> None:
        self._source = source
        self._statistics = statistics
        self._folder = folder
        self._progress = progress
        self._quarantined: list[tuple[str, str, str, str, str]] = []
        self.bad = 0
        lateness = timedelta(minutes=progress.lateness_minutes)
        self._windows = statistics.windows(lateness, progress.latest)
        self.batch = Batch(folder, progress)
        self._start()

    def look_for_mark(self, stopped: Callable[[], bool]) -> None:
        """Find out whose stream it is, before anything is counted, if it is not known yet."""
        while self._progress.mark is None and not stopped():
            messages = self._source.poll()
            if self._learn(messages) or not (messages or self._source.behind()):
                break
        self._start()

    def take(self, messages: list[Incoming]) -> None:
        """Count the events whose turn has come, and commit now and then."""
        if self._learn(messages):
            # What was read before the publisher was known is read again, and judged by it.
            self.commit()
            self._start()
            return
        ready: list[Event | Retraction] = []
        for message in messages:
            event = self._parsed(message)
            if isinstance(event, Retraction) and not event.sequence:
                ready.append(event)
                event = None
            ready += self.sequencer.take(message, event)
        ready += self.sequencer.skip_missing(self._source.behind())
        self._count(ready)
        is_crowded = self.sequencer.waiting > _MOST_WAITING
        self._source.hold(self.sequencer.overtaken() if is_crowded else ())
        done = self._progress.events - self._committed
        if time.monotonic() > self._due or done >= _COMMIT_EVENTS:
            self.commit()

    def commit(self) -> None:
        """Store everything together with the place in the stream."""
        progress, sequencer = self._progress, self.sequencer
        progress.expected, progress.latest = sequencer.expected, self._windows.latest
        progress.missing = self._missing + sequencer.missing
        self.batch.note_users()
        sync_path(self._folder)
        self._statistics.store(progress, sequencer.positions, self._windows, self._quarantined)
        self.bad += len(self._quarantined)
        self._quarantined.clear()
        self._wait_to_commit()

    def _start(self) -> None:
        positions = self._statistics.positions()
        self.sequencer = Sequencer(self._progress.expected, positions, self._source.horizon)
        self._missing = self._progress.missing
        self._source.mark = self._progress.mark
        self._source.open(positions)
        self._wait_to_commit()

    def _wait_to_commit(self) -> None:
        self._committed = self._progress.events
        self._due = time.monotonic() + _COMMIT_SECONDS

    def _count(self, events: Iterable[Event | Retraction]) -> None:
        for _, run in groupby(events, type):
            alike = list(run)
            for retraction in (event for event in alike if isinstance(event, Retraction)):
                self._retract(retraction.digest)
            if counted := [event for event in alike if isinstance(event, Event)]:
                self.batch.add(counted)
                self._windows.add(counted)
                self._progress.events += len(counted)

    def _retract(self, digest: str) -> None:
        """Take a visitor's events out of all that is held; "" is a place without an event."""
        if digest:
            self.batch.retract(digest)
            self._windows.retract(digest)
            self._quarantined = [row for row in self._quarantined if not names(row[-1], {digest})]
            self._statistics.clean_quarantine({digest})

    def _learn(self, messages: list[Incoming]) -> bool:
        """Whether these messages are the first that tell who the publisher is."""
        if self._progress.mark is None:
            self._progress.mark = next(filter(None, map(_mark_of, messages)), None)
            return self._progress.mark is not None
        return False

    def _parsed(self, message: Incoming) -> Event | Retraction | None:
        """The publisher's event; None for another message, which goes to quarantine."""
        try:
            event = parse(message.body)
            self._refuse_foreign(message, event)
        except BadMessageError as bad:
            raw = message.body.decode("utf-8", "backslashreplace")
            place = (self._source.topic, message.partition, message.offset)
            self._quarantined.append((*place, str(bad), raw))
            return None
        return event

    def _refuse_foreign(self, message: Incoming, event: Event | Retraction) -> None:
        own, found = self._progress.mark, message.mark or event.mark
        is_possible = bool(own or found) or self._source.can_hold(event.sequence, message)
        if reason := foreign(own, found, event.sequence, is_possible):
            raise BadMessageError(reason)


def _mark_of(message: Incoming) -> Mark | None:
    """The mark of a message, if it is an event."""
    try:
        event = parse(message.body)
    except BadMessageError:
        return None
    return message.mark or event.mark


def _resume(statistics: Statistics, settings: Progress, adopt: str) -> Progress:
    progress = statistics.progress()
    if progress is None:
        return settings
    if not _is_same_stream(progress, settings):
        _refuse_other_stream(progress, settings, adopt)
        statistics.forget_positions()
    for name, what in (("every", "--every"), ("lateness_minutes", "[STREAM] LATENESS_MINUTES")):
        was, now = getattr(progress, name), getattr(settings, name)
        if was != now:
            raise ConfigError(f"These statistics were begun with {what} {was}, not {now}. {_ELSE}")
    progress.stream, progress.identity = settings.stream, settings.identity
    progress.mark = progress.mark or settings.mark
    return progress


def _is_same_stream(progress: Progress, settings: Progress) -> bool:
    """Whether it is; where no identity is known, as the address is spelled."""
    if progress.identity and settings.identity:
        return progress.identity == settings.identity
    return progress.stream == settings.stream


def _refuse_other_stream(progress: Progress, settings: Progress, adopt: str) -> None:
    if progress.stream != adopt:
        raise ConfigError(
            f"These statistics were begun with the stream {progress.stream}, and what is at "
            f"{settings.stream} is another one, as far as can be told. {_ELSE} If it is the same, "
            f"restored or moved: --adopt {progress.stream}"
        )


_ELSE = "Keep to that, or begin others with a new --out and --database."
