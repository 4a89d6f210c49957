"""The usual forms of records and fields, read by compiled code.

What a function here does not know it leaves to `csv`, `jsonl` and `fields`, which say what holds.
Loading this module takes half a second, and compiling it some seconds, once on a machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from clicklake.parse.fields import INVALID, ODD
from clicklake.parse.fields import SECOND as _SECOND

_TAB, _SPACE, _QUOTE, _COMMA, _MINUS, _DOT, _COLON, _AT, _PLUS = (ord(c) for c in '\t ",-.:@+')
_BACKSLASH, _OPEN, _CLOSE, _SLASH, _ZERO, _U, _T, _Z = (ord(c) for c in "\\{}/0uTZ")
_OPEN_LIST = ord("[")
_BRACKETS = (ord("]"), ord("}"))
_LOW = 0xFFFFFFFF
_ONES = 0x0101010101010101
_HIGH = -0x7F7F7F7F7F7F7F80  # the highest bit of eight bytes
_AHEAD = 512  # texts that are fetched before the first of them is looked up
# What may stand next inside of a value: in the first two, the end of a list or an object as well.
_ANY, _MEMBER_OR_END, _MEMBER, _ITEM, _COMMA_OR_END = range(5)
_TS, _URL, _ENVIRONMENT, _USER_ID, _OTHER = range(5)  # a JSON key's place, as in `jsonl.KEYS`
# Sizes of the keys, and what `_edges` makes of them; they are of no more than sixteen bytes.
_KEY_EDGES = tuple(
    (len(key), int.from_bytes(key[:8], "little"), int.from_bytes(key[-8:], "little"))
    for key in (b"ts", b"url", b"environment", b"user_id")
)

Function = TypeVar("Function", bound=Callable[..., Any])


def _compiled(function: Function) -> Function:
    """Compiled at its first call, and kept for other processes where there is a place for it."""
    compiled: Any
    try:
        compiled = njit(cache=True, nogil=True)(function)
    except RuntimeError:  # nowhere to write
        compiled = njit(nogil=True)(function)
    return compiled


# ------------------------------------------------------------------ bytes


def _load_eight(_: Any, data: types.Array, at: types.Integer) -> tuple[Any, Any]:
    def load(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, values[0])
        place = builder.gep(array.data, [values[1]])
        number = ir.IntType(64)
        return builder.load(builder.bitcast(place, number.as_pointer()), align=1)

    return types.int64(data, at), load


# Eight bytes of an array, from a place on, as a number: the first is its lowest byte.
_eight: Any = intrinsic(_load_eight)


def _count_zeros(_: Any, number: types.Integer) -> tuple[Any, Any]:
    def count(_: Any, builder: Any, __: Any, values: Any) -> Any:
        return builder.cttz(values[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.int64), count


_lowest_bit: Any = intrinsic(_count_zeros)


@_compiled
def _edges(data: np.ndarray, begin: int, end: int) -> tuple[int, int]:
    """The first and the last eight bytes of a text as numbers; twice all of a shorter one."""
    if begin + 8 <= len(data) and end >= 8:
        first, last = _eight(data, begin), _eight(data, end - 8)
        if end - begin < 8:
            first &= (1 << 8 * (end - begin)) - 1
            last = first
        return first, last
    word = 0
    for at in range(end - 1, begin - 1, -1):
        word = word << 8 | data[at]
    return word, word


@_compiled
def _zeros(word: int) -> int:
    """A bit for a byte that is zero; the lowest one is sure, those above it are not."""
    return (word - _ONES) & ~word & _HIGH


@_compiled
def _place(found: int) -> int:
    """Which byte of a word the lowest bit is in that `_zeros` has found."""
    return _lowest_bit(found) >> 3


@_compiled
def _is_blank(char: int) -> bool:
    return char == _SPACE or char == _TAB


@_compiled
def _is_digit(char: int) -> bool:
    return _ZERO <= char <= _ZERO + 9


@_compiled
def _after_blanks(data: np.ndarray, at: int, end: int) -> int:
    while at < end and _is_blank(data[at]):
        at += 1
    return at


@_compiled
def _before_blanks(data: np.ndarray, begin: int, at: int) -> int:
    while at > begin and _is_blank(data[at - 1]):
        at -= 1
    return at


@_compiled
def _is_utf8(data: np.ndarray, at: int, end: int) -> bool:
    """Whether bytes are UTF-8 (RFC 3629: the shortest form, no surrogates, up to U+10FFFF)."""
    while at < end:
        if at + 8 <= end and _eight(data, at) & _HIGH == 0:
            at += 8
            continue
        lead = data[at]
        at += 1
        if lead < 0x80:
            continue
        if lead < 0xC2 or lead > 0xF4:
            return False
        more = 1 if lead < 0xE0 else (2 if lead < 0xF0 else 3)
        if at + more > end:
            return False
        least = 0xA0 if lead == 0xE0 else (0x90 if lead == 0xF0 else 0x80)
        most = 0x9F if lead == 0xED else (0x8F if lead == 0xF4 else 0xBF)
        if not least <= data[at] <= most:
            return False
        for k in range(at + 1, at + more):
            if not 0x80 <= data[k] <= 0xBF:
                return False
        at += more
    return True


# ------------------------------------------------------------------ CSV


@_compiled
def csv_fields(
    data: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    longest: int,
    columns: np.ndarray,
    begins: np.ndarray,
    stops: np.ndarray,
    spill: np.ndarray,
) -> tuple[np.ndarray, int]:
    """Where the fields of the lines that are a record are, without blanks around them.

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
            if at < end and data[at] == _QUOTE:
                begin = at + 1
                stop, doubled, more = _quoted(data, begin, end)
                at = stop + 1
                if stop == end or (at < end and data[at] != _COMMA):
                    break  # never closed, or text after it
                bits |= more
            else:
                at, more = _comma(data, at, end)
                bits |= more
                stop = at
            if field < len(columns) and columns[field] >= 0:
                begin = _after_blanks(data, begin, stop)
                stop = _before_blanks(data, begin, stop)
                if doubled:
                    begin, stop, used = _undoubled(data, begin, stop, spill, used)
                begins[columns[field], read] = begin
                stops[columns[field], read] = stop
            field += 1
            if at >= end:
                if field == len(columns) and (
                    bits & _HIGH == 0 or _is_utf8(data, starts[line], end)
                ):
                    lines[read] = line
                    read += 1
                break
            at += 1
    return lines[:read], used


