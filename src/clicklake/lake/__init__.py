"""The lake's files: what is live, what has been read, and how a run's work becomes the lake.

Everything of ours is below `_clicklake/`:
`log/<seq>.json`   one entry for every commit, made exclusively: the commit point
`manifest.json`    the live files of every table, as of the newest entry that was applied
`ledger.json.gz`   the input files that were read
`runs/<run_id>/`   what a run reported
`staging/<run_id>/` what a run has written and not yet committed

A commit is a list of moves (staged file, live file), then of files to delete. Both can be done
again without harm, so a crash after the entry was made is healed by applying the entry again.
"""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from clicklake.errors import ClicklakeError, LeaseHeldError
from clicklake.schemas import TABLES
from clicklake.storage import Storage

OURS = "_clicklake"
MANIFEST = f"{OURS}/manifest.json"
LEDGER = f"{OURS}/ledger.json.gz"
LOG = f"{OURS}/log"
STAGING = f"{OURS}/staging"
RUNS = f"{OURS}/runs"

Month = tuple[int, int]


@dataclass(frozen=True)
class LiveFile:
    """A Parquet file of a table."""

    path: str
    rows: int
    bytes: int

    @property
    def month(self) -> Month | None:
        """Year and month of a file of a monthly table."""
        values = partition_values(self.path)
        return (int(values["year"]), int(values["month"])) if "year" in values else None


def partition_values(path: str) -> dict[str, str]:
    """`year=2018/month=4` of a path as a dict."""
    return dict(part.split("=", 1) for part in path.split("/") if "=" in part)


@dataclass(frozen=True)
class Manifest:
    """The live files of one state of the lake, and the settings that it was computed with."""

    run_id: str = ""
    seq: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, tuple[LiveFile, ...]] = field(default_factory=dict)

    def files(self, table: str, months: Iterable[Month] | None = None) -> list[LiveFile]:
        wanted = None if months is None else set(months)
        return [f for f in self.tables.get(table, ()) if wanted is None or f.month in wanted]

    def months(self, table: str) -> list[Month]:
        return sorted({file.month for file in self.files(table) if file.month})

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        raw = json.loads(data)
        tables = {
            name: tuple(LiveFile(**file) for file in files) for name, files in raw["tables"].items()
        }
        return cls(raw["run_id"], raw["seq"], raw["settings"], tables)


@dataclass(frozen=True)
class LedgerFile:
    """An input file as it was read. `digests`: (start, end, SHA-256) of its stored bytes."""

    size: int
    version: str
    digests: tuple[tuple[int, int, str], ...]
    ends_with_newline: bool
    run_id: str


Ledger = dict[str, dict[str, LedgerFile]]  # source, path below the source's folder


@dataclass(frozen=True)
class Change:
    """What a commit does to the lake."""

    manifest: Manifest
    ledger: Ledger
    adds: list[tuple[str, str]]  # staged path, live path
    removes: list[str]
    metrics: Mapping[str, Any]
    documents: Mapping[str, bytes] = field(default_factory=dict)  # live path, content


