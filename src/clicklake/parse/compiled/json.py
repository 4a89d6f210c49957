"""The values of usual JSON objects, one on a line."""

from __future__ import annotations

import numpy as np

from clicklake.compiling import compile_once
from clicklake.parse.compiled.bytes import (
    CLOSE,
    COLON,
    COMMA,
    MINUS,
    OPEN,
    QUOTE,
    after_blanks,
    before_blanks,
    edges_of,
    is_digit,
    is_utf8,
)
from clicklake.parse.compiled.json_values import number_end, string_end, unescaped_into, value_end

_OTHER = -1  # the place of a key that is not asked for

# What a key's value may be beside a text without escapes.
ESCAPES, NUMBER = 1, 2


@compile_once
def json_fields(
    data: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    longest: int,
    keys: np.ndarray,
    begins: np.ndarray,
    stops: np.ndarray,
    spill: np.ndarray,
) -> tuple[np.ndarray, int]:
    """Where the values are of the lines that are an object.

    `keys`: a row of `key_row` for each key that is asked for; `begins` and `stops` have a row
    for each of them. `spill` takes the texts with
    escapes; their places count on from the end of `data`. Returns the lines that were read, and
    how much of `spill` is used.
    """
    lines = np.empty(len(starts), np.int64)
    read = used = 0
    for line in range(len(starts)):
        begin, end = starts[line], ends[line]
        if begin == end or end - begin > longest:
            continue
        for key in range(len(begins)):
            begins[key, read] = stops[key, read] = 0
        at, used = _object(data, begin, end, keys, read, begins, stops, spill, used)
        if at == end and is_utf8(data, begin, end):
            lines[read] = line
            read += 1
    return lines[:read], used


@compile_once
def _object(
    data: np.ndarray,
    at: int,
    end: int,
    keys: np.ndarray,
    row: int,
    begins: np.ndarray,
    stops: np.ndarray,
    spill: np.ndarray,
    used: int,
) -> tuple[int, int]:
    """Read a line's object: where what belongs to it ends, -1 if it was not understood."""
    at = after_blanks(data, at, end)
    if at == end or data[at] != OPEN:
        return -1, used
    at = after_blanks(data, at + 1, end)
    if at < end and data[at] == CLOSE:
        return after_blanks(data, at + 1, end), used
    while at < end and data[at] == QUOTE:
        begin = at + 1
        at, escapes = string_end(data, begin, end)
        if at == end or escapes:
            break
        key = _key(data, begin, at, keys)
        kind = keys[key, 3] if key != _OTHER else _OTHER
        at = after_blanks(data, at + 1, end)
        if at == end or data[at] != COLON:
            break
        at, begin, stop, used = _value(
            data, after_blanks(data, at + 1, end), end, kind, spill, used
        )
        if at < 0:
            break
        if key != _OTHER:
            begins[key, row] = begin
            stops[key, row] = stop
        at = after_blanks(data, at, end)
        if at == end:
            break
        if data[at] == CLOSE:
            return after_blanks(data, at + 1, end), used
        if data[at] != COMMA:
            break
        at = after_blanks(data, at + 1, end)
    return -1, used


@compile_once
def _key(data: np.ndarray, begin: int, end: int, keys: np.ndarray) -> int:
    first, last = edges_of(data, begin, end)
    for key in range(len(keys)):
        if keys[key, 0] == end - begin and keys[key, 1] == first and keys[key, 2] == last:
            return key
    return _OTHER


def key_row(name: str, kind: int) -> tuple[int, int, int, int]:
    """What `json_fields` knows of a key: size, both its `edges_of`, and its `kind`.

    Raises ValueError if the key is longer than its edges tell.
    """
    key = name.encode()
    if not 0 < len(key) <= 16:
        raise ValueError(f"{name}: a key of 1 to 16 bytes is wanted")
    first, last = (int.from_bytes(part, "little", signed=True) for part in (key[:8], key[-8:]))
    return len(key), first, last, kind


@compile_once
def _value(
    data: np.ndarray, at: int, end: int, kind: int, spill: np.ndarray, used: int
) -> tuple[int, int, int, int]:
    """Where a value ends (-1: not understood); what of it is the key's text; `spill`'s use."""
    if at < end and data[at] == QUOTE and kind != _OTHER:
        return _text_of(data, at + 1, end, kind, spill, used)
    if kind != _OTHER and kind & NUMBER and at < end and (data[at] == MINUS or is_digit(data[at])):
        stop = number_end(data, at, end)
        return stop, at, stop, used
    return value_end(data, at, end), 0, 0, used


@compile_once
def _text_of(
    data: np.ndarray, begin: int, end: int, kind: int, spill: np.ndarray, used: int
) -> tuple[int, int, int, int]:
    stop, escapes = string_end(data, begin, end)
    if stop == end or (escapes and not kind & ESCAPES):
        return -1, 0, 0, used
    at = stop + 1
    begin = after_blanks(data, begin, stop)
    stop = before_blanks(data, begin, stop)
    if not escapes:
        return at, begin, stop, used
    more = unescaped_into(data, begin, stop, spill, used)
    if more < 0:
        return -1, 0, 0, used
    return at, len(data) + used, len(data) + more, more