@_compiled
def _comma(data: np.ndarray, at: int, end: int) -> tuple[int, int]:
    """Where the first comma is, or else the end; the bits of what was looked at."""
    bits = 0
    while at < end and at + 8 <= len(data):
        word = _eight(data, at)
        bits |= word
        found = _zeros(word ^ _ONES * _COMMA)
        if found != 0:
            return min(at + _place(found), end), bits
        at += 8
    while at < end and data[at] != _COMMA:
        bits |= data[at] << 56
        at += 1
    return min(at, end), bits


@_compiled
def _quoted(data: np.ndarray, at: int, end: int) -> tuple[int, bool, int]:
    """Where a field's closing quote is (`end`: nowhere); if it has doubled ones; its bits."""
    doubled = False
    bits = 0
    while at < end:
        if data[at] == _QUOTE:
            if at + 1 == end or data[at + 1] != _QUOTE:
                break
            doubled = True
            at += 1
        bits |= data[at] << 56
        at += 1
    return at, doubled, bits


@_compiled
def _undoubled(
    data: np.ndarray, begin: int, end: int, spill: np.ndarray, used: int
) -> tuple[int, int, int]:
    first = used
    at = begin
    while at < end:
        spill[used] = data[at]
        used += 1
        at += 2 if data[at] == _QUOTE else 1
    return len(data) + first, len(data) + used, used


# ------------------------------------------------------------------ JSON