class Lake:
    """The state of a lake, read once its lease is held."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.manifest = Manifest()
        self.ledger: Ledger = {}
        self.head = 0

    def open(self, *, fence: bool = False) -> str | None:
        """Heal what an earlier run left, and read the state. Returns the run that was finished.

        `fence`: keep every run that began before this moment from committing.
        Raises LeaseHeldError if another run takes over meanwhile.
        """
        self.storage.check_writable()
        self.head = self._newest()
        try:
            self.load()
            finished = self._finish() if self.head else None
            self._sweep(fence)
        except ClicklakeError:
            self.refuse_if_overtaken()
            raise
        return finished

    def _newest(self) -> int:
        return max((_seq(info.path) for info in self.storage.list(LOG)), default=0)

    def refuse_if_overtaken(self) -> None:
        """Raises LeaseHeldError if another run has taken over since `open`."""
        newest = self.head
        with suppress(ClicklakeError):
            newest = self._newest()
        if newest > self.head:
            raise self._overtaken()

    def _overtaken(self) -> LeaseHeldError:
        return LeaseHeldError(
            f"{self.storage.root}: another run has changed this lake meanwhile; "
            "nothing was published. Run again."
        )

    def _finish(self) -> str | None:
        """Do what is left of the newest entry; the run whose work was not yet to be seen."""
        entry = json.loads(self.storage.read(_entry(self.head)) or b"{}")
        if entry.get("fence"):  # made only after the entry before it was finished
            return None
        if self.head == self.manifest.seq:
            self.storage.delete(entry["removes"])
            return None
        self._apply(entry)
        self.load()
        return entry.get("run_id")

    def load(self) -> None:
        manifest = self.storage.read(MANIFEST)
        self.manifest = Manifest.from_json(manifest) if manifest else Manifest()
        ledger = self.storage.read(LEDGER)
        self.ledger = _ledger_from_json(ledger) if ledger else {}

    def _sweep(self, fence: bool) -> None:
        """Drop what runs have staged and never committed.

        The entry made first keeps a run that was only paused from committing what is gone. It is
        like no other's, and only what was there before it goes: what is staged later belongs to
        a run that began after it. The manifest is left alone: a run that was paused here would
        put an old one over that of its successor.
        """
        left = [info.path for info in self.storage.list(STAGING)]
        if not left and not fence:
            return
        entry = {"seq": self.head + 1, "moves": [], "removes": [], "fence": uuid.uuid4().hex}
        self._append(entry)
        self.storage.delete(left)

    def discard(self, run_id: str) -> None:
        """Drop what is left of a run in staging; the next run does where this fails.

        Not between `commit`'s begin and its end: what it moves would be lost.
        """
        with suppress(ClicklakeError):
            self.storage.delete_tree(f"{STAGING}/{run_id}")

    def commit(self, change: Change) -> None:
        """Make a run's staged work the lake. Raises LeaseHeldError if another run was first."""
        folder = f"{STAGING}/{change.manifest.run_id}/documents"
        documents = [
            *change.documents.items(),
            (LEDGER, _ledger_to_json(change.ledger)),
            (f"{RUNS}/{change.manifest.run_id}/metrics.json", _pretty(change.metrics)),
            (MANIFEST, change.manifest.to_json()),
        ]
        moves = list(change.adds)
        for live, data in documents:
            document = f"{folder}/{live.rpartition('/')[2]}"
            self.storage.write(document, data)
            moves.append((document, live))
        self.storage.sync([staged for staged, _ in moves])
        entry = {
            "seq": self.head + 1,
            "run_id": change.manifest.run_id,
            "moves": moves,
            "removes": change.removes,
        }
        with _told("Whether this run was published is not known yet"):
            self._append(entry)
        with _told("This run is published, but not to its end"):
            self._apply_unless_done(entry)
        self.manifest, self.ledger = change.manifest, change.ledger
        self.discard(change.manifest.run_id)

    def _append(self, entry: Mapping[str, Any]) -> None:
        if not self.storage.create(_entry(entry["seq"]), json.dumps(entry).encode()):
            raise self._overtaken()
        self.head = entry["seq"]

    def _apply_unless_done(self, entry: Mapping[str, Any]) -> None:
        """As `_apply`; whoever has taken over has done so first, and may have gone on since."""
        try:
            self._apply(entry)
        except ClicklakeError:
            if self._newest() == self.head:
                raise

    def _apply(self, entry: Mapping[str, Any]) -> None:
        """Do what an entry says; the manifest goes last, before the old files."""
        moves = [(source, live) for source, live in entry["moves"]]
        self.storage.move(move for move in moves if move[1] != MANIFEST)
        self.storage.move(move for move in moves if move[1] == MANIFEST)
        self.storage.delete(entry["removes"])


@contextmanager
def _told(state: str) -> Iterator[None]:
    """Say with an error in which state it leaves the lake."""
    try:
        yield
    except LeaseHeldError:
        raise
    except ClicklakeError as error:
        raise type(error)(f"{error} {state}: run again, and it is put right.") from None


def _seq(path: str) -> int:
    stem = path.rpartition("/")[2].removesuffix(".json")
    return int(stem) if stem.isdigit() else 0


def _entry(seq: int) -> str:
    return f"{LOG}/{seq:08d}.json"


def _pretty(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1, ensure_ascii=False, default=str).encode()


def _ledger_to_json(ledger: Ledger) -> bytes:
    raw = {
        source: {path: asdict(file) for path, file in files.items()}
        for source, files in ledger.items()
    }
    return gzip.compress(json.dumps(raw).encode(), mtime=0)


def _ledger_from_json(data: bytes) -> Ledger:
    raw = json.loads(gzip.decompress(data))
    return {
        source: {
            path: LedgerFile(
                **{**file, "digests": tuple(tuple(digest) for digest in file["digests"])}
            )
            for path, file in files.items()
        }
        for source, files in raw.items()
    }


class Snapshot:
    """The live files of every table at one moment: what readers and publishers read."""

    def __init__(self, storage: Storage, manifest: Manifest) -> None:
        self.storage = storage
        self.manifest = manifest

    @property
    def run_id(self) -> str:
        return self.manifest.run_id

    @property
    def seq(self) -> int:
        return self.manifest.seq

    @property
    def tables(self) -> list[str]:
        return [name for name in TABLES if self.manifest.files(name)]

    def live(self, table: str) -> list[LiveFile]:
        return self.manifest.files(table)

    def files(self, table: str) -> list[str]:
        """The table's files as paths or s3a addresses."""
        return [self.storage.uri(file.path) for file in self.manifest.files(table)]

    def rows(self, table: str) -> int:
        return sum(file.rows for file in self.manifest.files(table))


def snapshot(storage: Storage) -> Snapshot:
    """The lake as it is now; the documented way to read several tables of one state."""
    manifest = storage.read(MANIFEST)
    return Snapshot(storage, Manifest.from_json(manifest) if manifest else Manifest())
