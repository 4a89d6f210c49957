"""The summarizer's memory: results that people read, and the state to go on from, in one commit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

from clicklake.streaming.database import Database, SqlTable
from clicklake.streaming.marks import Mark
from clicklake.streaming.windows import TOP_KINDS, Window, Windows

TOP = 10  # how many paths and sources a window keeps

# What people read.
WINDOWS = SqlTable(
    "stream_windows",
    2,
    {
        "period": "TEXT",
        "window_start": "TIMESTAMP",
        "events": "BIGINT",
        "bot_events": "BIGINT",
        "visitors": "BIGINT",
        "sessions": "BIGINT",
        "late_events": "BIGINT",
        "closed": "BOOLEAN",
    },
)
TOPS = SqlTable(
    "stream_tops",
    4,
    {
        "period": "TEXT",
        "window_start": "TIMESTAMP",
        "kind": "TEXT",
        "rank": "BIGINT",
        "name": "TEXT",
        "events": "BIGINT",
    },
)
QUARANTINE = SqlTable(
    "stream_quarantine",
    3,
    {"topic": "TEXT", "partition": "TEXT", "offset": "TEXT", "reason": "TEXT", "raw": "TEXT"},
)
# What the summarizer goes on from.
STATE = SqlTable("stream_state", 1, {"id": "BIGINT", "state": "TEXT"})
POSITIONS = SqlTable("stream_positions", 1, {"partition": "TEXT", "offset": "TEXT"})
OPEN = SqlTable(
    "stream_open_windows",
    4,
    {
        "period": "TEXT",
        "window_start": "TIMESTAMP",
        "kind": "TEXT",
        "name": "TEXT",
        "events": "BIGINT",
    },
)
_TABLES = (WINDOWS, TOPS, QUARANTINE, STATE, POSITIONS, OPEN)


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


class Statistics:
    """The statistics' tables in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        for table in _TABLES:
            database.execute(table.create())
        database.commit()

    def progress(self) -> Progress | None:
        return read_progress(self._database)

    def positions(self) -> dict[str, str]:
        return dict(self._database.fetch('SELECT "partition", "offset" FROM stream_positions'))

    def forget_positions(self) -> None:
        """Read the stream from its start; what was counted is told by its number."""
        self._database.execute("DELETE FROM stream_positions")

    def windows(self, lateness: timedelta, latest: str) -> Windows:
        """The open windows, as they were stored."""
        windows: dict[tuple, Window] = {}
        for period, start, events, bot_events in self._database.fetch(
            "SELECT period, window_start, events, bot_events FROM stream_windows WHERE NOT closed"
        ):
            window = Window(period, _time(start), events, bot_events, is_stored=True)
            windows[window.key] = window
        for period, start, kind, name, events in self._database.fetch(
            "SELECT period, window_start, kind, name, events FROM stream_open_windows"
        ):
            windows[period, _time(start)].counts[kind][name] = events
        return Windows(lateness, latest, windows.values())

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
        upsert(QUARANTINE, quarantined)
        upsert(WINDOWS, [_window_row(window) for window in changed])
        upsert(WINDOWS, [(*key, 0, 0, 0, 0, n, True) for key, n in windows.late.items()], _ADD_LATE)
        upsert(TOPS, [row for window in changed for row in _top_rows(window)])
        upsert(OPEN, [row for window in changed for row in _open_rows(window)])
        self._forget(window for window in changed if window.closed and window.is_stored)
        upsert(POSITIONS, list(positions.items()))
        upsert(STATE, [(1, json.dumps(asdict(progress)))])
        self._database.commit()
        windows.stored()

    def _forget(self, closed: Iterable[Window]) -> None:
        for window in closed:
            self._database.execute(
                "DELETE FROM stream_open_windows "  # noqa: S608 - our own values
                f"WHERE period = '{window.period}' AND window_start = '{window.start}'"
            )


_ADD_LATE = {"late_events": "stream_windows.late_events + excluded.late_events"}


def _window_row(window: Window) -> tuple:
    visitors, sessions = len(window.counts["visitor"]), len(window.counts["session"])
    counts = (window.events, window.bot_events, visitors, sessions)
    return (*window.key, *counts, 0, window.closed)


def _top_rows(window: Window) -> Iterable[tuple]:
    for kind in TOP_KINDS:
        for rank, (name, events) in enumerate(window.top(kind, TOP), 1):
            yield (*window.key, kind, rank, name, events)


def _open_rows(window: Window) -> Iterable[tuple]:
    """What a restart needs of a window that is still open."""
    if not window.closed:
        for kind, names in window.unstored.items():
            for name in names:
                yield (*window.key, kind, name, window.counts[kind][name])


def _time(value: str | datetime) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value
