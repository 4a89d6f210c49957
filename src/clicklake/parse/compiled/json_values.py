"""Where JSON values end (RFC 8259)."""

from __future__ import annotations

import numpy as np

from clicklake.compiling import compile_once
from clicklake.parse.compiled.bytes import (
    BACKSLASH,
    COLON,
    COMMA,
    DOT,
    HIGH,
    LETTER_U,
    MINUS,
    ONES,
    OPEN,
    OPEN_LIST,
    PLUS,
    QUOTE,
    SLASH,
    SPACE,
    ZERO,
    after_blanks,
    byte_place,
    eight_bytes,
    equals,
    is_digit,
    zero_bytes,
)

_BRACKETS = (ord("]"), ord("}"))


# What may stand next inside of a value: in the first two, the end of a list or an object as well.
_ANY, _MEMBER_OR_END, _MEMBER, _ITEM, _COMMA_OR_END = range(5)


@compile_once
def string_end(data: np.ndarray, at: int, end: int) -> tuple[int, bool]:
    """Where a string's closing quote is (`end`: nowhere), and whether it has escapes."""
    escapes = False
    while at < end:
        if at + 8 <= len(data):
            found = _in_strings(eight_bytes(data, at))
            at += 8 if found == 0 else byte_place(found)
            if found == 0 or at >= end:
                continue
        char = data[at]
        if char == QUOTE:
            return at, escapes
        if char < SPACE:
            return end, escapes
        if char == BACKSLASH:
            escapes = True
            at += 1
        at += 1
    return end, escapes


@compile_once
def _in_strings(word: int) -> int:
    """The quotes, backslashes and control characters of eight bytes, as `byte_place` wants them."""
    controls = (word - ONES * SPACE) & ~word & HIGH
    return zero_bytes(word ^ ONES * QUOTE) | zero_bytes(word ^ ONES * BACKSLASH) | controls


@compile_once
def value_end(data: np.ndarray, at: int, end: int) -> int:
    """Where a value ends, objects and lists included; -1: not understood."""
    is_object = 0  # a bit for each object or list that is open, the innermost first
    depth = 0
    expects = _ANY
    while True:
        at = after_blanks(data, at, end)
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
            if char != COMMA:
                return -1
            at += 1
            expects = _MEMBER if is_object & 1 else _ITEM
            continue
        elif expects == _MEMBER or expects == _MEMBER_OR_END:
            at = _scalar(data, at, end) if char == QUOTE else -1
            if at < 0:
                return -1
            at = after_blanks(data, at, end)
            if at == end or data[at] != COLON:
                return -1
            at += 1
            expects = _ITEM
            continue
        elif char == OPEN or char == OPEN_LIST:
            depth += 1
            is_object = is_object << 1 | (char == OPEN)
            at += 1
            expects = _MEMBER_OR_END if char == OPEN else _ANY
            continue
        else:
            at = _scalar(data, at, end)
            expects = _COMMA_OR_END
        if at < 0 or depth == 0:
            return at


@compile_once
def _scalar(data: np.ndarray, at: int, end: int) -> int:
    """Where a value ends that is no object and no list; -1 if it is none."""
    if data[at] == QUOTE:
        return _sound_string(data, at + 1, end)
    if data[at] == MINUS or is_digit(data[at]):
        return number_end(data, at, end)
    for word in (b"null", b"true", b"false"):
        if end - at >= len(word) and equals(data, at, word):
            return at + len(word)
    return -1


@compile_once
def _sound_string(data: np.ndarray, at: int, end: int) -> int:
    """Where a string ends, its quote included; -1 if an escape is none or names half a pair."""
    while at < end:
        char = data[at]
        if char == QUOTE:
            return at + 1
        if char < SPACE:
            return -1
        if char != BACKSLASH:
            at += 1
        elif at + 1 < end and data[at + 1] == LETTER_U:
            code = _hex(data, at + 2, end)
            at += 6
            if 0xD800 <= code <= 0xDBFF and at + 1 < end:
                if data[at] != BACKSLASH or data[at + 1] != LETTER_U:
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


@compile_once
def _is_escape(char: int) -> bool:
    for known in b'"\\/bfnrt':
        if char == known:
            return True
    return False


@compile_once
def number_end(data: np.ndarray, at: int, end: int) -> int:
    """Where a number ends (RFC 8259, 6); -1 if it is none."""
    if data[at] == MINUS:
        at += 1
    first = at
    at = after_digits(data, at, end)
    if at == first or (data[first] == ZERO and at > first + 1):
        return -1
    if at < end and data[at] == DOT:
        first = at + 1
        at = after_digits(data, first, end)
        if at == first:
            return -1
    if at < end and (data[at] | 0x20) == ord("e"):
        at += 1
        if at < end and (data[at] == MINUS or data[at] == PLUS):
            at += 1
        first = at
        at = after_digits(data, first, end)
        if at == first:
            return -1
    return at


@compile_once
def after_digits(data: np.ndarray, at: int, end: int) -> int:
    while at < end and is_digit(data[at]):
        at += 1
    return at


@compile_once
def unescaped_into(data: np.ndarray, at: int, end: int, spill: np.ndarray, used: int) -> int:
    """How much of `spill` is used when a text is in it; -1 at an escape that is not usual."""
    while at < end:
        char = data[at]
        if char != BACKSLASH:
            spill[used] = char
            used += 1
            at += 1
            continue
        char = data[at + 1]
        at += 2
        if char == SLASH or char == QUOTE or char == BACKSLASH:
            spill[used] = char
            used += 1
            continue
        code = _hex(data, at, end) if char == LETTER_U else -1
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


@compile_once
def _hex(data: np.ndarray, at: int, end: int) -> int:
    """The number of four hexadecimal digits; -1 if they are none."""
    if at + 4 > end:
        return -1
    code = 0
    for k in range(at, at + 4):
        digit = data[k] - ZERO
        if digit > 9:
            digit = (data[k] | 0x20) - ord("a") + 10
            if not 10 <= digit <= 15:
                return -1
        if digit < 0:
            return -1
        code = code * 16 + digit
    return code
