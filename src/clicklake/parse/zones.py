"""Offsets from UTC of times that tell no zone.

Where clocks are set back, a time that comes twice is the first of the two; where they are set
forward, one that is left out is taken as if they had not been set yet (PEP 495's fold of 0).
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np

from clicklake.parse.values import ODD

# Times before and behind are read one by one.
_FIRST, _LAST = datetime(1999, 12, 1), datetime(2100, 1, 1)
_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_SECOND, _DAY = timedelta(seconds=1), timedelta(days=1)


def offset(zone: str, time: datetime) -> int:
    """Microseconds by which a zone's clocks, showing `time`, are ahead of UTC."""
    return _offset(_zone(zone), time) // _MICROSECOND


def _offset(zone: tzinfo, time: datetime) -> timedelta:
    return zone.utcoffset(time) or timedelta()


@cache
def _zone(name: str) -> tzinfo:
    found = re.fullmatch(r"([+-])(\d\d):?(\d\d)", name)
    if found is None:
        return ZoneInfo(name)
    ahead = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return timezone(ahead if found[1] == "+" else -ahead)


@cache
def offsets(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Local times, in microseconds since 1970, and the offset before each and behind the last.

    The offset is ODD where none is told.
    """
    zone = _zone(name)
    if isinstance(zone, timezone) or name == "UTC":
        return np.zeros(0, np.int64), np.array([offset(name, _FIRST)])
    edges, found = [_FIRST], [ODD, offset(name, _FIRST)]
    day = _FIRST
    while day < _LAST:
        following = day + _DAY
        if _offset(zone, day) != _offset(zone, following):
            edges.append(_change(zone, day, following))
            found.append(offset(name, following))
        day = following
    times = [(edge - _EPOCH) // _MICROSECOND for edge in (*edges, _LAST)]
    return np.array(times), np.array([*found, ODD])


def _change(zone: tzinfo, before: datetime, after: datetime) -> datetime:
    """The first second of another offset than that of the time before."""
    while after - before > _SECOND:
        middle = before + (after - before) // _SECOND // 2 * _SECOND
        if _offset(zone, middle) == _offset(zone, before):
            before = middle
        else:
            after = middle
    return after
