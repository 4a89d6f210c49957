"""TextColumn as codes: copied, found by a keyed hash, counted anew."""

from __future__ import annotations

from typing import Any

import numpy as np

from clicklake.compiling import compile_once
from clicklake.parse.compiled.bytes import LOW, edges_of, eight_bytes

_AHEAD = 512  # texts that are fetched before the first of them is looked up


@compile_once
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


@compile_once
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
                code = entry & LOW
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
            codes[k] = entry & LOW
    return len(at), known


@compile_once
def _hash(data: np.ndarray, begin: int, end: int, keys: tuple[int, int]) -> int:
    """31 bits that those who write the texts cannot foresee: products of keyed halves."""
    first, last = edges_of(data, begin, end)
    low, high = _mixed(keys[0], keys[1], first, keys)
    low, high = _mixed(low, high, last, keys)
    for at in range(begin + 8, end - 8, 8):
        low, high = _mixed(low, high, eight_bytes(data, at), keys)
    product = (low ^ end - begin) * high
    return (product ^ product >> 32) & (LOW >> 1)


@compile_once
def _mixed(low: int, high: int, word: int, keys: tuple[int, int]) -> tuple[int, int]:
    product = (low ^ word & LOW) * (high ^ word >> 32 & LOW)
    return product & LOW ^ keys[0], product >> 32 & LOW ^ keys[1]


@compile_once
def _is_text(
    data: np.ndarray, begin: int, end: int, texts: np.ndarray, to: int, behind: int
) -> bool:
    if behind - to != end - begin or edges_of(data, begin, end) != edges_of(texts, to, behind):
        return False
    for step in range(8, end - begin - 8, 8):
        if eight_bytes(data, begin + step) != eight_bytes(texts, to + step):
            return False
    return True


@compile_once
def rehashed(old: np.ndarray, table: np.ndarray) -> None:
    """Put the entries of a table of `intern` into a larger one."""
    for entry in old:
        if entry >= 0:
            slot = (entry >> 32) & (len(table) - 1)
            while table[slot] >= 0:
                slot = (slot + 1) & (len(table) - 1)
            table[slot] = entry


@compile_once
def checksums(texts: np.ndarray, offsets: np.ndarray, by_byte: np.ndarray) -> np.ndarray:
    """The CRC-32 of each text. `by_byte`: what a byte does to a checksum of zeros."""
    sums = np.empty(len(offsets) - 1, np.int64)
    for code in range(len(sums)):
        check = np.int64(LOW)
        for at in range(offsets[code], offsets[code + 1]):
            check = by_byte[(check ^ texts[at]) & 0xFF] ^ check >> 8
        sums[code] = check ^ LOW
    return sums


@compile_once
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
