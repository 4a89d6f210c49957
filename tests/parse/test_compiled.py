"""Compiled code and Python read the same: hand-made records and fields, and all short UTF-8."""

from __future__ import annotations

from datetime import UTC, datetime
from types import ModuleType

import numpy as np
import pytest

from clicklake.parse import compiled as kernels
from clicklake.parse import csv, fields, values
from clicklake.parse.blocks import Block
from clicklake.parse.texts import TextColumn

LAYOUT = csv.Layout(3, {"a": 0, "c": 2})
RECORDS: dict[str, tuple[str | None, str | None] | str] = {
    "1,2,3": ("1", "3"),
    ' 1\t,2,"\t3 "': ("1", "3"),
    ",,": (None, None),
    '"",x,""': (None, None),
    '"a,b",x,"c\r"': ("a,b", "c\r"),
    '"say ""hi""",x,""""': ('say "hi"', '"'),
    'a"b,x,c"': ('a"b', 'c"'),
    ' "a",x,b': ('"a"', "b"),
    '"a"b,x,"c" d': ("ab", "c d"),
    '"a" ,x,"c"': ("a", "c"),
    "\u00fc,x,\U0001f600": ("\u00fc", "\U0001f600"),
    "a\0b,x,\rx": ("a\0b", "\rx"),
    "1,2": "wrong_field_count",
    "1,2,3,": "wrong_field_count",
    '1,2,"3': "unclosed_quote",
    '1,2,"': "unclosed_quote",
    '1,2,"3""': "unclosed_quote",
    '"1,2,3': "unclosed_quote",
}
WHOLE = {
    "0": 0, "-7": -7, "+7": 7, "007": 7, "-0": 0, "999999999999999999": 10**18 - 1,
    "9223372036854775807": 2**63 - 1, "-9223372036854775808": -(2**63),
    "9223372036854775808": None, "0" * 40 + "5": 5, "": None, "+": None, "-": None, "1.0": None,
    "1e3": None, "--1": None, "1 2": None, "\u0663": None, "9" * 30: None,
}  # fmt: skip
UNIX = {
    "0": 0, "1522540800": 1522540800_000000, "1.5": 1_500000, "1.1234567": 1_123456,
    "1.123456789": 1_123456, "1.1234567891": 1_123456, "-1.5": -1_500000, "+3": 3_000000,
    "999999999999": 999999999999_000000, "1000000000000": values.FAR, "0" * 20 + "1": 1_000000,
    "": None, "1.": None, ".5": None, "1e3": None, "1.5.2": None, "x": None, "1,5": None,
}  # fmt: skip
ISO = (
    "2018-04-01 12:34:56", "2018-04-01T12:34:56Z", "2018-04-01T12:34:56.5", "2000-02-29T00:00:00",
    "2018-04-01T12:34:56.123456789Z", "2018-04-01T12:34:56+05:30", "2018-04-01T12:34:56-0800",
    "2018-04-01T12:34:56.000001+23:59", "0001-01-01T00:00:00", "9999-12-31T23:59:59.999999",
    "2016-02-29T23:59:59", "1969-12-31T23:59:59.9",
)  # fmt: skip
NO_ISO = (
    "", "2018-04-01", "2018-04-01T12:34", "2018-4-01T12:34:56", "2018-04-01t12:34:56",
    "2018-13-01T00:00:00", "2018-00-01T00:00:00", "2018-04-31T00:00:00", "2018-04-00T00:00:00",
    "2019-02-29T00:00:00", "1900-02-29T00:00:00", "0000-01-01T00:00:00", "2018-04-01T24:00:00",
    "2018-04-01T12:60:00", "2018-04-01T12:00:60", "2018-04-01T12:34:56.", "2018-04-01T12:34:56z",
    "2018-04-01T12:34:56.1234567890", "2018-04-01T12:34:56+24:00", "2018-04-01T12:34:56+05:60",
    "2018-04-01T12:34:56+05", "2018-04-01T12:34:56+05:3", "2018-04-01T12:34:56+5:30",
    "2018-04-01T12:34:56 Z", "2018-04-01T12:34:56ZZ", "2018-04-01T12:34:56\u0662", "x" * 19,
    "2018/04/01T12:34:56", "2018-04-01T12-34-56", "+018-04-01T12:34:56",
)  # fmt: skip
EMAILS = ("a@b", "\u00fc@\u00e4", "a.b+c@d.e")
NO_EMAILS = ("", "@", "a@", "@b", "a@b@c", "a b@c", "a@b\tc", "ab", "a@@b")

