"""Usual times as microseconds since 1970."""

from __future__ import annotations

import numpy as np

from clicklake.compiling import compile_once
from clicklake.parse.compiled.bytes import (
    COLON,
    DOT,
    LETTER_T,
    LETTER_Z,
    MINUS,
    PLUS,
    SPACE,
    ZERO,
    is_digit,
)
from clicklake.parse.compiled.fields import decimal
from clicklake.parse.compiled.json_values import after_digits
from clicklake.parse.values import INVALID, MILLISECOND, ODD, SECOND


@compile_once
def iso_times(data: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    times = np.empty(len(begins), np.int64)
    for row in range(len(begins)):
        times[row] = _iso_time(data, begins[row], ends[row])
    return times


@compile_once
def _iso_time(data: np.ndarray, at: int, end: int) -> int:
    """Microseconds of `YYYY-MM-DDTHH:MM:SS`, a fraction and a zone if there are any."""
    if end - at < 19 or data[at + 4] != MINUS or data[at + 7] != MINUS:
        return INVALID
    if not (data[at + 10] == LETTER_T or data[at + 10] == SPACE):
        return INVALID
    if data[at + 13] != COLON or data[at + 16] != COLON:
        return INVALID
    century, years = _two(data, at), _two(data, at + 2)
    month, day = _two(data, at + 5), _two(data, at + 8)
    hour, minute, second = _two(data, at + 11), _two(data, at + 14), _two(data, at + 17)
    if min(century, years, month, day, hour, minute, second) < 0:
        return INVALID
    year = 100 * century + years
    if year < 1 or not 1 <= month <= 12 or hour > 23 or minute > 59 or second > 59:
        return INVALID
    if not 1 <= day <= _days_in(year, month):
        return INVALID
    seconds = (_days(year, month, day) * 24 + hour) * 3600 + minute * 60 + second
    tail = _fraction_and_zone(data, at + 19, end)
    return INVALID if tail == INVALID else seconds * SECOND + tail


@compile_once
def _two(data: np.ndarray, at: int) -> int:
    """The number of two digits; -1 if they are none."""
    if is_digit(data[at]) and is_digit(data[at + 1]):
        return (data[at] - ZERO) * 10 + data[at + 1] - ZERO
    return -1


@compile_once
def _days_in(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


@compile_once
def _days(year: int, month: int, day: int) -> int:
    """Days since 1970 of a Gregorian date, counting years from March."""
    if month <= 2:
        year -= 1
        month += 12
    return (
        year * 365
        + year // 4
        - year // 100
        + year // 400
        + (153 * (month - 3) + 2) // 5
        + day
        - 719_469
    )


@compile_once
def _fraction_and_zone(data: np.ndarray, at: int, end: int) -> int:
    """The microseconds that they add; INVALID if they are neither."""
    micros = 0
    if at < end and data[at] == DOT:
        micros, at = _micros(data, at + 1, end)
        if micros < 0:
            return INVALID
    if at == end or (data[at] == LETTER_Z and at + 1 == end):
        return micros
    if not (data[at] == PLUS or data[at] == MINUS) or end - at < 5:
        return INVALID
    behind = at + 4 if data[at + 3] == COLON else at + 3
    if behind + 2 != end:
        return INVALID
    hours, minutes = _two(data, at + 1), _two(data, behind)
    if not (0 <= hours <= 23 and 0 <= minutes <= 59):
        return INVALID
    offset = (hours * 60 + minutes) * 60 * SECOND
    return micros - offset if data[at] == PLUS else micros + offset


@compile_once
def _micros(data: np.ndarray, at: int, end: int) -> tuple[int, int]:
    """The microseconds of a fraction of 1 to 9 digits (-1: it is none), and where it ends."""
    first = at
    at = after_digits(data, at, end)
    if not 1 <= at - first <= 9:
        return -1, at
    micros = 0
    for k in range(first, first + 6):
        micros = micros * 10 + (data[k] - ZERO if k < at else 0)
    return micros, at


@compile_once
def in_zone(
    data: np.ndarray,
    begins: np.ndarray,
    ends: np.ndarray,
    times: np.ndarray,
    edges: np.ndarray,
    offsets: np.ndarray,
) -> None:
    """Take what tells no zone, and was read as UTC, as times of a zone; ODD where no edge is near.

    `edges`, `offsets`: those of `zones.offsets`.
    """
    for row in range(len(times)):
        if times[row] <= ODD:
            continue
        at = begins[row] + 19
        if at < ends[row] and data[at] == DOT:
            at = after_digits(data, at + 1, ends[row])
        if at == ends[row]:
            offset = _offset(times[row], edges, offsets)
            times[row] = ODD if offset == ODD else times[row] - offset


@compile_once
def _offset(time: int, edges: np.ndarray, offsets: np.ndarray) -> int:
    """That of the last of the `edges` that is not behind a time."""
    low, high = 0, len(edges)
    while low < high:
        middle = (low + high) // 2
        if edges[middle] <= time:
            low = middle + 1
        else:
            high = middle
    return offsets[low]


@compile_once
def unix_times(data: np.ndarray, begins: np.ndarray, ends: np.ndarray, unit: int) -> np.ndarray:
    """Microseconds of a number that may have a fraction; ODD if it is anything else.

    `unit`: microseconds in one, of which a million is a multiple.
    """
    times = np.empty(len(begins), np.int64)
    longest = 12 if unit == SECOND else (15 if unit == MILLISECOND else 18)
    for row in range(len(begins)):
        begin, end = begins[row], ends[row]
        stop = after_digits(data, begin, end)
        times[row] = INVALID if begin == end else ODD
        if not 1 <= stop - begin <= longest:
            continue
        micros = 0
        if stop < end:
            if data[stop] != DOT:
                continue
            micros, at = _micros(data, stop + 1, end)
            if at < end or micros < 0:
                continue
            if unit != SECOND:
                micros = micros * unit // SECOND
        times[row] = decimal(data, begin, stop) * unit + micros
    return times
