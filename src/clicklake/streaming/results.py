"""The tables of the statistics, and what windows put into them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring

import numpy as np
import pyarrow as pa

from clicklake.streaming.counting import TOP_KINDS, Pairs
from clicklake.streaming.tables import Row, SqlTable
from clicklake.streaming.windows import Passed, Visit, Window, Windows

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


def window_rows(windows: Iterable[Window]) -> pa.Table:
    return WINDOWS.of([_window_row(window) for window in windows])


def top_rows(windows: Iterable[Window]) -> pa.Table:
    return TOPS.of([row for window in windows for row in _tops(window)])


def passed_windows(passed: Iterable[Passed]) -> pa.Table:
    return pa.concat_tables([WINDOWS.of([]), *map(_passed_windows, passed)])


def passed_tops(passed: Iterable[Passed]) -> pa.Table:
    tops = (_passed_tops(part, kind) for part in passed for kind in TOP_KINDS)
    return pa.concat_tables([TOPS.of([]), *tops])


def late_rows(windows: Windows) -> pa.Table:
    return WINDOWS.of([(*key, 0, 0, 0, 0, events, True) for key, events in windows.late.items()])


def open_rows(windows: Iterable[Window]) -> pa.Table:
    """What a restart needs of the windows that are still open."""
    held = (_held(window) for window in windows if not window.closed)
    return pa.concat_tables([OPEN.of([]), *held])


def _window_row(window: Window) -> Row:
    visitors, sessions = len(window.counts["visitor"]), len(window.counts["session"])
    counts = (window.events, window.bot_events, visitors, sessions)
    return (*window.key, *counts, 0, window.closed)


def _tops(window: Window) -> Iterator[Row]:
    for kind in TOP_KINDS:
        for rank, (name, events) in enumerate(window.top(kind, TOP), 1):
            yield (*window.key, kind, rank, name, events)


def _held(window: Window) -> pa.Table:
    visits = list(map(_visit_text, window.unstored))
    events = [window.visits[visit] for visit in window.unstored]
    kinds, names = [VISIT] * len(visits), visits
    if window.is_redacted:
        for (kind, name), count in window.older.items():
            kinds.append(kind)
            names.append(name)
            events.append(count)
    starts = [window.start] * len(names)
    return OPEN.table(window.period, starts, kinds, names, events)


def _visit_text(visit: Visit) -> str:
    """A visit as JSON."""
    *names, is_bot = visit
    return f"[{', '.join(map(encode_basestring, names))}, {'true' if is_bot else 'false'}]"


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