both_ways = pytest.mark.parametrize("compiled", [None, kernels], ids=["Python", "compiled"])


def texts(values: list[str], compiled: ModuleType | None) -> TextColumn:
    parts = [value.encode() for value in values]
    edges = np.cumsum([0, *map(len, parts)], dtype=np.int32)
    return TextColumn(b"".join(parts), edges[:-1], edges[1:], compiled)


@both_ways
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_records_of_csv(compiled: ModuleType | None, end: str) -> None:
    block = Block("".join(record + end for record in RECORDS).encode(), compiled)
    found = csv.read(block, LAYOUT)
    a, c = (texts.to_pylist(range(len(texts))) for texts in found.columns.values())
    read: dict[int, object] = dict(zip(found.first.tolist(), zip(a, c, strict=True), strict=True))
    read |= {line: reason for line, _, reason in found.broken}
    assert read == dict(enumerate(RECORDS.values()))


def test_compiled_code_leaves_little_of_csv_to_python() -> None:
    block = Block("\n".join(RECORDS).encode(), kernels)
    lines = set(csv._plain(block, LAYOUT).lines.tolist())
    left = {record for at, record in enumerate(RECORDS) if at not in lines}
    after_quote = {'"a"b,x,"c" d', '"a" ,x,"c"'}
    assert left == after_quote | {r for r, found in RECORDS.items() if isinstance(found, str)}


@both_ways
def test_whole_numbers(compiled: ModuleType | None) -> None:
    numbers, are_whole = fields.whole_number(texts(list(WHOLE), compiled))
    found = [int(n) if is_one else None for n, is_one in zip(numbers, are_whole, strict=True)]
    assert dict(zip(WHOLE, found, strict=True)) == WHOLE


@both_ways
def test_unix_times(compiled: ModuleType | None) -> None:
    found = fields.unix_time(texts(list(UNIX), compiled)).tolist()
    expected = {text: values.INVALID if time is None else time for text, time in UNIX.items()}
    assert dict(zip(UNIX, found, strict=True)) == expected


@both_ways
def test_iso_times(compiled: ModuleType | None) -> None:
    found = fields.iso_time(texts([*ISO, *NO_ISO], compiled)).tolist()
    assert found == [*map(_micros, ISO), *[values.INVALID] * len(NO_ISO)]


def _micros(text: str) -> int:
    """By Python's own reading, which cuts the fraction as we do."""
    time = datetime.fromisoformat(text)
    since = (time if time.tzinfo else time.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


@both_ways
def test_emails(compiled: ModuleType | None) -> None:
    found = fields.is_email(texts([*EMAILS, *NO_EMAILS], compiled)).tolist()
    assert found == [True] * len(EMAILS) + [False] * len(NO_EMAILS)


@both_ways
def test_texts_of_all_lengths_are_copied(compiled: ModuleType | None) -> None:
    values = ["\u00e9" * length for length in (*range(40), 0, 1000, 1)]
    column = texts(values, compiled)
    at = np.arange(len(values))[::-1].copy()
    assert column.to_arrow(at).to_pylist() == [values[row] or None for row in at]


def test_utf8_of_up_to_four_bytes() -> None:
    """All first and second bytes, then some at the borders; Python's decoder knows which are it."""
    tails = (b"", b"\x7f", b"\x80", b"\xbf", b"\x80\x80", b"\xbf\xbf", b"\x80\xc0", b"\x80\x80\x80")
    lines = [
        bytes([first, second]) + tail
        for first in range(0x80, 0x100)
        for second in range(0x100)
        if second not in b"\n\r"
        for tail in tails
    ]
    block = Block(b"\n".join(lines), kernels)
    found = np.zeros(len(lines), np.bool_)
    found[csv._plain(block, csv.Layout(1, {"a": 0})).lines] = True
    sound = [_is_utf8(line) and line.count(b",") == 0 for line in lines]
    assert found.tolist() == sound


def _is_utf8(line: bytes) -> bool:
    return "\ufffd" not in line.decode(errors="replace")
