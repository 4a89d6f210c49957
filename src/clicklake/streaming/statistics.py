"""The summarizer's memory: results that people read, and the state to go on from, in one commit."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from clicklake.config import Config
from clicklake.streaming.database import Database
from clicklake.streaming.marks import Mark
from clicklake.streaming.messages import digest_of, microseconds, names
from clicklake.streaming.results import (
    OPEN,
    POSITIONS,
    QUARANTINE,
    STATE,
    TABLES,
    TOPS,
    VISIT,
    WINDOWS,
    late_rows,
    open_rows,
    passed_tops,
    passed_windows,
    top_rows,
    window_rows,
)
from clicklake.streaming.tables import SqlTable
from clicklake.streaming.windows import PERIODS, Window, Windows


@dataclass
class Progress:
    """How far the summarizer is: the part of its memory that fits into one row."""

    stream: str
    every: int
    lateness_minutes: int
    expected: int = 1  # the next sequence number
    events: int = 0
    missing: int = 0
    latest: str = ""
    batch: int = 1  # the file being filled, and what is in it so far
    batch_events: int = 0
    batch_min: str = ""
    batch_max: str = ""
    batch_users: list[str] = field(default_factory=list)
    mark: Mark | None = None  # the publisher's, once it is known
    identity: str = ""  # of the stream, whatever its address


def read_progress(database: Database) -> Progress | None:
    """What was stored last; None if nothing ever was."""
    if STATE.name not in database.tables():
        return None
    rows = database.fetch("SELECT state FROM stream_state")
    if not rows:
        return None
    stored = json.loads(rows[0][0])
    mark = stored.pop("mark", None)
    return Progress(**stored, mark=Mark(*mark) if mark else None)


def database_url(config: Config) -> str:
    """The statistics' database: as configured, or an SQLite file beside the batch files."""
    file = Path(config.stream.summaries).resolve() / "statistics.sqlite"
    return config.stream.database or f"sqlite:///{file}"


class Statistics:
    """The statistics' tables in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        for table in TABLES:
            database.execute(table.create())
        database.commit()

    def progress(self) -> Progress | None:
        return read_progress(self._database)

    def positions(self) -> dict[str, str]:
        return dict(self._database.fetch('SELECT "partition", "offset" FROM stream_positions'))

    def forget_positions(self) -> None:
        """Read the stream from its start; what was counted is told by its number."""
        self._database.execute("DELETE FROM stream_positions")

    def forget(self, digests: Collection[str], is_named: Callable[[str], bool]) -> None:
        """Take visitors back and drop all that names them; `is_named` judges any other text."""
        if (progress := self.progress()) is None:
            return
        windows = self.windows(timedelta(minutes=progress.lateness_minutes), progress.latest)
        for digest in digests:
            windows.retract(digest)
        progress.batch_users = [u for u in progress.batch_users if digest_of(u) not in digests]
        self.store(progress, self.positions(), windows, ())
        self.clean_quarantine(digests, is_named)
        for (name,) in self._database.fetch("SELECT DISTINCT name FROM stream_tops"):
            if is_named(name):
                self._database.execute(
                    f"UPDATE stream_tops SET name = '(forgotten)' WHERE name = {_quoted(name)}"  # noqa: S608
                )
        self._database.commit()

    def clean_quarantine(
        self, digests: Collection[str], is_named: Callable[[str], bool] = lambda _: False
    ) -> None:
        """Drop the messages that name one of these visitors; `store` commits it."""
        query = 'SELECT topic, "partition", "offset", raw FROM stream_quarantine'
        for *place, raw in self._database.fetch(query):
            if names(raw, digests) or is_named(raw):
                topic, partition, offset = map(_quoted, place)
                self._database.execute(
                    f"DELETE FROM stream_quarantine WHERE topic = {topic} "  # noqa: S608
                    f'AND "partition" = {partition} AND "offset" = {offset}'
                )

    def windows(self, lateness: timedelta, latest: str) -> Windows:
        """The open windows, as they were stored; `latest`: the latest time of any event, or ""."""
        windows: dict[tuple, Window] = {}
        for period, start, events, bot_events in self._database.fetch(
            "SELECT period, window_start, events, bot_events FROM stream_windows WHERE NOT closed"
        ):
            window = Window(period, _time(start), events, bot_events, is_stored=True)
            windows[window.key] = window
        for period, start, kind, name, events in self._database.fetch(
            "SELECT period, window_start, kind, name, events FROM stream_open_windows"
        ):
            window = windows[period, _time(start)]
            if kind == VISIT:
                window.restore(Counter({tuple(json.loads(name)): events}))
            else:
                window.restore_name(kind, name, events)
        return Windows(lateness, microseconds(latest) if latest else None, windows.values())

    def store(
        self,
        progress: Progress,
        positions: dict[str, str],
        windows: Windows,
        quarantined: Sequence[tuple[str, str, str, str, str]],
    ) -> None:
        """Store everything and commit it at once."""
        changed = windows.changed()
        upsert = self._database.upsert
        upsert(QUARANTINE, QUARANTINE.of(quarantined))
        redacted = [window for window in changed if window.is_redacted]
        self._delete(TOPS, redacted)
        self._delete(OPEN, redacted)
        upsert(WINDOWS, window_rows(changed))
        upsert(TOPS, top_rows(changed))
        self._database.insert(WINDOWS, passed_windows(windows.passed))
        self._database.insert(TOPS, passed_tops(windows.passed))
        upsert(WINDOWS, late_rows(windows), _ADD_LATE)
        upsert(OPEN, open_rows(changed))
        self._delete(OPEN, [window for window in changed if window.closed and window.is_stored])
        upsert(POSITIONS, POSITIONS.of(list(positions.items())))
        upsert(STATE, STATE.of([(1, json.dumps(asdict(progress)))]))
        self._database.commit()
        windows.stored()

    def _delete(self, table: SqlTable, windows: Iterable[Window]) -> None:
        for period in PERIODS:
            starts = [w.start for w in windows if w.period == period]
            if starts:
                times = ", ".join(f"'{np.datetime64(start, 'us').item()}'" for start in starts)
                self._database.execute(
                    f"DELETE FROM {table.name} "  # noqa: S608 - our own values
                    f"WHERE period = '{period}' AND window_start IN ({times})"
                )


_ADD_LATE = {"late_events": "stream_windows.late_events + excluded.late_events"}


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _time(value: str | datetime) -> int:
    """A time of the database in microseconds since 1970."""
    return microseconds(f"{value}Z".replace(" ", "T"))
