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

# The place of a key that is not asked for, and of the key of the record's own object.
_OTHER = -1

# The kind of a key that holds an object whose keys are asked for.
INNER = -1

# What a key's value may be beside a text without escapes.
ESCAPES, NUMBER = 1, 2

# What is known of a key: its size in bytes and both its `edges_of`; its kind; if that is
# INNER, its own keys from the row FIRST to the row before AFTER; the row PARENT of the key that it
# is in; its column; where all of its bytes are among the names.
_SIZE, _HEAD, _TAIL, _KIND, FIRST, AFTER, _PARENT, _COLUMN, _NAME = range(9)


@compile_once
def json_fields(
    data: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    longest: int,
    keys: np.ndarray,
    names: np.ndarray,
    roots: int,
    begins: np.ndarray,
    stops: np.ndarray,
    spill: np.ndarray,
) -> tuple[np.ndarray, int]:
    """Where the values are of the lines that are an object.

    `keys`: a row of `key_row` for each key that is asked for, first the `roots` of the record's own
    object; `names` has their bytes. `begins` and `stops` have a row for each column. `spill` takes
    the texts with escapes; their places count on from the end of `data`. Returns the lines that
    were read, and how much of `spill` is used.
    """
    lines = np.empty(len(starts), np.int64)
    read = used = 0
    for line in range(len(starts)):
        begin, end = starts[line], ends[line]
        if begin == end or end - begin > longest:
            continue
        for column in range(len(begins)):
            begins[column, read] = stops[column, read] = 0
        at, used = _object(data, begin, end, keys, names, roots, read, begins, stops, spill, used)
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
    names: np.ndarray,
    roots: int,
    row: int,
    begins: np.ndarray,
    stops: np.ndarray,
    spill: np.ndarray,
    used: int,
) -> tuple[int, int]:
    """Read a line's object: where what belongs to it ends, -1 if it was not understood.

    An object whose keys are asked for is gone into; one that comes twice is left, and so is a key
    that is like one that is asked for at both ends alone.
    """
    at = after_blanks(data, at, end)
    if at == end or data[at] != OPEN:
        return -1, used
    at = after_blanks(data, at + 1, end)
    inside, first, after = _OTHER, 0, roots  # whose object this is, and its keys
    entered = 0  # a bit for each object that was gone into
    is_begun = True  # directly behind a brace, where another may close it
    while at < end:
        if not (is_begun and data[at] == CLOSE):
            if data[at] != QUOTE:
                break
            begin = at + 1
            at, escapes = string_end(data, begin, end)
            if at == end or escapes:
                break
            key = _key(data, begin, at, keys, first, after)
            kind = keys[key, _KIND] if key != _OTHER else _OTHER
            is_short = at - begin <= 16 or key == _OTHER
            is_sure = is_short or _is_within(data, begin, at, names, keys[key, _NAME])
            at = after_blanks(data, at + 1, end)
            if at == end or data[at] != COLON or not is_sure:
                break
            at = after_blanks(data, at + 1, end)
            if key != _OTHER and kind == INNER:
                if entered >> key & 1:
                    break
                if at < end and data[at] == OPEN:
                    entered |= 1 << key
                    inside, first, after = key, keys[key, FIRST], keys[key, AFTER]
                    is_begun = True
                    at = after_blanks(data, at + 1, end)
                    continue
            at, begin, stop, used = _value(data, at, end, kind, spill, used)
            if at < 0:
                break
            if kind != _OTHER:
                begins[keys[key, _COLUMN], row] = begin
                stops[keys[key, _COLUMN], row] = stop
            at = after_blanks(data, at, end)
        is_begun = False
        while at < end and data[at] == CLOSE:
            at = after_blanks(data, at + 1, end)
            if inside == _OTHER:
                return at, used
            inside = keys[inside, _PARENT]
            first, after = 0, roots
            if inside != _OTHER:
                first, after = keys[inside, FIRST], keys[inside, AFTER]
        if at == end or data[at] != COMMA:
            break
        at = after_blanks(data, at + 1, end)
    return -1, used


@compile_once
def _key(data: np.ndarray, begin: int, end: int, keys: np.ndarray, first: int, after: int) -> int:
    """Which of some keys is like a text in size and `edges_of`."""
    head, tail = edges_of(data, begin, end)
    for key in range(first, after):
        if (
            keys[key, _SIZE] == end - begin
            and keys[key, _HEAD] == head
            and keys[key, _TAIL] == tail
        ):
            return key
    return _OTHER


@compile_once
def _is_within(data: np.ndarray, begin: int, end: int, names: np.ndarray, name: int) -> bool:
    """Whether the bytes of a long text between its `edges_of` are those of a name."""
    for at in range(8, end - begin - 8):
        if data[begin + at] != names[name + at]:
            return False
    return True


def key_row(name: bytes, kind: int, parent: int, column: int, place: int) -> list[int]:
    """What `json_fields` knows of a key; `place`: where it is among the names."""
    head, tail = (int.from_bytes(part, "little", signed=True) for part in (name[:8], name[-8:]))
    return [len(name), head, tail, kind, 0, 0, parent, column, place]


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
