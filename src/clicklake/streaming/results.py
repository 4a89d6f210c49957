"""The tables of the statistics, and what windows put into them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from clicklake.streaming.counting import TOP_KINDS, Pairs
from clicklake.streaming.database import Row, SqlTable
from clicklake.streaming.windows import Passed, Window, Windows

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
VISIT = "visit"  # a kind of row of open windows; those of an older release have other kinds
TABLES = (WINDOWS, TOPS, QUARANTINE, STATE, POSITIONS, OPEN)


def window_rows(windows: Windows) -> pa.Table:
    """What `stream_windows` is told of windows that have changed."""
    changed = WINDOWS.of([_window_row(window) for window in windows.changed()])
    return pa.concat_tables([changed, *map(_passed_windows, windows.passed)])


def top_rows(windows: Windows) -> pa.Table:
    """What `stream_tops` is told of windows that have changed."""
    changed = TOPS.of([row for window in windows.changed() for row in _tops(window)])
    passed = [_passed_tops(part, kind) for part in windows.passed for kind in TOP_KINDS]
    return pa.concat_tables([changed, *passed])


def late_rows(windows: Windows) -> pa.Table:
    return WINDOWS.of([(*key, 0, 0, 0, 0, events, True) for key, events in windows.late.items()])


def open_rows(windows: Iterable[Window]) -> pa.Table:
    """What a restart needs of the windows that are still open."""
    return OPEN.of([row for window in windows if not window.closed for row in _held(window)])


def _window_row(window: Window) -> Row:
    visitors, sessions = len(window.counts["visitor"]), len(window.counts["session"])
    counts = (window.events, window.bot_events, visitors, sessions)
    return (*window.key, *counts, 0, window.closed)


def _tops(window: Window) -> Iterator[Row]:
    for kind in TOP_KINDS:
        for rank, (name, events) in enumerate(window.top(kind, TOP), 1):
            yield (*window.key, kind, rank, name, events)


def _held(window: Window) -> Iterator[Row]:
    for visit in window.unstored:
        yield (*window.key, VISIT, _json(visit), window.visits[visit])
    if window.is_redacted:
        for (kind, name), events in window.older.items():
            yield (*window.key, kind, name, events)


_json = json.JSONEncoder(ensure_ascii=False).encode


def _passed_windows(passed: Passed) -> pa.Table:
    size = len(passed.starts)
    visitors, sessions = (_pairs(passed, kind).window for kind in ("visitor", "session"))
    counted = (passed.window, passed.window[passed.events.is_bot], visitors, sessions)
    counts = [np.bincount(windows, minlength=size) for windows in counted]
    own = counts[0] > 0
    late = np.zeros(size, np.int64)
    return WINDOWS.table(passed.period, *(c[own] for c in (passed.starts, *counts, late, own)))


def _passed_tops(passed: Passed, kind: str) -> pa.Table:
    names = passed.events.names[kind]
    pairs, ranks = _pairs(passed, kind).top(names, TOP)
    starts, top = passed.starts[pairs.window], names.take(pa.array(pairs.name))
    return TOPS.table(passed.period, starts, kind, ranks, top, pairs.events)


def _pairs(passed: Passed, kind: str) -> Pairs:
    return Pairs.of(passed.window, passed.events.codes[kind], len(passed.events.names[kind]))
