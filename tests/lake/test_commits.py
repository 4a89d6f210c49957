"""The lake's log: what is committed stays, what was paused is refused, what was cut off is done."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from clicklake.errors import AccessError, LeaseHeldError
from clicklake.lake import STAGING, Change, Lake, LiveFile, Manifest, log, snapshot
from clicklake.lake.retention import NOTHING, Retention
from clicklake.storage import LocalStorage, S3Storage


class CrashError(BaseException):
    """The process has ended here."""


def _change(lake: Lake, run: str, removes: tuple[str, ...] = ()) -> Change:
    """A commit of one file, which is staged first."""
    staged, live = f"{STAGING}/{run}/users/x.parquet", f"users/{run}.parquet"
    lake.storage.write(staged, run.encode())
    kept = [file for file in lake.manifest.files("users") if file.path not in removes]
    tables = {"users": (*kept, LiveFile(live, 1, len(run)))}
    manifest = Manifest(run, lake.head + 1, {}, tables)
    return Change(manifest, {}, [(staged, live)], list(removes), {})


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path)


def _opened(storage: LocalStorage, retention: Retention = NOTHING, **how: bool) -> Lake:
    lake = Lake(storage, retention)
    lake.open(**how)
    return lake


def _files(storage: LocalStorage) -> list[str]:
    return [info.path for info in storage.list("users")]


def _committed(
    storage: LocalStorage,
    run: str,
    removes: tuple[str, ...] = (),
    retention: Retention = NOTHING,
) -> None:
    lake = _opened(storage, retention)
    lake.commit(_change(lake, run, removes))


def test_a_commit_replaces_files(storage: LocalStorage) -> None:
    _committed(storage, "one")
    _committed(storage, "two", ("users/one.parquet",))
    assert _files(storage) == ["users/two.parquet"]
    assert snapshot(storage).run_id == "two"
    assert storage.list(STAGING) == []


@pytest.mark.parametrize("method", ["move", "delete", "delete_tree"])
@pytest.mark.parametrize("call", [1, 2])
def test_a_commit_that_was_cut_off_is_finished(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, method: str, call: int
) -> None:
    _committed(storage, "one")
    lake = _opened(storage)
    change = _change(lake, "two", ("users/one.parquet",))
    real, count = getattr(LocalStorage, method), iter(range(1, 100))

    def dies(self: LocalStorage, *given: object) -> None:
        if next(count) == call:
            raise CrashError
        real(self, *given)

    with monkeypatch.context() as patch, suppress(CrashError):
        patch.setattr(LocalStorage, method, dies)
        lake.commit(change)
    _opened(storage)
    assert _files(storage) == ["users/two.parquet"]
    assert snapshot(storage).run_id == "two"
    assert storage.list(STAGING) == []


def test_a_run_that_was_paused_before_another_committed_is_refused(storage: LocalStorage) -> None:
    paused = _opened(storage)
    _committed(storage, "other")
    with pytest.raises(LeaseHeldError, match="another run has changed this lake"):
        paused.commit(_change(paused, "paused"))
    assert _files(storage) == ["users/other.parquet"]
    with pytest.raises(LeaseHeldError):
        paused.refuse_if_overtaken()


def test_a_takeover_alone_keeps_a_paused_run_from_committing(storage: LocalStorage) -> None:
    paused = _opened(storage)
    _opened(storage, fence=True)
    with pytest.raises(LeaseHeldError):
        paused.commit(_change(paused, "paused"))
    assert _files(storage) == []


def test_two_fences_of_one_number_are_told_apart(storage: LocalStorage) -> None:
    """What was staged is swept by one of two, never by one after the other has begun to stage."""
    storage.write(f"{STAGING}/dead/x", b"")
    second = Lake(storage)
    second.head = max(log.numbers(storage), default=0)
    _opened(storage)
    with pytest.raises(LeaseHeldError):
        second._sweep(fence=True)


def test_a_sweep_spares_what_is_staged_after_its_fence(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweeper falls asleep between its fence and its deletes; the next run has staged."""
    storage.write(f"{STAGING}/dead/x", b"")
    real = Lake._append

    def sleeps(self: Lake, entry: log.Entry) -> None:
        real(self, entry)
        storage.write(f"{STAGING}/alive/x", b"")

    monkeypatch.setattr(Lake, "_append", sleeps)
    _opened(storage)
    assert [info.path for info in storage.list(STAGING)] == [f"{STAGING}/alive/x"]


class Sleeper(LocalStorage):
    """As S3, which copies, and calls `meanwhile` once, before or after one of its calls."""

    def __init__(self, folder: Path, at: int, meanwhile: Callable[[], None]) -> None:
        super().__init__(folder)
        self.moments = iter(range(1, 10**6))
        self.at = at
        self.meanwhile = meanwhile
        self.has_slept = False

    def may_sleep(self) -> None:
        if next(self.moments) == self.at:
            self.has_slept = True
            self.meanwhile()

    def sync(self, prefix: str) -> None:
        pass

    def move(self, moves: Iterable[tuple[str, str]]) -> None:
        for source, target in moves:
            self.may_sleep()
            copy = LocalStorage(self.folder)
            data = copy.read(source)
            if data is None:
                copy.move([(source, target)])
            else:
                copy.write(target, data)

    link = move


