"""Which input files a run has to read: the sources' folders compared with the ledger."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from clicklake.config import Config
from clicklake.errors import ConfigError, InputError
from clicklake.lake import STATE_FOLDER, Ledger, LedgerFile
from clicklake.logs.misplaced import hints
from clicklake.logs.tails import settled
from clicklake.schemas import SOURCES
from clicklake.storage import FileInfo, LocalStorage, Storage, is_s3, join, open_storage

Refused = Mapping[str, Mapping[str, int]]  # quarantined rows, by file and reason

REPLAYED = f"{STATE_FOLDER}/replay"  # below it, for each source, files of its input


@dataclass(frozen=True)
class Folder:
    """A source's folder and its files, hidden ones left out; empty files have size 0.

    `pending`: how many bytes of a file that is being written its last line has so far; in `files`
    it ends before them.
    Paths below `_clicklake/` are those of files that were replayed, and are in the lake.
    """

    source: str
    storage: Storage
    files: tuple[FileInfo, ...]
    lake: Storage
    pending: Mapping[str, int] = field(default_factory=dict)

    def storage_of(self, info: FileInfo) -> Storage:
        return self.lake if info.path.startswith(f"{REPLAYED}/") else self.storage


@dataclass(frozen=True)
class SourcePlan:
    """What a run does about one source."""

    folder: Folder
    read: tuple[FileInfo, ...] = ()  # new and grown files, or all of them in a rebuild
    rebuild: bool = False  # the source's tables are made from `read` alone
    grown: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()
    changed: tuple[str, ...] = field(default=())
    refused: Refused = field(default_factory=dict)  # what made a replay read the files again

    @property
    def source(self) -> str:
        return self.folder.source

    @property
    def pending(self) -> Mapping[str, int]:
        """Bytes of last lines that are being written, by file; a later run reads them."""
        return self.folder.pending


def folders(config: Config, known: Collection[str] = ()) -> list[Folder]:
    """The sources that are there, and the `known` ones that were there once.

    Raises InputError if none is there, with where it looked.
    """
    roots = {
        source: open_storage(join(config.datalake.input_data, getattr(config.sources, source)))
        for source in SOURCES
    }
    output = open_storage(config.datalake.output_data)
    _check_apart(roots, output)
    now, settle_seconds = time.time(), 60 * config.sources.settle_minutes
    found = []
    is_any = False
    for source, storage in roots.items():
        others = [other for other in (*roots.values(), output) if other is not storage]
        listed, pending = settled(storage, _files(storage, others), now, settle_seconds)
        files = listed + tuple(output.list(f"{REPLAYED}/{source}"))
        is_there = bool(files) or (isinstance(storage, LocalStorage) and storage.folder.is_dir())
        is_any = is_any or is_there
        if is_there or source in known:
            found.append(Folder(source, storage, files, output, pending))
    if not is_any:
        looked = "\n".join(f"  {storage.root}" for storage in roots.values())
        advice = "Set [DATALAKE] INPUT_DATA, [SOURCES] or --input."
        told = [f"No source was found. These folders were looked for:\n{looked}"]
        raise InputError("\n".join(told + (hints(config, SOURCES, far=True) or [advice])))
    return found


def _check_apart(roots: Mapping[str, Storage], output: Storage) -> None:
    places = {output.resolved(): "OUTPUT_DATA"}
    for source, storage in roots.items():
        place = storage.resolved()
        if place in places:
            raise ConfigError(
                f"{storage.root}: is the folder of both [SOURCES] {source.upper()} and "
                f"{places[place]}; each needs a folder of its own."
            )
        places[place] = f"[SOURCES] {source.upper()}"


def _files(storage: Storage, others: Sequence[Storage]) -> tuple[FileInfo, ...]:
    """The files below a folder that belong to it, and not to another folder within it."""
    top = f"{storage.resolved()}/"
    within = [place for other in others if not top.startswith(place := f"{other.resolved()}/")]

    @cache
    def is_own(folder: str) -> bool:
        return not f"{storage.resolved(folder)}/".startswith(tuple(within))

    return tuple(
        info
        for info in storage.list()
        if not _is_hidden(info.path) and is_own(info.path.rpartition("/")[0])
    )


def _is_hidden(path: str) -> bool:
    return any(part.startswith((".", "_")) for part in path.split("/"))


def compare(folder: Folder, ledger: Ledger) -> SourcePlan:
    """What is new, grown, changed or gone since the ledger was written.

    Raises InputError if a file was changed and its source cannot be rebuilt.
    """
    known = ledger.get(folder.source, {})
    listed = {info.path: info for info in folder.files}
    vanished = tuple(sorted(known.keys() - listed.keys()))
    new, grown, changed = [], [], []
    for path, info in listed.items():
        before = known.get(path)
        if before is None:
            new += [info] if info.size else []
        elif (info.size, info.version) != (before.size, before.version):
            fate = _how_changed(folder.storage_of(info), info, before)
            grown += [info] if fate == "grown" else []
            changed += [path] if fate == "changed" else []
    if changed and vanished:
        raise InputError(_cannot_rebuild(folder, changed, vanished))
    if changed:
        return rebuild(folder, changed=tuple(changed))
    return SourcePlan(
        folder,
        read=tuple(new + grown),
        grown=tuple(info.path for info in grown),
        vanished=vanished,
    )


def again(folder: Folder, ledger: Ledger, refused: Refused) -> SourcePlan:
    """Read the files of refused rows once more, as if they had grown.

    What is new, grown or changed is left to an ordinary run.
    """
    ordinary = {info.path for info in compare(folder, ledger).read}
    there = {info.path: info for info in folder.files}
    paths = [path for path in sorted(refused) if path in there and path not in ordinary]
    return SourcePlan(
        folder,
        read=tuple(there[path] for path in paths),
        grown=tuple(paths),
        vanished=tuple(sorted(refused.keys() - there.keys())),
        refused={path: refused[path] for path in paths},
    )


def rebuild(folder: Folder, changed: tuple[str, ...] = ()) -> SourcePlan:
    """Read everything that is there."""
    return SourcePlan(
        folder, tuple(info for info in folder.files if info.size), rebuild=True, changed=changed
    )


def missing(folder: Folder, ledger: Ledger) -> list[str]:
    """Files that were read once and are gone."""
    listed = {info.path for info in folder.files}
    return sorted(ledger.get(folder.source, {}).keys() - listed)


def _how_changed(storage: Storage, info: FileInfo, before: LedgerFile) -> str:
    """Whether a file of another size or version is the "same", has "grown", or is "changed"."""
    if info.size < before.size or not _same_start(storage, info, before):
        return "changed"
    if info.size == before.size:
        return "same"
    return "grown" if before.ends_with_newline else "changed"


def _same_start(storage: Storage, info: FileInfo, before: LedgerFile) -> bool:
    for start, end, digest in before.digests:
        found = hashlib.sha256()
        for chunk in storage.chunks(info, start, end):
            found.update(chunk)
        if found.hexdigest() != digest:
            return False
    return True


def _cannot_rebuild(folder: Folder, changed: list[str], vanished: tuple[str, ...]) -> str:
    return (
        f"{folder.storage.root}: {', '.join(changed[:5])} changed after it was read, and "
        f"{folder.source} cannot be rebuilt because files are gone: {', '.join(vanished[:5])}. "
        "Bring them back, or restore the changed file, or run with --rebuild --forget-missing "
        "to give up their rows."
    )


def is_remote(config: Config) -> bool:
    """Whether input or output is on S3."""
    lake = config.datalake
    places = [lake.output_data]
    places += [join(lake.input_data, getattr(config.sources, source)) for source in SOURCES]
    return any(is_s3(place) for place in places)
