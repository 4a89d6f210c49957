"""What readers see while runs come and go, are killed and healed."""

from __future__ import annotations

import threading
import time
from collections import Counter
from random import Random

import pytest
from pyarrow import fs

import places
from clicklake.ask.reading import open_lake
from clicklake.lake import snapshot
from clicklake.storage import open_storage
from scene import Scene, full_only, needs_shim, share


def _sizes(state: places.State) -> dict[str, int]:
    return {table: len(rows) for table, rows in state.items()}


_GONE = ("No such file", "No files found", "NO_SUCH_KEY", "RESOURCE_NOT_FOUND")


class Reader(threading.Thread):
    """Polls a lake in every way until it is stopped, and counts what it saw."""

    def __init__(self, scene: Scene, lake: places.Place) -> None:
        super().__init__()
        self.scene = scene
        self.lake = lake
        self.stopped = threading.Event()
        self.seen: Counter[str] = Counter()

    def run(self) -> None:
        is_last = False
        while not is_last:
            is_last = self.stopped.is_set()  # one more look at what it has come to
            self._poll("manifest", lambda: places.by_manifest(self.lake))
            self._poll("folders", lambda: places.by_folders(self.lake))
            if self.lake.folder:
                self._poll("snapshot", self._by_snapshot)
                self._poll("duckdb", lambda: places.by_duckdb(self.lake))
                self._poll("open_lake", self._by_open_lake)

    def _poll(self, way: str, read: object) -> None:
        try:
            self.seen[f"{way}: {self._named(read())}"] += 1
        except Exception as error:
            is_gone = any(text in str(error) for text in _GONE)
            self.seen[f"{way}: {'replaced meanwhile' if is_gone else repr(error)}"] += 1

    def _by_snapshot(self) -> places.State:
        now = snapshot(open_storage(self.lake.uri))
        paths = {table: [file.path for file in now.live(table)] for table in now.tables}
        return places._state(self.lake, paths)

    def _by_open_lake(self) -> dict[str, int]:
        counts = ", ".join(f"(select count(*) from {table}) as {table}" for table in places.TABLES)
        opened = open_lake(self.lake.uri)
        try:
            row = opened.sql(f"select {counts}").iloc[0].to_dict()
        finally:
            opened.close()
        return {table: count for table, count in row.items() if count}

    def _named(self, found: object) -> str:
        for name, state in (("before", self.scene.before_state), ("after", self.scene.after)):
            if found in (state, _sizes(state)):
                return name
        return "mixed"


WHOLE = {"before", "after", "replaced meanwhile"}


def _watch(scene: Scene, rng: Random, times: int) -> Counter[str]:
    """Kill runs and let the next ones heal, with a reader looking on all the time."""
    seen: Counter[str] = Counter()
    calls = scene.changes
    for _ in range(times):
        lake = scene.fresh()
        reader = Reader(scene, lake)
        reader.start()
        try:
            if scene.proxy is None:
                scene.run(lake, mode="kill", at=rng.randrange(calls * 6 // 10, calls))
            else:
                scene.proxy.reset()
                run = scene.start(lake)
                time.sleep(rng.uniform(0.3, 2))
                run.kill()
                run.wait()
            scene.heals(lake)
        finally:
            reader.stopped.set()
            reader.join()
        seen.update(reader.seen)
        lake.delete()
    print(dict(sorted(seen.items())))
    return seen


def _check(seen: Counter[str]) -> None:
    for what in seen:
        way, _, state = what.partition(": ")
        # A bare folder may hold old and new files at once, but never half of one.
        assert state in (WHOLE | {"mixed"} if way == "folders" else WHOLE), what
    assert seen["manifest: before"]
    assert seen["manifest: after"]


@needs_shim
def test_readers_of_the_manifest_see_one_state(local: Scene, rng: Random) -> None:
    _check(_watch(local, rng, share(30, 1)))


@full_only
def test_readers_of_the_manifest_see_one_state_on_s3(s3: Scene, rng: Random) -> None:
    _check(_watch(s3, rng, share(10, 1)))


def test_the_watch_would_notice(local: Scene) -> None:
    """A lake whose manifest mixes two states is seen as mixed."""
    lake = local.fresh()
    after = local.fresh()
    assert local.run(after).code == 0
    live = {f["path"] for files in lake.manifest()["tables"].values() for f in files}
    for path in after.listed():
        if path not in live and path.startswith("users/"):
            fs.copy_files(f"{after.base}/{path}", f"{lake.base}/{path}")
    assert Reader(local, lake)._named(places.by_folders(lake)) == "mixed"


@pytest.mark.parametrize("what", ["half", "none"])
def test_a_torn_file_would_be_noticed(local: Scene, what: str) -> None:
    lake = local.fresh()
    path = lake.folder / lake.listed()[0]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if what == "half" else b"")
    reader = Reader(local, lake)
    reader._poll("folders", lambda: places.by_folders(lake))
    assert not set(reader.seen) & {f"folders: {state}" for state in (*WHOLE, "mixed")}
