"""How a run's work becomes the lake: all of it at once, or nothing.

A run writes into staging. Its commit is one exclusive entry in the log: from then on it is
published, and whoever opens the lake next does what is left to be done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from clicklake.errors import ClicklakeError, DamagedError, LeaseHeldError
from clicklake.lake import healing, ledger, log, places, retention, sealed
from clicklake.lake.ledger import Ledger
from clicklake.lake.manifest import RETAINED, SEALED, Manifest, Past
from clicklake.lake.places import MANIFEST, STAGING
from clicklake.lake.retention import NOTHING, Retention
from clicklake.lake.sealed import Stored
from clicklake.storage import Storage


@dataclass(frozen=True)
class Change:
    """What a commit does to the lake.

    `manifest`: the state to come; the commit itself adds where ledger and documents are.
    `ledger`: whole. `documents`: those that are new, by name. `files`: small files, by live path.
    `restores`: live paths of files of an earlier state. `purges`: earlier states go at once.
    """

    manifest: Manifest
    ledger: Ledger
    adds: list[tuple[str, str]]  # staged path, live path
    removes: list[str]
    metrics: Mapping[str, Any]
    documents: Mapping[str, bytes] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    restores: Sequence[str] = ()
    purges: bool = False


class Lake:
    """The state of a lake, read once its lease is held.

    `damage`: why the state could not be read, if it was opened all the same, for a rebuild.
    """

    def __init__(self, storage: Storage, retention: Retention = NOTHING) -> None:
        self.storage = storage
        self.retention = retention
        self.manifest = Manifest()
        self.ledger: Ledger = {}
        self.head = 0
        self.damage: str | None = None

    def open(self, *, fence: bool = False, rebuild: bool = False) -> str | None:
        """Heal what an earlier run left, and read the state. Returns the run that was finished.

        `fence`: keep every run that began before this moment from committing.
        `rebuild`: open a lake whose state is damaged, too; all of its files are to be replaced.
        Raises LeaseHeldError if another run takes over meanwhile, DamagedError if the state is
        not what was written and cannot be put right.
        """
        self.storage.check_writable()
        self.head = max(log.numbers(self.storage), default=0)
        try:
            finished = self._heal(rebuild)
            self._sweep(fence)
        except ClicklakeError:
            self.refuse_if_overtaken()
            raise
        return finished

    def _heal(self, rebuild: bool) -> str | None:
        try:
            healed = healing.heal(self.storage)
            self.head = max(self.head, healed.manifest.seq)
            self.manifest = healed.manifest
            self.ledger = read_ledger(self.storage, self.manifest)
            return healed.finished
        except DamagedError as error:
            if not rebuild or not error.can_be_rebuilt:
                raise
            self.damage = str(error)
            self.manifest = healing.salvaged(self.storage, self.head)
            self.head = max(self.head, self.manifest.seq)
            self.ledger = {}
            return None

    def document(self, name: str) -> bytes | None:
        """The content of a document; None if there is none. Raises DamagedError."""
        return read_document(self.storage, self.manifest, name)

    def refuse_if_overtaken(self) -> None:
        """Raises LeaseHeldError if another run has taken over since `open`."""
        newest = self.head
        with suppress(ClicklakeError):
            newest = max(log.numbers(self.storage), default=0)
        if newest > self.head:
            raise self._overtaken()

    def _overtaken(self) -> LeaseHeldError:
        return LeaseHeldError(
            f"{self.storage.root}: another run has changed this lake meanwhile; "
            "nothing was published. Run again."
        )

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
        self._append(log.fence(self.head + 1))
        self.storage.delete(left)

    def discard(self, run_id: str) -> None:
        """Drop what is left of a run in staging; the next run does where this fails.

        Not between `commit`'s begin and its end: what it moves would be lost.
        """
        with suppress(ClicklakeError):
            self.storage.delete_tree(f"{STAGING}/{run_id}")

    def commit(self, change: Change) -> None:
        """Make a run's staged work the lake. Raises LeaseHeldError if another run was first."""
        manifest, state = self._state(change)
        run_id, seq = manifest.run_id, self.head + 1
        content = manifest.to_json()
        files = {
            **change.files,
            **state,
            places.state(seq, "manifest.json"): content,
            places.metrics(run_id): sealed.seal(change.metrics),
            MANIFEST: content,
        }
        moves = [(staged, places.data(live)) for staged, live in change.adds]
        for number, (live, data) in enumerate(files.items()):
            staged = f"{STAGING}/{run_id}/documents/{number}-{live.rpartition('/')[2]}"
            self.storage.write(staged, data)
            moves.append((staged, live))
        self.storage.sync([staged for staged, _ in moves])
        entry = log.Entry(
            seq,
            run_id,
            moves,
            self._links(manifest, change),
            [*change.removes, *self._outdated(manifest)],
            Stored.of(MANIFEST, content),
            change.metrics,
        )
        with _told("Whether this run was published is not known yet"):
            self._append(entry)
        with _told("This run is published, but not to its end"):
            self._apply_unless_done(entry)
        self.manifest, self.ledger = manifest, change.ledger
        self.discard(run_id)

    def _state(self, change: Change) -> tuple[Manifest, dict[str, bytes]]:
        """The manifest with its other state, and the files of state that are new."""
        files: dict[str, bytes] = {}
        documents = dict(self.manifest.documents)
        if self.manifest.format < SEALED:
            old = {name: self.document(name) for name in places.FIRST_DOCUMENTS}
            files |= {name: data for name, data in old.items() if data}
        files |= change.documents
        ledgers = {source: ledger.to_bytes(found) for source, found in change.ledger.items()}
        seq = self.head + 1
        stored: dict[str, bytes] = {}
        for name, data in files.items():
            documents[name] = Stored.of(places.state(seq, f"{name}.json"), data)
            stored[documents[name].path] = data
        known = {}
        for source, data in ledgers.items():
            before = self.manifest.ledger.get(source)
            if before and before.fits(data):
                known[source] = before
                continue
            known[source] = Stored.of(places.state(seq, f"ledger-{source}.json.gz"), data)
            stored[known[source].path] = data
        now = datetime.now(UTC)
        history = () if change.purges else self.retention.kept(self._history(now), now)
        manifest = replace(
            change.manifest,
            seq=seq,
            ledger=known,
            documents=documents,
            history=history,
            committed_at=now,
        )
        return manifest, stored

    def _history(self, now: datetime) -> list[Past]:
        """The states that there were, the present one as the last of them."""
        present = self.manifest
        if self.damage or present.format < RETAINED or not present.run_id:
            return []
        return [*present.history, Past(present.seq, present.run_id, present.committed_at, now)]

    def _links(self, manifest: Manifest, change: Change) -> list[tuple[str, str]]:
        """(file, second name) of what comes into the tables' folders."""
        live = [*(path for _, path in change.adds), *change.restores]
        links = [(places.data(path), path) for path in live]
        if self.manifest.format < RETAINED:
            new = set(live)
            stay = [file.path for file in manifest.all_files if file.path not in new]
            links += [(path, places.data(path)) for path in stay]
        return links

    def _outdated(self, manifest: Manifest) -> list[str]:
        """Files that belong neither to the next state nor to one that is kept."""
        if self.manifest.format < SEALED and self.manifest.run_id:
            return [places.FIRST_LEDGER, *places.FIRST_DOCUMENTS.values()]
        if len(manifest.history) > len(self.manifest.history) and not self.damage:
            return []  # nothing but the present state becomes an earlier one
        kept = [manifest, *retention.readable(self.storage, manifest.history)]
        return retention.outdated(self.storage, kept, manifest.seq)

    def _append(self, entry: log.Entry) -> None:
        if not log.append(self.storage, entry):
            raise self._overtaken()
        self.head = entry.seq

    def _apply_unless_done(self, entry: log.Entry) -> None:
        """As `apply`; whoever has taken over has done so first, and may have gone on since."""
        try:
            healing.apply(self.storage, entry)
        except ClicklakeError:
            if max(log.numbers(self.storage), default=0) == self.head:
                raise


def read_ledger(storage: Storage, manifest: Manifest) -> Ledger:
    """Raises DamagedError if it is not the one that belongs to the manifest."""
    if manifest.format >= SEALED:
        return {s: ledger.from_bytes(each.read(storage)) for s, each in manifest.ledger.items()}
    place = storage.uri(places.FIRST_LEDGER)
    data = storage.read(places.FIRST_LEDGER)
    if data is None:
        raise DamagedError(f"{place}: is missing.")
    return ledger.of_first_format(data, place)


def read_document(storage: Storage, manifest: Manifest, name: str) -> bytes | None:
    """A document of one state; None if it has none. Raises DamagedError."""
    if manifest.format < SEALED:
        data = storage.read(places.FIRST_DOCUMENTS[name])
        if data is not None:
            sealed.parse(data, storage.uri(places.FIRST_DOCUMENTS[name]))
        return data
    stored = manifest.documents.get(name)
    return stored.read(storage) if stored else None


@contextmanager
def _told(state: str) -> Iterator[None]:
    """Say with an error in which state it leaves the lake."""
    try:
        yield
    except LeaseHeldError:
        raise
    except ClicklakeError as error:
        raise type(error)(f"{error} {state}: run again, and it is put right.") from None