@_compiled
def json_fields(
    data: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    longest: int,
    begins: np.ndarray,
    stops: np.ndarray,
    spill: np.ndarray,
) -> tuple[np.ndarray, int]:
    """Where the values are of the lines that are an object.

    `begins` and `stops` have a row for each of `jsonl.KEYS`. `spill` takes the texts with
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
        at, used = _object(data, begin, end, read, begins, stops, spill, used)
        if at == end and _is_utf8(data, begin, end):
            lines[read] = line
            read += 1
    return lines[:read], used


@_compiled
def _object(
    data: np.ndarray,
    at: int,
    end: int,
    row: int,
    begins: np.ndarray,
    stops: np.ndarray,
    spill: np.ndarray,
    used: int,
) -> tuple[int, int]:
    """Read a line's object: where what belongs to it ends, -1 if it was not understood."""
    at = _after_blanks(data, at, end)
    if at == end or data[at] != _OPEN:
        return -1, used
    at = _after_blanks(data, at + 1, end)
    if at < end and data[at] == _CLOSE:
        return _after_blanks(data, at + 1, end), used
    while at < end and data[at] == _QUOTE:
        begin = at + 1
        at, escapes = _string(data, begin, end)
        if at == end or escapes:
            break
        key = _key(data, begin, at)
        at = _after_blanks(data, at + 1, end)
        if at == end or data[at] != _COLON:
            break
        at, begin, stop, used = _value(
            data, _after_blanks(data, at + 1, end), end, key, spill, used
        )
        if at < 0:
            break
        if key != _OTHER:
            begins[key, row] = begin
            stops[key, row] = stop
        at = _after_blanks(data, at, end)
        if at == end:
            break
        if data[at] == _CLOSE:
            return _after_blanks(data, at + 1, end), used
        if data[at] != _COMMA:
            break
        at = _after_blanks(data, at + 1, end)
    return -1, used


@_compiled
def _string(data: np.ndarray, at: int, end: int) -> tuple[int, bool]:
    """Where a string's closing quote is (`end`: nowhere), and whether it has escapes."""
    escapes = False
    while at < end:
        if at + 8 <= len(data):
            found = _in_strings(_eight(data, at))
            at += 8 if found == 0 else _place(found)
            if found == 0 or at >= end:
                continue
        char = data[at]
        if char == _QUOTE:
            return at, escapes
        if char < _SPACE:
            return end, escapes
        if char == _BACKSLASH:
            escapes = True
            at += 1
        at += 1
    return end, escapes


@_compiled
def _in_strings(word: int) -> int:
    """The quotes, backslashes and control characters of eight bytes, as `_place` wants them."""
    controls = (word - _ONES * _SPACE) & ~word & _HIGH
    return _zeros(word ^ _ONES * _QUOTE) | _zeros(word ^ _ONES * _BACKSLASH) | controls


@_compiled
def _key(data: np.ndarray, begin: int, end: int) -> int:
    first, last = _edges(data, begin, end)
    for key in range(len(_KEY_EDGES)):
        size, its_first, its_last = _KEY_EDGES[key]
        if size == end - begin and its_first == first and its_last == last:
            return key
    return _OTHER


@_compiled
def _equals(data: np.ndarray, begin: int, word: bytes) -> bool:
    for k in range(len(word)):
        if data[begin + k] != word[k]:
            return False
    return True


@_compiled
def _value(
    data: np.ndarray, at: int, end: int, key: int, spill: np.ndarray, used: int
) -> tuple[int, int, int, int]:
    """Where a value ends (-1: not understood); what of it is the key's text; `spill`'s use."""
    if at < end and data[at] == _QUOTE and key != _OTHER:
        return _text(data, at + 1, end, key, spill, used)
    if key == _USER_ID and at < end and (data[at] == _MINUS or _is_digit(data[at])):
        stop = _number(data, at, end)
        return stop, at, stop, used
    return _skipped(data, at, end), 0, 0, used


