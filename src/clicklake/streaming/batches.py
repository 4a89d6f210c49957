"""The batch files: one for every N events of the stream."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from clicklake.storage.durable import write_durably
from clicklake.streaming.counting import Coded
from clicklake.streaming.messages import digest_of, time_text
from clicklake.streaming.statistics import Progress


class Batch:
    """The file being filled."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        self._folder = folder
        self._progress = progress
        self._users = set(progress.batch_users)

    def add(self, events: Coded) -> None:
        """Count events; with the last of each batch, write its file."""
        at = 0
        while at < len(events):
            end = at + self._progress.every - self._progress.batch_events
            self._fill(events[at:end])
            at = end

    def _fill(self, events: Coded) -> None:
        p = self._progress
        p.batch_events += len(events)
        first, last = (time_text(time) for time in (events.times.min(), events.times.max()))
        p.batch_min = min(p.batch_min or first, first)
        p.batch_max = max(p.batch_max, last)
        users = pa.array(np.unique(events.codes["visitor"]))
        self._users.update(events.names["visitor"].take(users).to_pylist())
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
