"""Usual numbers and addresses, and texts compared with one."""

from __future__ import annotations

import numpy as np

from clicklake.compiling import compile_once
from clicklake.parse.compiled.bytes import AT_SIGN, MINUS, PLUS, ZERO, equals, is_blank
from clicklake.parse.compiled.json_values import after_digits
from clicklake.parse.values import INVALID, ODD


@compile_once
def whole_numbers(data: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Up to 18 digits with a sign if there is one; ODD if it is anything else, INVALID if null."""
    numbers = np.empty(len(begins), np.int64)
    for row in range(len(begins)):
        begin, end = begins[row], ends[row]
        if begin == end:
            numbers[row] = INVALID
            continue
        is_signed = data[begin] == MINUS or data[begin] == PLUS
        first = begin + 1 if is_signed else begin
        if not 1 <= end - first <= 18 or after_digits(data, first, end) < end:
            numbers[row] = ODD
            continue
        number = decimal(data, first, end)
        numbers[row] = -number if is_signed and data[begin] == MINUS else number
    return numbers


@compile_once
def decimal(data: np.ndarray, begin: int, end: int) -> int:
    number = 0
    for at in range(begin, end):
        number = number * 10 + data[at] - ZERO
    return number


@compile_once
def are_emails(data: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    are = np.zeros(len(begins), np.bool_)
    for row in range(len(begins)):
        begin, end = begins[row], ends[row]
        ats = 0
        for at in range(begin, end):
            if is_blank(data[at]):
                ats = 2
                break
            ats += data[at] == AT_SIGN
        are[row] = ats == 1 and data[begin] != AT_SIGN and data[end - 1] != AT_SIGN
    return are


@compile_once
def are_equal(data: np.ndarray, begins: np.ndarray, ends: np.ndarray, to: bytes) -> np.ndarray:
    are = np.zeros(len(begins), np.bool_)
    for row in range(len(begins)):
        are[row] = ends[row] - begins[row] == len(to) and equals(data, begins[row], to)
    return are
