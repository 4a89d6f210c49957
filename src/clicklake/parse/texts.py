"""Columns of text as places in a buffer, and who reads them: compiled code or Python."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pyarrow as pa

BLANKS = " \t"
_INTERPRETED = 4 << 20  # bytes for which a process does without the compiled code

_expected = 0


def expect(size: int) -> None:
    """Let it be known that so many bytes are going to be read."""
    global _expected  # noqa: PLW0603
    _expected += size


def kernels() -> ModuleType | None:
    """The compiled functions; None where little is read.

    Loading them takes as long as reading some megabytes without them.
    """
    if _expected <= _INTERPRETED:
        return None
    from clicklake.parse import compiled

    return compiled


@dataclass(frozen=True)
class TextColumn:
    """A column: each text is `data` from its `begins` to its `ends`, UTF-8 without blanks around.

    An empty one is null. `compiled`: the kernels to use, if any.
    """

    data: bytes
    begins: np.ndarray
    ends: np.ndarray
    compiled: ModuleType | None = None

    def __len__(self) -> int:
        return len(self.begins)

    @property
    def raw(self) -> np.ndarray:
        return np.frombuffer(self.data, np.uint8)

    @property
    def is_null(self) -> np.ndarray:
        return self.begins == self.ends

    def to_pylist(self, at: Iterable[int]) -> list[str | None]:
        """The texts of some rows."""
        spans = ((int(self.begins[row]), int(self.ends[row])) for row in at)
        return [self.data[begin:end].decode() or None for begin, end in spans]

    def to_arrow(self, at: np.ndarray) -> pa.Array:
        """The texts of the rows `at`."""
        if not self.compiled:
            return pa.array(self.to_pylist(at), pa.string())
        lengths = self.ends[at] - self.begins[at]
        offsets = np.zeros(len(at) + 1, np.int32)
        np.cumsum(lengths, out=offsets[1:])
        copied = np.empty(offsets[-1] + 16, np.uint8)
        self.compiled.gather(self.raw, self.begins, self.ends, at, copied)
        valid = None if lengths.all() else np.packbits(lengths > 0, bitorder="little")
        buffers = [
            part if part is None else pa.py_buffer(part) for part in (valid, offsets, copied)
        ]
        return pa.Array.from_buffers(pa.string(), len(at), buffers)
