"""The last line of a log that is being written: what it will hold is not known yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from clicklake.logs.files import compression
from clicklake.storage import FileInfo, LocalStorage, Storage

_STEP = 1 << 16  # bytes in which a line's end is looked for at once


def settled(
    storage: Storage, files: Iterable[FileInfo], now: float, settle_seconds: float
) -> tuple[tuple[FileInfo, ...], Mapping[str, int]]:
    """Files up to the last line's end if they are being written, and how many bytes that leaves.

    That is a plain file of a local disk that was written to less than `settle_seconds` from `now`
    (seconds since 1970). Objects on S3 are whole.
    """
    if not isinstance(storage, LocalStorage):
        return tuple(files), {}
    found, pending = [], {}
    for info in files:
        age = abs(now - storage.modified(info))  # a time of next year is no sign of a writer
        is_settled = age >= settle_seconds or compression(info.path) is not None
        size = info.size if is_settled else _last_line_end(storage, info)
        if size < info.size:
            pending[info.path] = info.size - size
        found.append(replace(info, size=size))
    return tuple(found), pending


def _last_line_end(storage: Storage, info: FileInfo) -> int:
    """Where the last line ends that has an end; 0 if none has."""
    for end in range(info.size, 0, -_STEP):
        start = max(0, end - _STEP)
        at = b"".join(storage.chunks(info, start, end)).rfind(b"\n")
        if at >= 0:
            return start + at + 1
    return 0