def _sleepy(name: str) -> Callable[..., object]:
    real = getattr(LocalStorage, name)

    def call(self: Sleeper, *given: object) -> object:
        self.may_sleep()
        try:
            return real(self, *given)
        finally:
            self.may_sleep()

    return call


for _name in ("list", "read", "write", "create", "delete", "delete_tree"):
    setattr(Sleeper, _name, _sleepy(_name))


def _dies(before: bool) -> Callable[[Lake, log.Entry], None]:
    real = Lake._append

    def append(self: Lake, entry: log.Entry) -> None:
        if not before:
            real(self, entry)
        raise CrashError

    return append


@pytest.mark.slow
@pytest.mark.parametrize("crash", ["none", "before the commit point", "after it"])
@pytest.mark.parametrize("retention", [NOTHING, Retention()], ids=["kept: none", "kept: earlier"])
def test_a_run_that_sleeps_anywhere_undoes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash: str, retention: Retention
) -> None:
    """It heals, opens or commits; another takes over meanwhile, and replaces every file.

    `retention`: of an earlier state there is no copy, or one that might be put back.
    """
    monkeypatch.setattr("os.fsync", lambda descriptor: None)  # only so that it is quick
    for at in range(1, 10**6):
        (tmp_path / str(at)).mkdir()
        place = LocalStorage(tmp_path / str(at))
        _committed(place, "one", (), retention)
        if crash != "none":
            with monkeypatch.context() as patch, suppress(CrashError):
                patch.setattr(Lake, "_append", _dies(before=crash.startswith("before")))
                _committed(place, "dead", ("users/one.parquet",), retention)

        def other(place: LocalStorage = place) -> None:
            lake = _opened(place, retention, fence=True)
            live = tuple(file.path for file in lake.manifest.files("users"))
            lake.commit(_change(lake, "other", live))

        asleep = Sleeper(place.folder, at, other)
        with suppress(LeaseHeldError):
            lake = _opened(asleep, retention, fence=crash != "none")
            lake.commit(_change(lake, "sleeper", ("users/one.parquet",)))
        if not asleep.has_slept:
            break
        # Before anybody puts right what the sleeper did.
        seen, files = snapshot(place).run_id, _files(place)
        _opened(place, retention)
        entries = [json.loads(place.read(info.path)) for info in place.list("_clicklake/log")]
        runs = [entry["run_id"] for entry in entries if "run_id" in entry]
        assert len(set(runs)) == len(runs)
        assert "other" in runs
        now = snapshot(place)
        assert seen == now.run_id == runs[-1], at
        assert files == _files(place) == sorted(file.path for file in now.live("users")), at
    assert at > 30


def test_an_entry_is_not_begun_twice(storage: LocalStorage) -> None:
    _committed(storage, "one")
    entries = [json.loads(storage.read(info.path)) for info in storage.list("_clicklake/log")]
    assert [(entry["seq"], entry["run_id"]) for entry in entries] == [(1, "one")]
    assert snapshot(storage).seq == 1


def test_a_folder_that_cannot_be_written_is_named(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    _committed(storage, "one")
    locked = str(storage.folder / "users")
    monkeypatch.setattr("os.access", lambda path, mode: str(path) != locked)
    with pytest.raises(AccessError, match="users: cannot be written"):
        _opened(storage)


def test_a_copy_on_s3_is_made_at_once() -> None:
    """One in parts could be completed by a paused process after its source is gone."""
    from clicklake.storage.s3 import _at_once

    assert _at_once().multipart_threshold >= 1 << 30
    assert S3Storage("b", "p").root == "s3a://b/p"


def test_what_a_commit_moves_is_on_the_disk_before_its_entry_is(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut after the entry must find the staged files, and their names."""
    synced: set[str] = set()
    real_sync, real_link = os.fsync, os.link

    def sync(descriptor: int) -> None:
        synced.add(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real_sync(descriptor)

    def link(source: object, target: Path) -> None:
        if target.parent.name == "log":
            entry = log.Entry.from_json(Path(source).read_bytes(), "")
            for staged, _ in entry.moves:
                path = storage.folder / staged
                assert str(path) in synced
                assert str(path.parent) in synced
                assert str(path.parent.parent) in synced
        real_link(source, target)

    lake = _opened(storage)
    change = _change(lake, "one")
    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "link", link)
    lake.commit(change)
    live = {str(storage.folder / folder) for folder in ("users", "_clicklake/data/users")}
    assert live <= synced  # the names that the moves made
