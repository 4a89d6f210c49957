"""The ledger: which input files were read, and what they held."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from clicklake.errors import DamagedError


@dataclass(frozen=True)
class LedgerFile:
    """An input file as it was read. `digests`: (start, end, SHA-256) of its stored bytes."""

    size: int
    version: str
    digests: tuple[tuple[int, int, str], ...]
    ends_with_newline: bool
    run_id: str


Files = Mapping[str, LedgerFile]  # by path below the source's folder
Ledger = dict[str, dict[str, LedgerFile]]  # by source and path


def to_bytes(files: Files) -> bytes:
    """The files of one source."""
    raw = {path: asdict(file) for path, file in files.items()}
    return gzip.compress(json.dumps(raw).encode(), compresslevel=6, mtime=0)


def from_bytes(data: bytes) -> dict[str, LedgerFile]:
    return {path: _file(raw) for path, raw in json.loads(gzip.decompress(data)).items()}


def of_first_format(data: bytes, place: str) -> Ledger:
    """All sources at once, as format 1 had them. Raises DamagedError if it cannot be read."""
    try:
        raw = json.loads(gzip.decompress(data))
        return {s: {path: _file(file) for path, file in files.items()} for s, files in raw.items()}
    except (OSError, EOFError, zlib.error, ValueError, TypeError, KeyError, AttributeError):
        raise DamagedError(f"{place}: is damaged.") from None


def _file(raw: Mapping) -> LedgerFile:
    digests = tuple((start, end, digest) for start, end, digest in raw["digests"])
    return LedgerFile(**{**raw, "digests": digests})
