"""Columns of text to typed columns; a value that is none becomes null.

Times are microseconds since 1970 (UTC) as int64, `INVALID` where the text is no time.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

BLANKS = " \t"
_IS_BLANK = np.isin(np.arange(256), [ord(blank) for blank in BLANKS])
SECOND = 1_000_000
DAY = 86_400 * SECOND

INVALID = np.iinfo(np.int64).min
FAR = np.iinfo(np.int64).max  # a time that exists, beyond every range

_EMAIL = r"\A[^@ \t]+@[^@ \t]+\z"
_WHOLE = r"\A[+-]?[0-9]{1,18}\z"
_UNIX = r"\A[0-9]{1,12}(?:\.[0-9]{1,9})?\z"
_UNIX_ANY = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]+))?")
_ISO_TAIL = re.compile(r"(?:\.([0-9]{1,9}))?(?:Z|([+-])([0-9]{2}):?([0-9]{2}))?")
_SCREEN = re.compile(r"([0-9]+)[ \t]*[xX][ \t]*([0-9]+)")

_EPOCH = date(1970, 1, 1)
_DIGITS = [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18]  # of YYYY-MM-DDTHH:MM:SS
_MONTH_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def matches(values: pa.Array, pattern: str) -> np.ndarray:
    """Which values match; null does not."""
    found = pc.match_substring_regex(values, pattern)
    return pc.fill_null(found, False).to_numpy(zero_copy_only=False)


def is_null(values: pa.Array) -> np.ndarray:
    return values.is_null().to_numpy(zero_copy_only=False)


def text(values: pa.Array) -> pa.Array:
    """Blanks around the text are cut; an empty text is null."""
    offsets, data = _layout(values)
    empty = offsets[1:] == offsets[:-1]
    begins, ends = (offsets[side][~empty] for side in (slice(-1), slice(1, None)))
    if _IS_BLANK[data[begins]].any() or _IS_BLANK[data[ends - 1]].any():
        values = pc.utf8_trim(values, BLANKS)
    elif not empty.any() or is_null(values)[empty].all():
        return values
    is_empty = pc.fill_null(pc.equal(pc.binary_length(values), 0), False)
    return pc.if_else(is_empty, pa.scalar(None, pa.string()), values)


def _layout(values: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Where the values of a text column begin and end, and the bytes they are in."""
    _, offsets, data = values.buffers()
    where = np.frombuffer(offsets or b"", np.int32)[values.offset : values.offset + len(values) + 1]
    if len(values) == 0:
        where = np.zeros(1, np.int32)
    return where, np.frombuffer(data or b"", np.uint8)


def whole_number(values: pa.Array) -> pa.Array:
    """int64 of digits with an optional sign; null where the text is no whole number of 64 bits."""
    if pa.types.is_integer(values.type):
        return values
    values = text(values)
    plain = matches(values, _WHOLE)
    unsigned = pc.replace_substring_regex(values, r"\A\+", "")
    numbers = pc.if_else(pa.array(plain), unsigned, pa.scalar(None, pa.string())).cast(pa.int64())
    odd = ~plain & ~is_null(values)
    return _patch(
        numbers, odd, [_whole(value) for value in values.filter(pa.array(odd)).to_pylist()]
    )


def _whole(value: str) -> int | None:
    match = re.fullmatch(r"([+-]?)0*([0-9]{1,19})", value)
    if match is None:
        return None
    number = int(match.group(1) + match.group(2))
    return number if -(2**63) <= number < 2**63 else None


def _patch(values: pa.Array, mask: np.ndarray, replacements: list[Any]) -> pa.Array:
    if not replacements:
        return values
    return pc.replace_with_mask(values, pa.array(mask), pa.array(replacements, values.type))


def is_email(values: pa.Array) -> np.ndarray:
    """Text with one `@`, something on both sides of it, and no blanks."""
    return matches(values, _EMAIL)


def iso_time(values: pa.Array) -> np.ndarray:
    """`YYYY-MM-DD`, `T` or a space, `HH:MM:SS`, a fraction and a zone if there are any."""
    times = np.full(len(values), INVALID, np.int64)
    long_enough = pc.fill_null(pc.greater_equal(pc.binary_length(values), 19), False)
    at = np.flatnonzero(long_enough.to_numpy(zero_copy_only=False))
    if len(at) == 0:
        return times
    candidates = pa.concat_arrays([values.take(pa.array(at))])
    seconds, valid = _civil_seconds(_head_bytes(candidates, 19))
    delta = _tail_micros(pc.utf8_slice_codeunits(candidates, 19))
    valid &= delta != INVALID
    times[at[valid]] = seconds[valid] * SECOND + delta[valid]
    return times


def _head_bytes(values: pa.Array, length: int) -> np.ndarray:
    """The first bytes of every value, a row each."""
    _, offsets, data = values.buffers()
    starts = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values)]
    raw = np.frombuffer(data, np.uint8)
    return raw[starts[:, None].astype(np.int64) + np.arange(length)]