@_compiled
def _text(
    data: np.ndarray, begin: int, end: int, key: int, spill: np.ndarray, used: int
) -> tuple[int, int, int, int]:
    stop, escapes = _string(data, begin, end)
    if stop == end or (escapes and key != _URL):
        return -1, 0, 0, used
    at = stop + 1
    begin = _after_blanks(data, begin, stop)
    stop = _before_blanks(data, begin, stop)
    if not escapes:
        return at, begin, stop, used
    more = _unescaped(data, begin, stop, spill, used)
    if more < 0:
        return -1, 0, 0, used
    return at, len(data) + used, len(data) + more, more


@_compiled
def _skipped(data: np.ndarray, at: int, end: int) -> int:
    """Where a value ends, objects and lists included; -1: not understood."""
    is_object = 0  # a bit for each object or list that is open, the innermost first
    depth = 0
    expects = _ANY
    while True:
        at = _after_blanks(data, at, end)
        if at == end or depth == 60:
            return -1
        char = data[at]
        if (
            depth > 0
            and expects != _MEMBER
            and expects != _ITEM
            and char == _BRACKETS[is_object & 1]
        ):
            depth -= 1
            is_object >>= 1
            at += 1
            expects = _COMMA_OR_END
        elif expects == _COMMA_OR_END:
            if char != _COMMA:
                return -1
            at += 1
            expects = _MEMBER if is_object & 1 else _ITEM
            continue
        elif expects == _MEMBER or expects == _MEMBER_OR_END:
            at = _scalar(data, at, end) if char == _QUOTE else -1
            if at < 0:
                return -1
            at = _after_blanks(data, at, end)
            if at == end or data[at] != _COLON:
                return -1
            at += 1
            expects = _ITEM
            continue
        elif char == _OPEN or char == _OPEN_LIST:
            depth += 1
            is_object = is_object << 1 | (char == _OPEN)
            at += 1
            expects = _MEMBER_OR_END if char == _OPEN else _ANY
            continue
        else:
            at = _scalar(data, at, end)
            expects = _COMMA_OR_END
        if at < 0 or depth == 0:
            return at


@_compiled
def _scalar(data: np.ndarray, at: int, end: int) -> int:
    """Where a value ends that is no object and no list; -1 if it is none."""
    if data[at] == _QUOTE:
        return _sound_string(data, at + 1, end)
    if data[at] == _MINUS or _is_digit(data[at]):
        return _number(data, at, end)
    for word in (b"null", b"true", b"false"):
        if end - at >= len(word) and _equals(data, at, word):
            return at + len(word)
    return -1


@_compiled
def _sound_string(data: np.ndarray, at: int, end: int) -> int:
    """Where a string ends, its quote included; -1 if an escape is none or names half a pair."""
    while at < end:
        char = data[at]
        if char == _QUOTE:
            return at + 1
        if char < _SPACE:
            return -1
        if char != _BACKSLASH:
            at += 1
        elif at + 1 < end and data[at + 1] == _U:
            code = _hex(data, at + 2, end)
            at += 6
            if 0xD800 <= code <= 0xDBFF and at + 1 < end:
                if data[at] != _BACKSLASH or data[at + 1] != _U:
                    return -1
                if not 0xDC00 <= _hex(data, at + 2, end) <= 0xDFFF:
                    return -1
                at += 6
            elif code < 0 or 0xD800 <= code <= 0xDFFF:
                return -1
        elif at + 1 < end and _is_escape(data[at + 1]):
            at += 2
        else:
            return -1
    return -1


@_compiled
def _is_escape(char: int) -> bool:
    for known in b'"\\/bfnrt':
        if char == known:
            return True
    return False


@_compiled
def _number(data: np.ndarray, at: int, end: int) -> int:
    """Where a number ends (RFC 8259, 6); -1 if it is none."""
    if data[at] == _MINUS:
        at += 1
    first = at
    at = _digits(data, at, end)
    if at == first or (data[first] == _ZERO and at > first + 1):
        return -1
    if at < end and data[at] == _DOT:
        first = at + 1
        at = _digits(data, first, end)
        if at == first:
            return -1
    if at < end and (data[at] | 0x20) == ord("e"):
        at += 1
        if at < end and (data[at] == _MINUS or data[at] == _PLUS):
            at += 1
        first = at
        at = _digits(data, first, end)
        if at == first:
            return -1
    return at


