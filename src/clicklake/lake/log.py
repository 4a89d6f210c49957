"""The lake's log: an entry for every commit, made exclusively, never deleted.

An entry lists moves (staged file, its place), links (file, its second name) and then files to
delete. All can be done again without harm. It names the manifest that it brings by digest, and
holds the run's metrics. A `fence` is an entry that does nothing but take a number.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clicklake.errors import DamagedError
from clicklake.lake import sealed
from clicklake.lake.places import LOG
from clicklake.lake.sealed import Stored
from clicklake.storage import Storage


@dataclass(frozen=True)
class Entry:
    """One commit. `manifest` is None in a fence, and in entries of format 1."""

    seq: int
    run_id: str = ""
    moves: Sequence[tuple[str, str]] = ()
    links: Sequence[tuple[str, str]] = ()
    removes: Sequence[str] = ()
    manifest: Stored | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    fence: str = ""

    def to_json(self) -> bytes:
        document: dict[str, Any] = {"seq": self.seq}
        if self.fence:
            return sealed.seal(document | {"fence": self.fence})
        manifest = vars(self.manifest) if self.manifest else None
        return sealed.seal(
            document
            | {
                "run_id": self.run_id,
                "moves": self.moves,
                "links": self.links,
                "removes": self.removes,
                "manifest": manifest,
                "metrics": self.metrics,
            }
        )

    @classmethod
    def from_json(cls, data: bytes, place: str) -> Entry:
        """Raises DamagedError if it is not as it was written."""
        raw = sealed.parse(data, place)
        if sealed.CHECKSUM in raw:
            raw = sealed.unseal(data, place)
        manifest = raw.get("manifest")
        try:
            if raw.get("fence"):
                return cls(raw["seq"], fence=raw["fence"])
            return cls(
                seq=raw["seq"],
                run_id=raw["run_id"],
                moves=[(staged, live) for staged, live in raw["moves"]],
                links=[(file, name) for file, name in raw.get("links", ())],
                removes=raw["removes"],
                manifest=Stored(**manifest) if manifest else None,
                metrics=raw.get("metrics", {}),
            )
        except (KeyError, TypeError, ValueError):
            raise DamagedError(f"{place}: is damaged: it is no entry of the log.") from None


def fence(seq: int) -> Entry:
    """An entry like no other's."""
    return Entry(seq, fence=uuid.uuid4().hex)


def path(seq: int) -> str:
    return f"{LOG}/{seq:08d}.json"


def numbers(storage: Storage) -> list[int]:
    """The numbers of all entries, ascending."""
    stems = [info.path.rpartition("/")[2].removesuffix(".json") for info in storage.list(LOG)]
    return sorted(int(stem) for stem in stems if stem.isdigit())


def read(storage: Storage, seq: int) -> Entry:
    """Raises DamagedError if the entry is missing or not as it was written."""
    data = storage.read(path(seq))
    place = storage.uri(path(seq))
    if data is None:
        raise DamagedError(f"{place}: is missing.")
    return Entry.from_json(data, place)


def append(storage: Storage, entry: Entry) -> bool:
    """Make an entry; False if its number is taken."""
    return storage.create(path(entry.seq), entry.to_json())
