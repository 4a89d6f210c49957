"""Read the stream in the publisher's order: a file for every N events, and windowed statistics.

What was read, counted and stored is committed together with the place in the stream, in one
transaction of the database. Files are written before that commit and named by batch number:
whoever starts again from an older place writes the same bytes under the same names.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clicklake.errors import ConfigError
from clicklake.storage.durable import sync_path
from clicklake.streaming.batches import Batch
from clicklake.streaming.counting import Coded
from clicklake.streaming.decoding import understood
from clicklake.streaming.marks import Mark
from clicklake.streaming.messages import BadMessageError, names, parse, time_text
from clicklake.streaming.sequencer import Sequencer
from clicklake.streaming.statistics import Progress, Statistics
from clicklake.streaming.stream import Incoming, Source

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
        """Keep messages, and count and commit what there is now and then."""
        if self._learn(messages):
            # What was read before the publisher was known is read again, and judged by it.
            self.commit()
            self._start()
            return
        self._kept += messages
        if time.monotonic() > self._due or len(self._kept) >= _COMMIT_EVENTS:
            self.commit()

    def commit(self) -> None:
        """Count what has its turn, and store everything together with the place in the stream."""
        self._count_kept()
        progress, sequencer, latest = self._progress, self.sequencer, self._windows.latest
        progress.expected = sequencer.expected
        progress.latest = "" if latest is None else time_text(latest)
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
        self._kept: list[Incoming] = []
        self._source.mark = self._progress.mark
        self._source.open(positions)
        self._wait_to_commit()

    def _wait_to_commit(self) -> None:
        self._due = time.monotonic() + _COMMIT_SECONDS

    def _count_kept(self) -> None:
        messages, self._kept = self._kept, []
        events, bad = understood(messages, self._progress.mark, self._source.can_hold)
        for row, reason in bad.items():
            self._quarantine(messages[row], reason)
        ready = []
        for read, part in _pieces(messages, events):
            ready += [part.filter(pc.equal(part["sequence"], 0)), self.sequencer.take(read, part)]
        ready.append(self.sequencer.skip_missing(self._source.behind()))
        self._count(pa.concat_tables(ready))
        is_crowded = self.sequencer.waiting > _MOST_WAITING
        self._source.hold(self.sequencer.overtaken() if is_crowded else ())

    def _count(self, events: pa.Table) -> None:
        at = 0
        retractions = np.flatnonzero(events["digest"].is_valid())
        for end in [*retractions.tolist(), len(events)]:
            counted = Coded.of(events.slice(at, end - at))
            self.batch.add(counted)
            self._windows.add(counted)
            self._progress.events += len(counted)
            if end < len(events):
                self._retract(events["digest"][end].as_py())
            at = end + 1

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

    def _quarantine(self, message: Incoming, reason: str) -> None:
        raw = message.body.decode("utf-8", "backslashreplace")
        place = (self._source.topic, message.partition, message.offset)
        self._quarantined.append((*place, reason, raw))


def _pieces(
    messages: list[Incoming], events: pa.Table
) -> Iterator[tuple[list[Incoming], pa.Table]]:
    """Cut before each retraction without a number: it has its turn where it was read."""
    rows = events["row"].to_numpy()
    cuts = rows[events["sequence"].to_numpy() == 0].tolist()
    for begin, end in pairwise([0, *cuts, len(messages)]):
        first, last = np.searchsorted(rows, [begin, end])
        part = events.slice(first, last - first)
        yield messages[begin:end], part.set_column(0, "row", pc.subtract(part["row"], begin))


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
