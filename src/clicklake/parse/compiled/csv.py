"""The fields of usual CSV records."""

from __future__ import annotations

import numpy as np

from clicklake.compiling import compile_once
from clicklake.parse.compiled.bytes import (
    HIGH,
    ONES,
    after_blanks,
    before_blanks,
    byte_place,
    eight_bytes,
    is_utf8,
    zero_bytes,
)


@compile_once
def csv_fields(
    data: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    longest: int,
    delimiter: int,
    quote: int,
    columns: np.ndarray,
    begins: np.ndarray,
    stops: np.ndarray,
    spill: np.ndarray,
) -> tuple[np.ndarray, int]:
    """Where the fields of the lines that are a record are, without blanks around them.

    `delimiter` and `quote`: characters of ASCII; a quote of -1 is none.
    `columns`: for each field of a record the row of `begins` and `stops` for it, or -1. `spill`
    takes the texts in which a quote is doubled; their places count on from the end of `data`.
    Returns the lines that were read, and how much of `spill` is used.
    """
    lines = np.empty(len(starts), np.int64)
    read = used = 0
    for line in range(len(starts)):
        at, end = starts[line], ends[line]
        if at == end or end - at > longest:
            continue
        field = 0
        bits = 0
        while True:
            begin = at
            doubled = False
            if at < end and data[at] == quote:
                begin = at + 1
                stop, doubled, more = _quoted(data, begin, end, quote)
                at = stop + 1
                if stop == end or (at < end and data[at] != delimiter):
                    break  # never closed, or text after it
                bits |= more
            else:
                at, more = _field_end(data, at, end, delimiter)
                bits |= more
                stop = at
            if field < len(columns) and columns[field] >= 0:
                begin = after_blanks(data, begin, stop)
                stop = before_blanks(data, begin, stop)
                if doubled:
                    begin, stop, used = _undoubled(data, begin, stop, quote, spill, used)
                begins[columns[field], read] = begin
                stops[columns[field], read] = stop
            field += 1
            if at >= end:
                if field == len(columns) and (bits & HIGH == 0 or is_utf8(data, starts[line], end)):
                    lines[read] = line
                    read += 1
                break
            at += 1
    return lines[:read], used


@compile_once
def _field_end(data: np.ndarray, at: int, end: int, delimiter: int) -> tuple[int, int]:
    """Where the first delimiter is, or else the end; the bits of what was looked at."""
    bits = 0
    while at < end and at + 8 <= len(data):
        word = eight_bytes(data, at)
        bits |= word
        found = zero_bytes(word ^ ONES * delimiter)
        if found != 0:
            return min(at + byte_place(found), end), bits
        at += 8
    while at < end and data[at] != delimiter:
        bits |= data[at] << 56
        at += 1
    return min(at, end), bits


@compile_once
def _quoted(data: np.ndarray, at: int, end: int, quote: int) -> tuple[int, bool, int]:
    """Where a field's closing quote is (`end`: nowhere); if it has doubled ones; its bits."""
    doubled = False
    bits = 0
    while at < end:
        if data[at] == quote:
            if at + 1 == end or data[at + 1] != quote:
                break
            doubled = True
            at += 1
        bits |= data[at] << 56
        at += 1
    return at, doubled, bits


@compile_once
def _undoubled(
    data: np.ndarray, begin: int, end: int, quote: int, spill: np.ndarray, used: int
) -> tuple[int, int, int]:
    first = used
    at = begin
    while at < end:
        spill[used] = data[at]
        used += 1
        at += 2 if data[at] == quote else 1
    return len(data) + first, len(data) + used, used
