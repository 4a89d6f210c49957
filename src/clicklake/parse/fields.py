"""Columns of text to typed columns.

Times are microseconds since 1970 (UTC) as int64, `INVALID` where the text is no time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from clicklake.parse import zones
from clicklake.parse.texts import TextColumn
from clicklake.parse.values import DAY, FAR, INVALID, MILLISECOND, ODD, SECOND

UNITS = {"unix_s": SECOND, "unix_ms": MILLISECOND, "unix_us": 1}

_WHOLE = re.compile(r"([+-]?)0*([0-9]{1,19})")
_UNIX = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]+))?")
_ISO = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:\.([0-9]{1,9}))?(?:Z|([+-])([0-9]{2}):?([0-9]{2}))?"
)
_EMAIL = re.compile(r"[^@ \t]+@[^@ \t]+")

_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)


def whole_number(texts: TextColumn) -> tuple[np.ndarray, np.ndarray]:
    """int64 of digits with an optional sign, and which of the texts are such a number."""
    numbers = _usual(texts, "whole_numbers")
    are_whole = numbers > ODD
    odd = np.flatnonzero(numbers == ODD)
    exact = [_whole(text) for text in texts.to_pylist(odd)]
    numbers[odd] = [number or 0 for number in exact]
    are_whole[odd] = [number is not None for number in exact]
    return numbers, are_whole


def _whole(text: str | None) -> int | None:
    match = _WHOLE.fullmatch(text or "")
    if match is None:
        return None
    number = int(match.group(1) + match.group(2))
    return number if -(2**63) <= number < 2**63 else None


@dataclass(frozen=True)
class Clock:
    """How times are written: ISO 8601, in a zone where they tell none, or a number since 1970."""

    format: str = "iso"
    zone: str = "UTC"

    def times(self, texts: TextColumn) -> np.ndarray:
        if self.format == "iso":
            return iso_time(texts, self.zone)
        return unix_time(texts, UNITS[self.format])


def iso_time(texts: TextColumn, zone: str = "UTC") -> np.ndarray:
    """`YYYY-MM-DD`, `T` or a space, `HH:MM:SS`, a fraction and a zone if there are any."""
    times = _usual(texts, "iso_times")
    if texts.compiled and zone != "UTC":
        texts.compiled.in_zone(texts.raw, texts.begins, texts.ends, times, *zones.offsets(zone))
    return _exact(texts, times, partial(_iso, zone=zone))


def _iso(text: str, zone: str) -> int:
    match = _ISO.fullmatch(text)
    if match is None:
        return INVALID
    day, clock, fraction, sign, hours, minutes = match.groups()
    try:
        time = datetime.fromisoformat(f"{day}T{clock}")
    except ValueError:
        return INVALID
    if hours and (int(hours) > 23 or int(minutes) > 59):
        return INVALID
    micros = (time - _EPOCH) // _MICROSECOND + _micros(fraction)
    if not hours:
        return micros - (0 if text.endswith("Z") else zones.offset(zone, time))
    offset = (int(hours) * 60 + int(minutes)) * 60 * SECOND
    return micros - (offset if sign == "+" else -offset)


def unix_time(texts: TextColumn, unit: int = SECOND) -> np.ndarray:
    """Units since 1970, a fraction cut to microseconds; beyond any range it is `FAR`."""
    return _exact(texts, _usual(texts, "unix_times", unit), partial(_unix, unit=unit))


def _unix(text: str, unit: int) -> int:
    match = _UNIX.fullmatch(text)
    if match is None:
        return INVALID
    sign, whole, fraction = match.groups()
    whole = whole.lstrip("0") or "0"
    if len(whole) > 11 + len(str(SECOND // unit)):
        return FAR
    micros = int(whole) * unit + _micros(fraction) * unit // SECOND
    return -micros if sign == "-" else micros


def _micros(fraction: str | None) -> int:
    return int((fraction or "")[:6].ljust(6, "0"))


def is_email(texts: TextColumn) -> np.ndarray:
    """Text with one `@`, something on both sides of it, and no blanks."""
    if texts.compiled:
        return texts.compiled.are_emails(texts.raw, texts.begins, texts.ends)
    return _which(texts, lambda text: _EMAIL.fullmatch(text) is not None)


def equals(texts: TextColumn, word: str) -> np.ndarray:
    if texts.compiled:
        return texts.compiled.are_equal(texts.raw, texts.begins, texts.ends, word.encode())
    return _which(texts, word.__eq__)


def _which(texts: TextColumn, holds: Callable[[str], bool]) -> np.ndarray:
    every = texts.to_pylist(range(len(texts)))
    return np.array([text is not None and holds(text) for text in every], np.bool_)


def _exact(texts: TextColumn, times: np.ndarray, exact: Callable[[str], int]) -> np.ndarray:
    """The times, those that are ODD read one by one."""
    odd = np.flatnonzero(times == ODD)
    times[odd] = [exact(text) if text else INVALID for text in texts.to_pylist(odd)]
    return times


def _usual(texts: TextColumn, kernel: str, *given: Any) -> np.ndarray:
    """What compiled code makes of the texts, ODD what it has left: all if there is none."""
    if texts.compiled is None:
        return np.full(len(texts), ODD)
    return getattr(texts.compiled, kernel)(texts.raw, texts.begins, texts.ends, *given)


def months(times: np.ndarray) -> np.ndarray:
    """The UTC month of each time, counted from January 1970."""
    return times.view("datetime64[us]").astype("datetime64[M]").astype(np.int64)


def year_and_month(month: int) -> tuple[int, int]:
    return 1970 + month // 12, month % 12 + 1


def timestamps(times: np.ndarray) -> pa.Array:
    return pa.array(times).cast(pa.timestamp("us", tz="UTC"))


def time_range(as_of: date) -> tuple[int, int]:
    """The first microsecond in range, and the first beyond: the day after `as_of` is the last."""
    first = (date(2000, 1, 1) - _EPOCH.date()).days * DAY
    return first, (as_of + timedelta(days=2) - _EPOCH.date()).days * DAY
