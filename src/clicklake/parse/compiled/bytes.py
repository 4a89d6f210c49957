"""Bytes, eight at a time, and the characters that records are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from clicklake.compiling import compile_once

_TAB, SPACE, QUOTE, COMMA, MINUS, DOT, COLON, AT_SIGN, PLUS = (ord(c) for c in '\t ",-.:@+')


BACKSLASH, OPEN, CLOSE, SLASH, ZERO, LETTER_U, LETTER_T, LETTER_Z = (ord(c) for c in "\\{}/0uTZ")


OPEN_LIST = ord("[")


LOW = 0xFFFFFFFF


ONES = 0x0101010101010101


HIGH = -0x7F7F7F7F7F7F7F80  # the highest bit of eight bytes


def _load_eight(_: Any, data: types.Array, at: types.Integer) -> tuple[Any, Any]:
    def load(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, values[0])
        place = builder.gep(array.data, [values[1]])
        number = ir.IntType(64)
        return builder.load(builder.bitcast(place, number.as_pointer()), align=1)

    return types.int64(data, at), load


# Eight bytes of an array, from a place on, as a number: the first is its lowest byte.
eight_bytes: Any = intrinsic(_load_eight)


def _count_zeros(_: Any, number: types.Integer) -> tuple[Any, Any]:
    def count(_: Any, builder: Any, __: Any, values: Any) -> Any:
        return builder.cttz(values[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.int64), count


lowest_bit: Any = intrinsic(_count_zeros)


@compile_once
def edges_of(data: np.ndarray, begin: int, end: int) -> tuple[int, int]:
    """The first and the last eight bytes of a text as numbers; twice all of a shorter one."""
    if begin + 8 <= len(data) and end >= 8:
        first, last = eight_bytes(data, begin), eight_bytes(data, end - 8)
        if end - begin < 8:
            first &= (1 << 8 * (end - begin)) - 1
            last = first
        return first, last
    word = 0
    for at in range(end - 1, begin - 1, -1):
        word = word << 8 | data[at]
    return word, word


@compile_once
def zero_bytes(word: int) -> int:
    """A bit for a byte that is zero; the lowest one is sure, those above it are not."""
    return (word - ONES) & ~word & HIGH


@compile_once
def byte_place(found: int) -> int:
    """Which byte of a word the lowest bit is in that `zero_bytes` has found."""
    return lowest_bit(found) >> 3


@compile_once
def is_blank(char: int) -> bool:
    return char == SPACE or char == _TAB


@compile_once
def is_digit(char: int) -> bool:
    return ZERO <= char <= ZERO + 9


@compile_once
def after_blanks(data: np.ndarray, at: int, end: int) -> int:
    while at < end and is_blank(data[at]):
        at += 1
    return at


@compile_once
def before_blanks(data: np.ndarray, begin: int, at: int) -> int:
    while at > begin and is_blank(data[at - 1]):
        at -= 1
    return at


@compile_once
def is_utf8(data: np.ndarray, at: int, end: int) -> bool:
    """Whether bytes are UTF-8 (RFC 3629: the shortest form, no surrogates, up to U+10FFFF)."""
    while at < end:
        if at + 8 <= end and eight_bytes(data, at) & HIGH == 0:
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


@compile_once
def equals(data: np.ndarray, begin: int, word: bytes) -> bool:
    for k in range(len(word)):
        if data[begin + k] != word[k]:
            return False
    return True
