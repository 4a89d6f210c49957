"""Blocks of whole lines, and where each line stands in its block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType

import numpy as np

MAX_RECORD = 1 << 20  # bytes, without the line end
MAX_LINES = 1 << 18  # of a block: broken ones are Python objects, each with its reason
BOM = b"\xef\xbb\xbf"

# A line is never held longer than this: its end may still be CR LF.
_KEPT = MAX_RECORD + 2


def without_bom(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes without a byte order mark at their start."""
    head = b""
    chunks = iter(chunks)
    for chunk in chunks:
        head += chunk
        if len(head) >= len(BOM):
            break
    yield head.removeprefix(BOM)
    yield from chunks


def blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Regroup chunks of bytes into blocks that end with a line end (the last one may not).

    A line of more than `MAX_RECORD` bytes is cut, still too long to be taken for a record, so
    that no input makes a block larger than a chunk and a record, or of more than `MAX_LINES`.
    """
    for block in _lines_together(chunks):
        yield from _portions(block)


def _portions(block: bytes) -> Iterator[bytes]:
    begin = 0
    are_newlines = np.frombuffer(block, np.uint8) == 10
    if np.count_nonzero(are_newlines) > MAX_LINES:
        newlines = np.flatnonzero(are_newlines)
        for newline in newlines[MAX_LINES - 1 :: MAX_LINES].tolist():
            yield block[begin : newline + 1]
            begin = newline + 1
    if begin < len(block):
        yield block[begin:]


def _lines_together(chunks: Iterable[bytes]) -> Iterator[bytes]:
    tail = b""  # the line that is not finished yet
    for chunk in chunks:
        end = chunk.rfind(b"\n") + 1
        if not end:
            tail = _cut(tail, chunk)
            continue
        first = chunk.find(b"\n")
        if not tail and end == len(chunk):
            yield chunk
        elif len(tail) + first > _KEPT:
            yield _cut(tail, chunk[:first]) + chunk[first:end]
        else:
            yield b"".join([tail, memoryview(chunk)[:end]])
        tail = _cut(b"", chunk[end:])
    if tail:
        yield tail


def _cut(line: bytes, more: bytes) -> bytes:
    """A line that goes on, cut to `_KEPT` bytes. If it is not blank, what is left is not either."""
    whole = line + more
    if len(whole) <= _KEPT:
        return whole
    return whole[: _KEPT - 1] + (whole[_KEPT - 1 :].strip(b" \t\r") or whole[_KEPT - 1 :])[:1]


@dataclass(frozen=True)
class Block:
    """Whole lines. `starts` and `ends` are each line's span, its line end left out.

    `compiled`: the kernels to read it with, if any. `comment`: what lines begin with that are no
    records.
    """

    data: bytes
    compiled: ModuleType | None = None
    comment: bytes = b""

    @cached_property
    def offsets(self) -> np.ndarray:
        """Where each line begins, and the end of the data: one more than there are lines."""
        newlines = np.flatnonzero(self.raw == 10) + 1
        ends_open = len(self.data) > (newlines[-1] if len(newlines) else 0)
        edges = [np.zeros(1, np.int64), newlines]
        return np.concatenate([*edges, [len(self.data)]] if ends_open else edges)

    @property
    def starts(self) -> np.ndarray:
        return self.offsets[:-1]

    @cached_property
    def ends(self) -> np.ndarray:
        raw = self.raw
        ends = self.offsets[1:].copy()
        if len(ends) == 0:
            return ends
        ends -= raw[ends - 1] == 10
        has_end = ends < self.offsets[1:]
        before = np.maximum(ends - 1, 0)
        return ends - (has_end & (ends > self.starts) & (raw[before] == 13))

    @cached_property
    def record_ends(self) -> np.ndarray:
        """The lines' ends; a comment is as an empty line, unless it is inside a record."""
        if not self.comment or not self.data:
            return self.ends
        starts, last = self.starts, len(self.data) - 1
        is_comment = starts + len(self.comment) <= self.ends
        for at, byte in enumerate(self.comment):
            is_comment &= self.raw[np.minimum(starts + at, last)] == byte
        return np.where(is_comment, starts, self.ends)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def raw(self) -> np.ndarray:
        return np.frombuffer(self.data, np.uint8)

    @property
    def line_ends(self) -> int:
        return len(self) if self.data.endswith(b"\n") else max(len(self) - 1, 0)

    def line(self, at: int) -> bytes:
        return self.data[self.starts[at] : self.ends[at]]


def is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def as_text(record: bytes) -> str:
    r"""A record as text to keep: bytes that are not UTF-8 are written `\xNN`."""
    return record[:MAX_RECORD].decode("utf-8", errors="backslashreplace")
