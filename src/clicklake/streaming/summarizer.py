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
from pathlib import Path

from clicklake.errors import ConfigError
from clicklake.storage.durable import sync_path, write_durably
from clicklake.streaming.messages import BadMessageError, Event, parse
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

    def add(self, event: Event) -> None:
        """Count an event; with the last of the batch, write its file."""
        p = self._progress
        p.batch_events += 1
        p.batch_min = min(p.batch_min or event.time, event.time)
        p.batch_max = max(p.batch_max, event.time)
        self._users.add(event.visitor)
        if p.batch_events == p.every:
            self._write(f"{p.batch}.json")
            self._partial(p.batch).unlink(missing_ok=True)
            p.batch, p.batch_events, p.batch_min, p.batch_max = p.batch + 1, 0, "", ""
            self._users.clear()

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
) -> Summary:
    """Go on from where the last call, finished or killed, had come to.

    `settings`: which stream, and how many events a file takes. `until_end`: stop at the stream's
    present end and write the unfinished batch to `<number>.partial.json`; else go on until
    `stopped` says so. Raises ConfigError if the statistics are of another stream or batch size.
    """
    progress = _resume(statistics, settings)
    before = (progress.events, progress.batch, progress.missing)
    sequencer = Sequencer(progress.expected, statistics.positions(), source.horizon)
    lateness = timedelta(minutes=progress.lateness_minutes)
    windows = statistics.windows(lateness, progress.latest)
    batch = Batch(folder, progress)
    quarantined: list[tuple[str, str, str, str, str]] = []
    bad = 0

    def count(events: Iterable[Event]) -> None:
        for event in events:
            batch.add(event)
            windows.add(event)
            progress.events += 1

    def commit() -> None:
        progress.expected, progress.latest = sequencer.expected, windows.latest
        progress.missing = before[2] + sequencer.missing
        batch.note_users()
        sync_path(folder)
        statistics.store(progress, sequencer.positions, windows, quarantined)

    source.open(sequencer.positions)
    committed, due = progress.events, time.monotonic() + _COMMIT_SECONDS
    while not stopped():
        messages = source.poll()
        for message in messages:
            event = _parsed(message, source.topic, quarantined)
            count(sequencer.take(message, event))
        behind = source.behind()
        count(sequencer.skip_missing(behind))
        source.hold(sequencer.overtaken() if sequencer.waiting > _MOST_WAITING else ())
        if time.monotonic() > due or progress.events - committed >= _COMMIT_EVENTS:
            commit()
            bad += len(quarantined)
            quarantined.clear()
            committed, due = progress.events, time.monotonic() + _COMMIT_SECONDS
        if until_end and not messages and not behind:
            break
    commit()
    if until_end:
        batch.write_partial()
    return Summary(
        progress.events - before[0],
        progress.batch - before[1],
        bad + len(quarantined),
        progress.missing - before[2],
        sequencer.waiting,
    )


def _resume(statistics: Statistics, settings: Progress) -> Progress:
    progress = statistics.progress()
    if progress is None:
        return settings
    for name, what in (
        ("stream", "the stream"),
        ("every", "--every"),
        ("lateness_minutes", "[STREAM] LATENESS_MINUTES"),
    ):
        was, now = getattr(progress, name), getattr(settings, name)
        if was != now:
            raise ConfigError(
                f"These statistics were begun with {what} {was}, not {now}. Keep to that, or "
                "begin others with a new --out and --database."
            )
    return progress


def _parsed(
    message: Incoming, topic: str, quarantined: list[tuple[str, str, str, str, str]]
) -> Event | None:
    try:
        return parse(message.body)
    except BadMessageError as bad:
        raw = message.body.decode("utf-8", "backslashreplace")
        quarantined.append((topic, message.partition, message.offset, str(bad), raw))
        return None