def _civil_seconds(head: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Seconds since 1970 of `YYYY-MM-DDTHH:MM:SS`, and whether such a time exists."""
    digits = head[:, _DIGITS].astype(np.int64) - ord("0")
    valid = ((digits >= 0) & (digits <= 9)).all(axis=1)
    for position, allowed in ((4, b"-"), (7, b"-"), (10, b"T "), (13, b":"), (16, b":")):
        valid &= np.isin(head[:, position], list(allowed))
    year = digits[:, :4] @ [1000, 100, 10, 1]
    month, day, hour, minute, second = (digits[:, k : k + 2] @ [10, 1] for k in (4, 6, 8, 10, 12))
    valid &= (year >= 1) & (month >= 1) & (month <= 12)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    days = _MONTH_DAYS[np.where(valid, month, 0)] + (leap & (month == 2))
    valid &= (day >= 1) & (day <= days) & (hour <= 23) & (minute <= 59) & (second <= 59)
    return _days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second, valid


def _days(year: np.ndarray, month: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Days since 1970 of a Gregorian date, counting years from March."""
    year = year - (month <= 2)
    day_of_year = (153 * (month + np.where(month > 2, -3, 9)) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + day_of_year - 719_468


def _tail_micros(tails: pa.Array) -> np.ndarray:
    """What fraction and zone add to the time; `INVALID` where they are neither."""
    encoded = tails.dictionary_encode()
    micros = [_tail(tail) for tail in encoded.dictionary.to_pylist()]
    return np.array(micros, np.int64)[encoded.indices.to_numpy()]


def _tail(tail: str) -> int:
    match = _ISO_TAIL.fullmatch(tail)
    if match is None:
        return INVALID
    fraction, sign, hours, minutes = match.groups()
    if hours and (int(hours) > 23 or int(minutes) > 59):
        return INVALID
    offset = (int(hours) * 60 + int(minutes)) * 60 * SECOND if hours else 0
    micros = int((fraction or "")[:6].ljust(6, "0"))
    return micros - (offset if sign == "+" else -offset)


def unix_time(values: pa.Array) -> np.ndarray:
    """Seconds since 1970, a fraction cut to microseconds; beyond any range it is `FAR`."""
    times = np.full(len(values), INVALID, np.int64)
    whole = _are_digits(values, most=12)
    seconds = values if whole.all() else values.filter(pa.array(whole))
    times[whole] = seconds.cast(pa.int64()).to_numpy() * SECOND
    other = ~whole & ~is_null(values)
    if other.any():
        times[other] = _fractional(values.filter(pa.array(other)))
    return times


def _are_digits(values: pa.Array, most: int) -> np.ndarray:
    """Which values are ASCII digits alone, one to `most` of them."""
    offsets, data = _layout(values)
    lengths = np.diff(offsets)
    digits = (lengths > 0) & (lengths <= most) & ~is_null(values)
    begin = int(offsets[0])
    others = np.flatnonzero(data[begin : int(offsets[-1])] - np.uint8(ord("0")) > 9) + begin
    digits[np.searchsorted(offsets, others, side="right") - 1] = False
    return digits


def _fractional(values: pa.Array) -> np.ndarray:
    plain = matches(values, _UNIX)
    decimals = pc.if_else(pa.array(plain), values, pa.scalar(None, pa.string()))
    micros = decimals.cast(pa.decimal128(21, 9)).cast(
        options=pc.CastOptions(pa.decimal128(21, 6), allow_decimal_truncate=True)
    )
    times = np.where(plain, _unscaled(micros), INVALID)
    times[~plain] = [_unix(value) for value in values.filter(pa.array(~plain)).to_pylist()]
    return times


def _unscaled(decimals: pa.Array) -> np.ndarray:
    """The integers behind decimals that fit 64 bits."""
    words = np.frombuffer(decimals.buffers()[1], np.int64)
    return words[2 * decimals.offset : 2 * (decimals.offset + len(decimals)) : 2]


def _unix(value: str) -> int:
    match = _UNIX_ANY.fullmatch(value)
    if match is None:
        return INVALID
    sign, seconds, fraction = match.groups()
    seconds = seconds.lstrip("0") or "0"
    if len(seconds) > 12:
        return FAR
    micros = int(seconds) * SECOND + int((fraction or "")[:6].ljust(6, "0"))
    return -micros if sign == "-" else micros


def timestamps(times: np.ndarray) -> pa.Array:
    return pa.array(times).cast(pa.timestamp("us", tz="UTC"))


def time_range(as_of: date) -> tuple[int, int]:
    """The first microsecond in range, and the first beyond: the day after `as_of` is the last."""
    first = (date(2000, 1, 1) - _EPOCH).days * DAY
    return first, (as_of + timedelta(days=2) - _EPOCH).days * DAY


def screen(values: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Width and height of `1920x1080`; null otherwise."""
    sizes = [_screen(value) or (None, None) for value in values.to_pylist()]
    width, height = (pa.array([size[side] for size in sizes], pa.int64()) for side in (0, 1))
    return width, height


def _screen(value: str) -> tuple[int, int] | None:
    match = _SCREEN.fullmatch(value)
    if match is None:
        return None
    sides = [side.lstrip("0") or "0" for side in match.groups()]
    if any(len(side) > 10 or int(side) >= 2**31 for side in sides):
        return None
    return int(sides[0]), int(sides[1])
