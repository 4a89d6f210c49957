"""Which state the lake is in, and how what was cut off or damaged is put right.

The newest commit in the log says which manifest holds. If the one on disk is another (the run
was cut off, or the file was lost, cut or replaced by an older copy), the entry is applied again
and, where that does not bring it back, the copy in `state/` is put in its place. What cannot be
proved to be the state that was committed is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import permutations

from clicklake.errors import ClicklakeError, DamagedError
from clicklake.lake import log, places
from clicklake.lake.manifest import RETAINED, LiveFile, Manifest, NewerFormatError
from clicklake.lake.places import DATA, MANIFEST, STAGING, STATE
from clicklake.schemas import TABLES
from clicklake.storage import THREADS, FileInfo, Storage

_WAY_OUT = (
    "Put a copy of it back, if there is one; or make the lake anew from the raw logs: "
    "etl.py --rebuild (with --forget-missing, to give up the rows of logs that are gone)."
)


@dataclass(frozen=True)
class Healed:
    """The lake's state. `finished`: the run whose commit was not yet to be seen."""

    manifest: Manifest
    finished: str | None = None


def heal(storage: Storage) -> Healed:
    """Bring a lake to the state of its newest commit. Raises DamagedError if that is unknown."""
    numbers = log.numbers(storage)
    present, damage = _present(storage)
    try:
        entry, unreadable = _newest_commit(storage, numbers, present)
    except DamagedError as error:
        raise DamagedError(f"{error} {_WAY_OUT}") from None
    if present and (entry is None or present.seq > entry.seq):
        healed = Healed(present)
    elif entry is None:
        healed = _without_log(storage, damage)
    else:
        healed = _as_committed(storage, entry, present)
    check_files(storage, healed.manifest)
    if unreadable:  # which files it was to delete is not known any more
        storage.delete(strays(storage, healed.manifest))
    return healed


def apply(storage: Storage, entry: log.Entry) -> None:
    """Do what an entry says; the manifest goes last, before the old files."""
    storage.move(move for move in entry.moves if move[1] != MANIFEST)
    _link(storage, entry.links, entry.seq)
    storage.move(move for move in entry.moves if move[1] == MANIFEST)
    storage.delete(entry.removes)


def _link(storage: Storage, links: Sequence[tuple[str, str]], seq: int) -> None:
    """Give files of a commit their second names, but for those that later ones have taken away.

    A run that was paused here, while others went on, takes them away again itself.
    """
    try:
        storage.link(links)
    finally:
        removed = _removed_since(storage, seq)
        storage.delete([name for _, name in links if name in removed])


def _removed_since(storage: Storage, seq: int) -> set[str]:
    """What the commits after one take away."""
    removed: set[str] = set()
    for number in log.numbers(storage):
        if number > seq:
            with suppress(DamagedError):
                removed.update(log.read(storage, number).removes)
    return removed


def _present(storage: Storage) -> tuple[Manifest | None, DamagedError | None]:
    """The manifest on disk, or what is wrong with it; neither if there is none."""
    data = storage.read(MANIFEST)
    if data is None:
        return None, None
    try:
        return Manifest.from_json(data, storage.uri(MANIFEST)), None
    except NewerFormatError:
        raise
    except DamagedError as error:
        return None, error


def _newest_commit(
    storage: Storage, numbers: Sequence[int], present: Manifest | None
) -> tuple[log.Entry | None, bool]:
    """The newest entry that is no fence, and whether a later or equal one cannot be read.

    What cannot be read is passed over where the manifest, or the copy that the commit left,
    shows that it was done, and where nothing shows that it ever was a commit.
    """
    for seq in reversed(numbers):
        try:
            entry = log.read(storage, seq)
        except DamagedError:
            if present and present.seq >= seq:
                return None, True
            if _copy(storage, seq) is not None or _is_staged(storage, seq):
                raise
            continue
        if not entry.fence:
            return entry, False
    return None, False


def _is_staged(storage: Storage, seq: int) -> bool:
    """Whether a run has staged the manifest of this number."""
    staged = [i.path for i in storage.list(STAGING) if i.path.endswith("manifest.json")]
    for path in staged:
        with suppress(DamagedError):
            data = storage.read(path)
            if data is not None and Manifest.from_json(data, path).seq == seq:
                return True
    return False


def _without_log(storage: Storage, damage: DamagedError | None) -> Healed:
    """A lake that has neither a commit in its log nor a manifest: a new one."""
    if damage:
        raise DamagedError(f"{damage} {_WAY_OUT}")
    left = strays(storage, Manifest())
    if left or storage.list(STATE):
        place = storage.uri(MANIFEST)
        raise DamagedError(
            f"{place}: is missing, though there are files of a lake, such as "
            f"{(left or [STATE])[0]}. {_WAY_OUT}"
        )
    return Healed(Manifest())


