"""Blocks of whole lines, and where each line stands in its block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

MAX_RECORD = 1 << 20  # bytes, without the line end
MAX_LINES = 1 << 18  # of a block: broken ones are Python objects, each with its reason
BOM = b"\xef\xbb\xbf"

_FEW = 16  # lines that are looked at one by one

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
    is_end = np.frombuffer(block, np.uint8) == 10
    if np.count_nonzero(is_end) > MAX_LINES:
        newlines = np.flatnonzero(is_end)
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
        if len(tail) + first > _KEPT:
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
    """Whole lines. `starts` and `ends` are each line's span, its line end left out."""

    data: bytes

    @cached_property
    def offsets(self) -> np.ndarray:
        """Where each line begins, and the end of the data: one more than there are lines."""
        newlines = np.flatnonzero(np.frombuffer(self.data, np.uint8) == 10) + 1
        ends_open = len(self.data) > (newlines[-1] if len(newlines) else 0)
        edges = [np.zeros(1, np.int64), newlines]
        return np.concatenate([*edges, [len(self.data)]] if ends_open else edges)

    @property
    def starts(self) -> np.ndarray:
        return self.offsets[:-1]

    @cached_property
    def ends(self) -> np.ndarray:
        raw = np.frombuffer(self.data, np.uint8)
        ends = self.offsets[1:].copy()
        if len(ends) == 0:
            return ends
        ends -= raw[ends - 1] == 10
        has_end = ends < self.offsets[1:]
        before = np.maximum(ends - 1, 0)
        return ends - (has_end & (ends > self.starts) & (raw[before] == 13))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def first_bytes(self) -> np.ndarray:
        """Each line's first byte, a line end included."""
        return np.frombuffer(self.data, np.uint8)[self.starts]

    @property
    def line_ends(self) -> int:
        return len(self) if self.data.endswith(b"\n") else max(len(self) - 1, 0)

    @cached_property
    def lines(self) -> pa.Array:
        """The lines with their line ends, without a copy. Not checked to be UTF-8."""
        offsets = pa.py_buffer(self.offsets.astype(np.int32))
        return pa.Array.from_buffers(
            pa.string(), len(self), [None, offsets, pa.py_buffer(self.data)]
        )

    @cached_property
    def sound(self) -> np.ndarray:
        """The lines that are neither too long nor broken UTF-8."""
        short = (self.ends - self.starts) <= MAX_RECORD
        return short if self.data.isascii() else short & self._valid_utf8()

    def _valid_utf8(self) -> np.ndarray:
        """Which lines are UTF-8. Few are not, so they are closed in on by halves."""
        valid = np.ones(len(self), bool)
        at = self._beyond_ascii()
        lines = self.lines.take(pa.array(at))
        spans = [(0, len(at))]
        while spans:
            begin, end = spans.pop()
            if _is_valid(lines.slice(begin, end - begin)):
                continue
            if end - begin <= _FEW:
                valid[at[begin:end]] = [is_utf8(self.line(line)) for line in at[begin:end]]
            else:
                middle = (begin + end) // 2
                spans += [(begin, middle), (middle, end)]
        return valid

    def _beyond_ascii(self) -> np.ndarray:
        """The lines that hold a byte beyond ASCII; all of them where there are many such bytes."""
        found = np.flatnonzero(np.frombuffer(self.data, np.uint8) >= 0x80)
        if len(found) > len(self):
            return np.arange(len(self))
        return np.flatnonzero(self.marked(found))

    def marked(self, positions: np.ndarray) -> np.ndarray:
        """Which lines hold one of the bytes."""
        marked = np.zeros(len(self), bool)
        marked[self.lines_of(positions)] = True
        return marked

    def lines_of(self, positions: np.ndarray) -> np.ndarray:
        """The line in which each byte stands."""
        return np.searchsorted(self.offsets, positions, side="right") - 1

    def line(self, at: int) -> bytes:
        return self.data[self.starts[at] : self.ends[at]]


def _is_valid(lines: pa.Array) -> bool:
    try:
        lines.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def as_text(record: bytes) -> str:
    r"""A record as text to keep: bytes that are not UTF-8 are written `\xNN`."""
    return record[:MAX_RECORD].decode("utf-8", errors="backslashreplace")