@_compiled
def _digits(data: np.ndarray, at: int, end: int) -> int:
    while at < end and _is_digit(data[at]):
        at += 1
    return at


@_compiled
def _unescaped(data: np.ndarray, at: int, end: int, spill: np.ndarray, used: int) -> int:
    """How much of `spill` is used when a text is in it; -1 at an escape that is not usual."""
    while at < end:
        char = data[at]
        if char != _BACKSLASH:
            spill[used] = char
            used += 1
            at += 1
            continue
        char = data[at + 1]
        at += 2
        if char == _SLASH or char == _QUOTE or char == _BACKSLASH:
            spill[used] = char
            used += 1
            continue
        code = _hex(data, at, end) if char == _U else -1
        if code < 0x80 or 0xD800 <= code <= 0xDFFF:
            return -1
        at += 4
        if code < 0x800:
            spill[used] = 0xC0 | code >> 6
        else:
            spill[used] = 0xE0 | code >> 12
            used += 1
            spill[used] = 0x80 | code >> 6 & 0x3F
        spill[used + 1] = 0x80 | code & 0x3F
        used += 2
    return used


@_compiled
def _hex(data: np.ndarray, at: int, end: int) -> int:
    """The number of four hexadecimal digits; -1 if they are none."""
    if at + 4 > end:
        return -1
    code = 0
    for k in range(at, at + 4):
        digit = data[k] - _ZERO
        if digit > 9:
            digit = (data[k] | 0x20) - ord("a") + 10
            if not 10 <= digit <= 15:
                return -1
        if digit < 0:
            return -1
        code = code * 16 + digit
    return code


# ------------------------------------------------------------------ fields


