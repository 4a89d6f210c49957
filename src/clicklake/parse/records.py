"""The records of a block: the sound ones as columns of text, the others with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clicklake.parse.blocks import MAX_RECORD, Block, is_utf8
from clicklake.parse.texts import BLANKS, TextColumn

TOO_LONG = "record_too_long"
INVALID_UTF8 = "invalid_utf8"
_BLANKS = BLANKS.encode()

Columns = dict[str, TextColumn]


@dataclass(frozen=True)
class Plain:
    """What compiled code has read: some `lines` of a block, each a record.

    A row of `begins` and `ends` is a column; places beyond the block's end are in `spill`.
    """

    lines: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    spill: bytes = b""

    @classmethod
    def read(cls, block: Block, kernel: str, columns: int, *layout: Any) -> Plain:
        """What a kernel reads of a block, nothing where there are none; `layout`: what it needs."""
        begins, ends = np.empty((2, columns, len(block) if block.compiled else 0), np.int32)
        if not block.compiled:
            return cls(np.zeros(0, np.int64), begins, ends)
        spill = np.empty(len(block.data), np.uint8)
        lines, used = getattr(block.compiled, kernel)(
            block.raw, block.starts, block.record_ends, MAX_RECORD, *layout, begins, ends, spill
        )
        read = len(lines)
        return cls(lines, begins[:, :read], ends[:, :read], spill[:used].tobytes())

    def where(self, holds: np.ndarray) -> Plain:
        """Of the lines, those for which the mask over the block's lines holds."""
        kept = holds[self.lines]
        if kept.all():
            return self
        return Plain(self.lines[kept], self.begins[:, kept], self.ends[:, kept], self.spill)


@dataclass
class Records:
    """Records of one block; `first` and `last` are the indexes of a record's lines.

    `rest` are the bytes of a record that the block does not hold to its end.
    """

    columns: Columns
    first: np.ndarray
    last: np.ndarray
    broken: list[tuple[int, int, str]] = field(default_factory=list)  # first, last, reason
    rest: bytes = b""


def structural_fault(record: bytes) -> str | None:
    """The reason that holds for every format, if one does."""
    if len(record) > MAX_RECORD:
        return TOO_LONG
    return None if is_utf8(record) else INVALID_UTF8


def is_blank(record: bytes) -> bool:
    return not record.strip(_BLANKS)


def columns(
    names: Sequence[str], block: Block, plain: Plain, odd: Sequence[Sequence[str | None]]
) -> Columns:
    """The columns of the plain lines and, after them, of the odd records, a sequence of each."""
    values = [(value or "").encode().strip(_BLANKS) for record in odd for value in record]
    sizes = [len(block.data) + len(plain.spill), *map(len, values)]
    edges = np.cumsum(sizes, dtype=np.int32)
    begins, ends = (side.reshape(len(odd), len(names)).T for side in (edges[:-1], edges[1:]))
    data = b"".join([block.data, plain.spill, *values]) if odd or plain.spill else block.data
    return {
        name: TextColumn(
            data,
            np.concatenate([plain.begins[column], begins[column]]),
            np.concatenate([plain.ends[column], ends[column]]),
            block.compiled,
        )
        for column, name in enumerate(names)
    }
