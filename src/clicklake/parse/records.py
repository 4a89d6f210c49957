"""The records of a block: the sound ones as columns of text, the others with a reason."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from clicklake.parse.blocks import MAX_RECORD, Block, is_utf8

TOO_LONG = "record_too_long"
INVALID_UTF8 = "invalid_utf8"

Columns = dict[str, pa.Array]


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
    return not record.strip(b" \t")


def selected(block: Block, mask: np.ndarray) -> pa.Buffer:
    """The bytes of the lines that `mask` selects, one after the other."""
    if mask.all():
        return pa.py_buffer(block.data)
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    spans = block.offsets[edges].reshape(-1, 2).tolist()  # from a line to the first left out
    data = memoryview(block.data)
    return pa.py_buffer(b"".join([data[begin:end] for begin, end in spans]))


def text_array(values: list[str | None]) -> pa.Array:
    return pa.array(values, pa.string())


def combine(parts: list[pa.Array]) -> pa.Array:
    return parts[0] if len(parts) == 1 else pa.concat_arrays(parts)