@_compiled
def iso_times(data: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    times = np.empty(len(begins), np.int64)
    for row in range(len(begins)):
        times[row] = _iso_time(data, begins[row], ends[row])
    return times


@_compiled
def _iso_time(data: np.ndarray, at: int, end: int) -> int:
    """Microseconds of `YYYY-MM-DDTHH:MM:SS`, a fraction and a zone if there are any."""
    if end - at < 19 or data[at + 4] != _MINUS or data[at + 7] != _MINUS:
        return INVALID
    if not (data[at + 10] == _T or data[at + 10] == _SPACE):
        return INVALID
    if data[at + 13] != _COLON or data[at + 16] != _COLON:
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
    return INVALID if tail == INVALID else seconds * _SECOND + tail


@_compiled
def _two(data: np.ndarray, at: int) -> int:
    """The number of two digits; -1 if they are none."""
    if _is_digit(data[at]) and _is_digit(data[at + 1]):
        return (data[at] - _ZERO) * 10 + data[at + 1] - _ZERO
    return -1


@_compiled
def _days_in(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


@_compiled
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


@_compiled
def _fraction_and_zone(data: np.ndarray, at: int, end: int) -> int:
    """The microseconds that they add; INVALID if they are neither."""
    micros = 0
    if at < end and data[at] == _DOT:
        micros, at = _micros(data, at + 1, end)
        if micros < 0:
            return INVALID
    if at == end or (data[at] == _Z and at + 1 == end):
        return micros
    if not (data[at] == _PLUS or data[at] == _MINUS) or end - at < 5:
        return INVALID
    behind = at + 4 if data[at + 3] == _COLON else at + 3
    if behind + 2 != end:
        return INVALID
    hours, minutes = _two(data, at + 1), _two(data, behind)
    if not (0 <= hours <= 23 and 0 <= minutes <= 59):
        return INVALID
    offset = (hours * 60 + minutes) * 60 * _SECOND
    return micros - offset if data[at] == _PLUS else micros + offset


@_compiled
def _micros(data: np.ndarray, at: int, end: int) -> tuple[int, int]:
    """The microseconds of a fraction of 1 to 9 digits (-1: it is none), and where it ends."""
    first = at
    at = _digits(data, at, end)
    if not 1 <= at - first <= 9:
        return -1, at
    micros = 0
    for k in range(first, first + 6):
        micros = micros * 10 + (data[k] - _ZERO if k < at else 0)
    return micros, at


@_compiled
def unix_times(data: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Microseconds of seconds with a fraction if there is one; ODD if they are anything else."""
    times = np.empty(len(begins), np.int64)
    for row in range(len(begins)):
        begin, end = begins[row], ends[row]
        stop = _digits(data, begin, end)
        times[row] = INVALID if begin == end else ODD
        if not 1 <= stop - begin <= 12:
            continue
        micros = 0
        if stop < end:
            if data[stop] != _DOT:
                continue
            micros, at = _micros(data, stop + 1, end)
            if at < end or micros < 0:
                continue
        times[row] = _decimal(data, begin, stop) * _SECOND + micros
    return times


@_compiled
def whole_numbers(data: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Up to 18 digits with a sign if there is one; ODD if it is anything else, INVALID if null."""
    numbers = np.empty(len(begins), np.int64)
    for row in range(len(begins)):
        begin, end = begins[row], ends[row]
        if begin == end:
            numbers[row] = INVALID
            continue
        is_signed = data[begin] == _MINUS or data[begin] == _PLUS
        first = begin + 1 if is_signed else begin
        if not 1 <= end - first <= 18 or _digits(data, first, end) < end:
            numbers[row] = ODD
            continue
        number = _decimal(data, first, end)
        numbers[row] = -number if is_signed and data[begin] == _MINUS else number
    return numbers


@_compiled
def _decimal(data: np.ndarray, begin: int, end: int) -> int:
    number = 0
    for at in range(begin, end):
        number = number * 10 + data[at] - _ZERO
    return number


@_compiled
def are_emails(data: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    are = np.zeros(len(begins), np.bool_)
    for row in range(len(begins)):
        begin, end = begins[row], ends[row]
        ats = 0
        for at in range(begin, end):
            if _is_blank(data[at]):
                ats = 2
                break
            ats += data[at] == _AT
        are[row] = ats == 1 and data[begin] != _AT and data[end - 1] != _AT
    return are


@_compiled
def are_equal(data: np.ndarray, begins: np.ndarray, ends: np.ndarray, to: bytes) -> np.ndarray:
    are = np.zeros(len(begins), np.bool_)
    for row in range(len(begins)):
        are[row] = ends[row] - begins[row] == len(to) and _equals(data, begins[row], to)
    return are


@_compiled
def gather(
    data: np.ndarray, begins: np.ndarray, ends: np.ndarray, at: np.ndarray, out: np.ndarray
) -> None:
    """Copy the texts of the rows `at` into `out`, one after the other; 16 bytes beyond are spoilt.

    Sixteen bytes at a time, whatever the text's length, are one instruction.
    """
    place = 0
    last = len(data) - 16
    for k in range(len(at)):
        begin, end = begins[at[k]], ends[at[k]]
        to = place
        place += end - begin
        while begin < end:
            if begin <= last:
                for step in range(16):
                    out[to + step] = data[begin + step]
                begin += 16
                to += 16
            else:
                out[to] = data[begin]
                begin += 1
                to += 1


# ------------------------------------------------------------------ distinct texts


@_compiled
def intern(
    data: np.ndarray,
    begins: np.ndarray,
    ends: np.ndarray,
    at: np.ndarray,
    first: int,
    keys: tuple[int, int],
    table: np.ndarray,
    offsets: np.ndarray,
    texts: np.ndarray,
    known: int,
    codes: np.ndarray,
) -> tuple[int, int]:
    """The `codes` of the texts of the rows `at`, from the `first` on; -1 for null.

    A code is the number of one of the `known` texts, which are `texts` from one of `offsets` to
    the next; `table` finds it by a hash. Returns how many of the rows are done, which are not all
    where there is no place for one more text, and how many texts are known now.
    """
    hashes = np.empty(_AHEAD, np.int64)
    for start in range(first, len(at), _AHEAD):
        stop = min(start + _AHEAD, len(at))
        for k in range(start, stop):
            hashes[k - start] = _hash(data, begins[at[k]], ends[at[k]], keys)
        for k in range(start, stop):
            begin: Any = np.int64(begins[at[k]])
            end: Any = np.int64(ends[at[k]])
            if begin == end:
                codes[k] = -1
                continue
            hashed = hashes[k - start]
            slot = hashed & (len(table) - 1)
            entry = table[slot]
            while entry >= 0:
                code = entry & _LOW
                if entry >> 32 == hashed and _is_text(
                    data, begin, end, texts, offsets[code], offsets[code + 1]
                ):
                    break
                slot = (slot + 1) & (len(table) - 1)
                entry = table[slot]
            if entry < 0:
                place = offsets[known]
                behind = place + end - begin
                if 2 * known >= len(table) or behind > len(texts):
                    return k, known
                for step in range(end - begin):
                    texts[place + step] = data[begin + step]
                entry = hashed << 32 | known
                table[slot] = entry
                known += 1
                offsets[known] = behind
            codes[k] = entry & _LOW
    return len(at), known


@_compiled
def _hash(data: np.ndarray, begin: int, end: int, keys: tuple[int, int]) -> int:
    """31 bits that those who write the texts cannot foresee: products of keyed halves."""
    first, last = _edges(data, begin, end)
    low, high = _mixed(keys[0], keys[1], first, keys)
    low, high = _mixed(low, high, last, keys)
    for at in range(begin + 8, end - 8, 8):
        low, high = _mixed(low, high, _eight(data, at), keys)
    product = (low ^ end - begin) * high
    return (product ^ product >> 32) & (_LOW >> 1)


@_compiled
def _mixed(low: int, high: int, word: int, keys: tuple[int, int]) -> tuple[int, int]:
    product = (low ^ word & _LOW) * (high ^ word >> 32 & _LOW)
    return product & _LOW ^ keys[0], product >> 32 & _LOW ^ keys[1]


@_compiled
def _is_text(
    data: np.ndarray, begin: int, end: int, texts: np.ndarray, to: int, behind: int
) -> bool:
    if behind - to != end - begin or _edges(data, begin, end) != _edges(texts, to, behind):
        return False
    for step in range(8, end - begin - 8, 8):
        if _eight(data, begin + step) != _eight(texts, to + step):
            return False
    return True


@_compiled
def rehashed(old: np.ndarray, table: np.ndarray) -> None:
    """Put the entries of a table of `intern` into a larger one."""
    for entry in old:
        if entry >= 0:
            slot = (entry >> 32) & (len(table) - 1)
            while table[slot] >= 0:
                slot = (slot + 1) & (len(table) - 1)
            table[slot] = entry


@_compiled
def checksums(texts: np.ndarray, offsets: np.ndarray, by_byte: np.ndarray) -> np.ndarray:
    """The CRC-32 of each text. `by_byte`: what a byte does to a checksum of zeros."""
    sums = np.empty(len(offsets) - 1, np.int64)
    for code in range(len(sums)):
        check = np.int64(_LOW)
        for at in range(offsets[code], offsets[code + 1]):
            check = by_byte[(check ^ texts[at]) & 0xFF] ^ check >> 8
        sums[code] = check ^ _LOW
    return sums


@_compiled
def renumbered(codes: np.ndarray, known: int) -> tuple[np.ndarray, np.ndarray]:
    """The same codes counted from 0 in the order in which they occur, and which they were."""
    places = np.full(known, -1, np.int32)
    held = np.empty(min(known, len(codes)), np.int64)
    again = np.empty(len(codes), np.int32)
    count = 0
    for row in range(len(codes)):
        code = codes[row]
        if code < 0:
            again[row] = -1
            continue
        if places[code] < 0:
            places[code] = count
            held[count] = code
            count += 1
        again[row] = places[code]
    return again, held[:count]
