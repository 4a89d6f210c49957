"""What a run did, for people and programs: one record, and its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from typing import Any

from clicklake.errors import DamagedError
from clicklake.lake import log, places, sealed
from clicklake.lake.manifest import Manifest
from clicklake.lake.places import RUNS
from clicklake.schemas import TABLES
from clicklake.storage import THREADS, Storage

COMMITTED, NOTHING_NEW = "committed", "nothing_new"
FATES = ("kept", "duplicate", "filtered", "quarantined")

_OF_SOME = (
    "bad_files",
    "notes",
    "pending",
    "total_seconds",
    "recomputed",
    "forgotten",
    "published",
    "rolled_back_to",
)

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Books:
    """What became of the rows of one source that a run read."""

    read: int = 0
    kept: int = 0
    duplicate: int = 0
    filtered: int = 0
    quarantined: int = 0

    @property
    def balance(self) -> bool:
        """Whether every row has one fate."""
        fates = [getattr(self, fate) for fate in FATES]
        return self.read == sum(fates) and min(fates) >= 0


@dataclass(frozen=True)
class TableFacts:
    """How large a table is."""

    rows: int
    bytes: int
    files: int


@dataclass(frozen=True)
class StageTime:
    """A stage of a run: seconds, and the rows it made, where it makes rows."""

    name: str
    seconds: float
    rows: int | None = None


@dataclass(frozen=True)
class RunMetrics:
    """A run. `seconds`: until the commit; `total_seconds`: until everything was published.

    `status`: committed, or nothing_new, which tells of the run that left the lake so.

    By source: `books`, `reasons` (of quarantined rows), `vanished` (files), `bad_files` (that
    are set aside, with the reasons), `pending` (bytes of last lines that are being written, by
    file, which this run has not read). By table: `tables`,
    `months` (rewritten: `2018-04`), `forgotten` (rows that went with a person). `recomputed`:
    tables made anew because their declaration is another. `notes`: what is worth a look, in words.
    `rolled_back_to`: the number of the earlier state that the run made the present one.
    """

    run_id: str
    status: str
    engine: str
    seconds: float
    total_seconds: float = 0.0
    seq: int = 0
    started_at: str = ""
    as_of: str = ""
    books: Mapping[str, Books] = field(default_factory=dict)
    reasons: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    tables: Mapping[str, TableFacts] = field(default_factory=dict)
    months: Mapping[str, list[str]] = field(default_factory=dict)
    settings: Json = field(default_factory=dict)
    stages: tuple[StageTime, ...] = ()
    recommendation: Json = field(default_factory=dict)
    replayed: tuple[str, ...] = ()
    rebuilt: tuple[str, ...] = ()
    recomputed: tuple[str, ...] = ()
    vanished: Mapping[str, list[str]] = field(default_factory=dict)
    bad_files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    pending: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    forgotten: Mapping[str, int] = field(default_factory=dict)
    rolled_back_to: int = 0
    published: Json = field(default_factory=dict)

    @property
    def total(self) -> Books:
        """What became of all rows."""
        each = self.books.values()
        names = [field.name for field in fields(Books)]
        return Books(**{name: sum(getattr(books, name) for books in each) for name in names})

    @property
    def is_committed(self) -> bool:
        return self.status == COMMITTED

    def to_json(self) -> dict[str, Any]:
        """The record; of what only some runs do, those that have done it tell alone."""
        raw = asdict(self)
        return {name: raw[name] for name in raw if raw[name] or name not in _OF_SOME}

    @classmethod
    def from_json(cls, raw: Json) -> RunMetrics:
        """A run of this release or an earlier one; what it did not tell is left empty."""
        known = {each.name for each in fields(cls)}
        given = {name: value for name, value in raw.items() if name in known}
        stages = (StageTime(**stage) for stage in given.get("stages", ()))
        return cls(
            **given
            | {
                "engine": given.get("engine", ""),
                "seconds": given.get("seconds", 0.0),
                "status": given.get("status", COMMITTED),
                "books": {name: Books(**each) for name, each in given.get("books", {}).items()},
                "tables": {n: TableFacts(**each) for n, each in given.get("tables", {}).items()},
                "stages": tuple(stages),
                **{
                    n: tuple(given.get(n, ()))
                    for n in ("replayed", "rebuilt", "recomputed", "notes")
                },
            }
        )


def table_facts(manifest: Manifest) -> dict[str, TableFacts]:
    """The size of each table that the lake has, or once had."""
    return {
        name: TableFacts(sum(f.rows for f in files), sum(f.bytes for f in files), len(files))
        for name in TABLES
        if (files := manifest.files(name)) or name in manifest.tables
    }


def committed(storage: Storage) -> list[RunMetrics]:
    """Every run that changed a lake, oldest first. Raises DamagedError.

    The log has them. Those whose entries are damaged, or of format 1 and without metrics, are
    in their own folders.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        entries = list(pool.map(partial(_entry, storage), log.numbers(storage)))
        found = {e.run_id: _of(e.metrics, e.run_id, e.seq) for e in entries if e and e.metrics}
        seqs = {entry.run_id: entry.seq for entry in entries if entry and not entry.fence}
        paths = [i.path for i in storage.list(RUNS) if i.path.endswith("/metrics.json")]
        others = {path.split("/")[-2]: path for path in paths if path.split("/")[-2] not in found}
        read = pool.map(lambda each: _in_its_folder(storage, seqs, *each), others.items())
        runs = [*found.values(), *read]
    return sorted((run for run in runs if run.seq), key=lambda run: run.seq)


def of_run(storage: Storage, run_id: str) -> RunMetrics | None:
    """What a run left in its own folder. Raises DamagedError."""
    path = places.metrics(run_id)
    data = storage.read(path)
    if data is None:
        return None
    raw = sealed.parse(data, storage.uri(path))
    return _of(raw, run_id, raw.get("seq", 0))


def _entry(storage: Storage, seq: int) -> log.Entry | None:
    try:
        return log.read(storage, seq)
    except DamagedError:
        return None  # the lake was healed without it


def _in_its_folder(storage: Storage, seqs: Mapping[str, int], run_id: str, path: str) -> RunMetrics:
    raw = sealed.parse(storage.read(path) or b"", storage.uri(path))
    return _of(raw, run_id, seqs.get(run_id, raw.get("seq", 0)))


def _of(raw: Json, run_id: str, seq: int) -> RunMetrics:
    return RunMetrics.from_json({**raw, "run_id": run_id, "seq": seq})
