"""Stored files as text: compression, digests, and files that cannot be trusted."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator

import pyarrow as pa

from clicklake.storage import CHUNK

COMPRESSION = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}


_PACKED = 8  # bytes of text in one of a compressed file, about


def compression(path: str) -> str | None:
    """pyarrow's name of a file's compression, by its ending."""
    return next((name for end, name in COMPRESSION.items() if path.endswith(end)), None)


def text_bytes(path: str, size: int) -> int:
    """About how many bytes of text a file of a size holds."""
    return size * _PACKED if compression(path) else size


class RefusedError(Exception):
    """The whole file cannot be trusted."""


class Tap(io.RawIOBase):
    """Bytes in chunks as a file, and the digest of what went through; `tell`: of each number."""

    def __init__(
        self, chunks: Iterator[bytes], tell: Callable[[int], None] = lambda size: None
    ) -> None:
        self._chunks = chunks
        self._tell = tell
        self._hash = hashlib.sha256()
        self._left = b""

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._hash.update(chunk)
            yield chunk
            self._tell(len(chunk))

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self._left:
            chunk = next(self._chunks, b"")
            self._hash.update(chunk)
            self._left = chunk
        size = len(self._left) if size < 0 else size
        taken, self._left = self._left[:size], self._left[size:]
        self._tell(len(taken))
        return taken

    def digest(self) -> str:
        return self._hash.hexdigest()


def decompressed(stored: Tap, path: str, size: int = CHUNK) -> Iterator[bytes]:
    """The bytes of a file as text has them. A damaged compressed file is refused."""
    kind = compression(path)
    if kind is None:
        yield from stored
        return
    try:
        with pa.CompressedInputStream(pa.PythonFile(stored, mode="r"), kind) as stream:
            while chunk := stream.read(size):
                yield chunk
    except (OSError, EOFError) as error:
        raise RefusedError(f"its {kind} data is damaged or cut short ({error})") from None
