"""TextColumn as codes while they are read, so that what occurs often is kept once."""

from __future__ import annotations

import secrets
import zlib
from functools import cache
from types import ModuleType

import numpy as np
import pyarrow as pa

from clicklake.parse.texts import TextColumn, kernels

_SLOTS = 1 << 12  # of a table at first; half of them are used at most
_BYTES = 1 << 18


class Interner:
    """The distinct texts of a column; a code is the place of one among them.

    Only for texts that are read by compiled code. What was returned before stays as it is.
    """

    def __init__(self) -> None:
        self._keys = (secrets.randbits(32), secrets.randbits(32))
        self._known = 0
        self._table = np.full(_SLOTS, -1, np.int64)
        self._offsets = np.zeros(_SLOTS // 2 + 1, np.int32)
        self._texts = np.empty(_BYTES, np.uint8)

    @property
    def size(self) -> int:
        """Bytes of the texts and of what is kept of each."""
        return len(self._texts) + self._table.nbytes

    @property
    def values(self) -> pa.Array:
        buffers = [None, pa.py_buffer(self._offsets), pa.py_buffer(self._texts)]
        return pa.Array.from_buffers(pa.string(), self._known, buffers)

    def encode(self, texts: TextColumn, at: np.ndarray) -> pa.DictionaryArray:
        """The texts of the rows `at`, as codes of `values`; an empty text is null."""
        if texts.compiled is None:
            raise ValueError("only texts that compiled code reads")
        codes = np.empty(len(at), np.int32)
        done = 0
        while True:
            done, self._known = texts.compiled.intern(
                texts.raw,
                texts.begins,
                texts.ends,
                at,
                done,
                self._keys,
                self._table,
                self._offsets,
                self._texts,
                self._known,
                codes,
            )
            if done == len(at):
                break
            self._grow(texts.compiled, int(texts.ends[at[done]] - texts.begins[at[done]]))
        is_null = codes < 0
        indices = pa.array(codes, mask=is_null if is_null.any() else None)
        return pa.DictionaryArray.from_arrays(indices, self.values, safe=False)

    def _grow(self, compiled: ModuleType, more: int) -> None:
        """Make place for a text of `more` bytes."""
        if 2 * self._known >= len(self._table):
            table = np.full(2 * len(self._table), -1, np.int64)
            compiled.rehashed(self._table, table)
            self._table = table
            self._offsets = np.append(self._offsets, np.zeros(len(table) // 4, np.int32))
        else:
            room = np.empty(len(self._texts) + more, np.uint8)
            self._texts = np.append(self._texts, room)


def checksums(values: pa.Array) -> np.ndarray:
    """The CRC-32 of each text of an array without nulls."""
    compiled = kernels()
    if compiled is None:
        return np.array([zlib.crc32(text.encode()) for text in values.to_pylist()], np.int64)
    _, offsets, texts = values.buffers()
    places = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
    return compiled.checksums(np.frombuffer(texts, np.uint8), places, _checksums_by_byte())


@cache
def _checksums_by_byte() -> np.ndarray:
    """What a byte does to a checksum of zeros: that of its opposite, less its inversions."""
    return np.array([zlib.crc32(bytes([byte ^ 0xFF])) ^ 0xFF000000 for byte in range(256)])
