"""State on disk that cannot be taken for another: JSON with its checksum, files with a digest.

A sealed document is plain JSON whose last key, `checksum`, is the SHA-256 of all the others. What
is cut, empty or altered is told from what was written; JSON readers need not care.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clicklake.errors import DamagedError
from clicklake.storage import Storage

CHECKSUM = "checksum"


def seal(document: Mapping[str, Any]) -> bytes:
    """A document as bytes, with its checksum."""
    plain = json.loads(json.dumps(document, default=str))
    return json.dumps({**plain, CHECKSUM: _checksum(plain)}, indent=1).encode()


def unseal(data: bytes, place: str) -> dict[str, Any]:
    """A document without its checksum. Raises DamagedError if it is not what was sealed."""
    document = parse(data, place)
    if document.pop(CHECKSUM, None) != _checksum(document):
        raise DamagedError(f"{place}: is damaged: its checksum is another.")
    return document


def parse(data: bytes, place: str) -> dict[str, Any]:
    """A JSON object, sealed or not. Raises DamagedError if it is none."""
    try:
        document = json.loads(data)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        what = "is empty" if not data else "is damaged: it is no JSON object"
        raise DamagedError(f"{place}: {what}.")
    return document


def _checksum(plain: Mapping[str, Any]) -> str:
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Stored:
    """A file that another one names, with what it must hold."""

    path: str
    size: int
    sha256: str

    @classmethod
    def of(cls, path: str, data: bytes) -> Stored:
        return cls(path, len(data), hashlib.sha256(data).hexdigest())

    def fits(self, data: bytes | None) -> bool:
        return data is not None and Stored.of(self.path, data) == self

    def read(self, storage: Storage) -> bytes:
        """Its content. Raises DamagedError if that is not what was written."""
        data = storage.read(self.path)
        if data is None:
            raise DamagedError(f"{storage.uri(self.path)}: is missing.")
        if not self.fits(data):
            raise DamagedError(f"{storage.uri(self.path)}: is damaged: it was written otherwise.")
        return data
