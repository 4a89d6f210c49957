"""Values that a source does not take: times in other units or formats, other environments."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta

from clicklake.logs.diagnosis.cause import Cause, shortened
from clicklake.logs.diagnosis.heads import Head
from clicklake.logs.diagnosis.shapes import has_header
from clicklake.parse import csv, jsonl
from clicklake.parse.values import SECOND

_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_FROM_1601 = (_1970 - datetime(1601, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)

# What a whole number may count: microseconds in one of it, and in 1970 since its beginning.
_UNITS = {
    "seconds since 1970": (SECOND, 0),
    "milliseconds since 1970": (1000, 0),
    "microseconds since 1970": (1, 0),
    "nanoseconds since 1970": (0.001, 0),
    "units of 100 ns since 1601 (LDAP, Windows)": (0.1, _FROM_1601),
    "seconds since 1601": (SECOND, _FROM_1601),
}
_FORMATS = {
    r"\d{14}(\.\d+)?Z?": "LDAP's format YYYYMMDDHHMMSSZ",
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*": "ISO 8601's format",
    r"\d{4}-\d\d-\d\d": "days without a time",
    r"\d{1,2}[/.]\d{1,2}[/.]\d{2,4}.*": "a format with the day or the month first",
    r".*\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec).*": "a format with names of months",
}
_MANY = 10  # values, from which on they are no environments
_TIMES = ("invalid_time", "time_out_of_range")
_EXPECTED = {
    "iso": "ISO 8601, such as 2018-04-01T09:12:03Z",
    "unix_s": "seconds since 1970, such as 1522573923",
    "unix_ms": "milliseconds since 1970, such as 1522573923000",
    "unix_us": "microseconds since 1970, such as 1522573923000000",
}


def times(head: Head) -> Cause | None:
    """Times in another unit or format, if most of the bad rows are bad for their times."""
    bad = [(reason, raw) for reason, raw in head.rejects if reason in _TIMES]
    if 2 * len(bad) <= len(head.rejects):
        return None
    column = head.source.time
    values = ((reason, _value(head, raw, column)) for reason, raw in bad)
    reason, value = next((pair for pair in values if pair[1]), ("", None))
    if value is None:
        return None
    kind = _kind(value, head.time_range)
    if kind is None and reason == "time_out_of_range":
        first, after = (_day(edge) for edge in head.time_range)
        remedy = "look at the clock that wrote them, or give the run's date by --as-of"
        found = f"{column} such as {shortened(value, 40)}"
        return Cause(found, f"times from {first} to before {after}", remedy)
    # What is no time may be anything, also what nobody should read here.
    found = f"{kind}, such as {shortened(value, 40)}" if kind else "a format that is not known"
    remedy = f"give {column} in that way where the log is written"
    return Cause(f"{column} in {found}", _EXPECTED[head.source.clock.format], remedy)


def environments(head: Head) -> list[tuple[str, int]]:
    """The environments of the rows, the most frequent first; what reads like none is not named."""
    is_headed = bool(head.source.header) or has_header(head.source, head.text)
    rows = head.lines[1:] if is_headed else head.lines
    found = Counter(_word(_value(head, row, "environment")) for row in rows)
    if len(found) > _MANY:
        return [(f"more than {_MANY} different values", found.total())]
    return found.most_common(5)


def _word(value: str | None) -> str:
    if value is None:
        return "(none)"
    return value if re.fullmatch(r"[^\W\d_][\w-]{0,29}", value) else "(no word)"


def _value(head: Head, raw: str, column: str) -> str | None:
    """The value of a row's column, as text."""
    for key in head.source.keys:
        if key.name == column:
            row = jsonl.loads(raw)
            value = jsonl.value_at(row, key.path) if isinstance(row, dict) else None
            return str(getattr(value, "digits", value)) if value is not None else None
    fields = csv.split(raw, head.source.dialect)
    at = head.layout.positions.get(column, -1) if head.layout else -1
    return fields[at].strip(" \t") or None if fields and 0 <= at < len(fields) else None


def _kind(value: str, time_range: tuple[int, int]) -> str | None:
    for pattern, name in _FORMATS.items():
        if re.fullmatch(pattern, value):
            return name
    if not re.fullmatch(r"\d+(\.\d+)?", value):
        return None
    first, after = time_range
    for name, (micros, since) in _UNITS.items():
        at = float(value) * micros - since
        if first <= at < after:
            return f"{name}, as {_1970 + timedelta(microseconds=at):%Y-%m-%d %H:%M} would be"
    return None


def _day(micros: int) -> str:
    return f"{_1970 + timedelta(microseconds=micros):%Y-%m-%d}"