def _as_committed(storage: Storage, entry: log.Entry, present: Manifest | None) -> Healed:
    """The state that an entry says. Raises ClicklakeError if it is no longer the newest."""
    if present and _is_of(storage.read(MANIFEST), entry):
        storage.delete(entry.removes)
        return Healed(present)
    with suppress(DamagedError):  # of a file that is gone: the copy and the files decide
        apply(storage, entry)
    was_seen = present is not None and present.seq >= entry.seq
    found = storage.read(MANIFEST)
    if not _is_of(found, entry):
        _restore(storage, entry, found)
        storage.delete(entry.removes)
        was_seen = True
    manifest, damage = _present(storage)
    if manifest is None:
        raise DamagedError(f"{damage or storage.uri(MANIFEST)} {_WAY_OUT}")
    return Healed(manifest, None if was_seen else entry.run_id)


def _restore(storage: Storage, entry: log.Entry, found: bytes | None) -> None:
    """Put an entry's copy of its manifest in the place of what was found there."""
    place = storage.uri(MANIFEST)
    copy = storage.read(places.state(entry.seq, "manifest.json"))
    if copy is None or entry.manifest is None or not entry.manifest.fits(copy):
        raise DamagedError(f"{place}: is not the one of run {entry.run_id}. {_WAY_OUT}")
    if _number(found) > entry.seq or not storage.swap(MANIFEST, found, copy):
        raise ClicklakeError(f"{place}: has changed while it was put right. Run again.")


def _is_of(found: bytes | None, entry: log.Entry) -> bool:
    """Whether a manifest is the one that an entry brings."""
    if found is None or entry.manifest is None:
        return _number(found) == entry.seq
    return entry.manifest.fits(found)


def _number(found: bytes | None) -> int:
    """Of a manifest's commit; 0 if it cannot be read."""
    with suppress(DamagedError):
        return Manifest.from_json(found, MANIFEST).seq if found else 0
    return 0


def _copy(storage: Storage, seq: int) -> Manifest | None:
    """The manifest that a commit left in its folder; None if there is none that can be read."""
    with suppress(DamagedError):
        data = storage.read(places.state(seq, "manifest.json"))
        if data is not None:
            return Manifest.from_json(data)
    return None


def listed(storage: Storage, folders: Iterable[str] = TABLES) -> dict[str, FileInfo]:
    """All Parquet files in folders, by path."""
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(storage.list, folders))
    return {info.path: info for infos in found for info in infos if info.path.endswith(".parquet")}


def _names(manifest: Manifest, file: LiveFile) -> list[str]:
    """Where a live file lies."""
    return [file.path, places.data(file.path)] if manifest.format >= RETAINED else [file.path]


def _mend_names(storage: Storage, manifest: Manifest, there: Mapping[str, FileInfo]) -> bool:
    """Give files back the one of their two names that was lost; whether there were any."""
    mended = []
    for file in manifest.all_files:
        for name, lost in permutations(_names(manifest, file), 2):
            if lost not in there and name in there and there[name].size == file.bytes:
                mended.append((name, lost))
    _link(storage, mended, manifest.seq)
    return bool(mended)


def strays(storage: Storage, manifest: Manifest) -> list[str]:
    """Parquet files in the folders of tables that the manifest does not name."""
    return sorted(listed(storage).keys() - {file.path for file in manifest.all_files})


def check_files(storage: Storage, manifest: Manifest) -> None:
    """Raises DamagedError if one of the manifest's files is missing or of another size."""
    folders = [*TABLES, DATA] if manifest.format >= RETAINED else [*TABLES]
    there = listed(storage, folders) if manifest.all_files else {}
    if manifest.format >= RETAINED and _mend_names(storage, manifest, there):
        there = listed(storage, folders)
    wrong = [
        f"{storage.uri(path)}: {'is missing' if info is None else 'has another size'}"
        for file in manifest.all_files
        for path in _names(manifest, file)
        if (info := there.get(path)) is None or info.size != file.bytes
    ]
    if wrong:
        more = f" (and {len(wrong) - 1} more files)" if len(wrong) > 1 else ""
        raise DamagedError(f"{wrong[0]}{more}. {_WAY_OUT}")


def salvaged(storage: Storage, head: int) -> Manifest:
    """For a rebuild of a lake whose state is lost: the files that lie there, to be replaced.

    Who is kept out of the lake is still known, from the newest state that can be read.
    """
    tables: dict[str, list[LiveFile]] = {}
    for path, info in sorted(listed(storage).items()):
        file = LiveFile(path, 0, info.size)
        tables.setdefault(file.table, []).append(file)
    seqs = sorted({int(i.path.split("/")[2]) for i in storage.list(STATE)}, reverse=True)
    copies = [copy for seq in seqs if (copy := _copy(storage, seq))]
    known = copies[0].documents if copies else {}
    kept = {name: stored for name, stored in known.items() if name == places.FORGOTTEN}
    for stored in kept.values():
        try:
            stored.read(storage)
        except DamagedError as error:
            raise DamagedError(
                f"{error} It says who is kept out of this lake, so it cannot be made anew "
                "without it. Put a copy of it back."
            ) from None
    return replace(
        Manifest(), seq=head, documents=kept, tables={n: tuple(f) for n, f in tables.items()}
    )
