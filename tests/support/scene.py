"""Two states of one lake, and a way to run from the first; how often what is random is done."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import forge as forges
import hostile
import oracle
import places
import proxy as proxies
import servers
from days import AS_OF, _together, days
from lakes import differences

FULL = int(os.environ.get("TORTURE_COUNT", "0"))


SEED = int(os.environ.get("TORTURE_SEED", "1"))


def share(of_200: int, short: int) -> int:
    """How often something random is done: `of_200` times if the count is 200."""
    return max(short, of_200 * FULL // 200) if FULL else short


full_only = pytest.mark.skipif(not FULL, reason="only in the full form: make torture")


needs_shim = pytest.mark.skipif(not forges.shim(), reason="needs Linux and a C compiler")


LIGHT = "[RECOMMEND]\nMODEL = none\n[DATABASE]\nURL = none\n[CSV]\nENABLED = false\n"


@dataclass
class Scene:
    """Two inputs, one after the other, the lakes after each, and a way to run from the first."""

    forge: forges.Forge
    first: Path  # input
    second: Path  # input: the first and two more days
    before: places.Place
    after: places.State
    before_state: places.State
    new_place: Callable[[], str]
    environment: dict[str, str]
    config: Path
    proxy: proxies.Proxy | None = None
    changes: int = 0  # calls that change something in a run that nothing disturbs

    def fresh(self) -> places.Place:
        """A new lake in the first state."""
        return self.before.copy(self.new_place())

    def arguments(self, lake: places.Place, source: Path | str | None = None) -> list[str]:
        given = ["--input", str(source or self.second), "--output", lake.uri]
        return [*given, "--config", str(self.config), "--as-of", f"{AS_OF}", "--json"]

    def start(self, lake: places.Place, **how: object) -> forges.Run:
        return self.forge.start(self.arguments(lake), watch=lake.folder, **self.environment, **how)

    def run(self, lake: places.Place, **how: object) -> forges.Result:
        return self.start(lake, **how).wait()

    def heals(self, lake: places.Place) -> None:
        """A run comes to its end now, and leaves the lake as if nothing had ever happened."""
        if self.proxy:
            self.proxy.reset()
        result = self.run(lake)
        assert result.code == 0, result.err
        assert places.by_manifest(lake) == self.after
        assert places.strays(lake) == []
        if lake.folder:
            tables = lake.manifest()["tables"]
            rows = {name: sum(file["rows"] for file in files) for name, files in tables.items()}
            shown = places.rows_in_catalog(lake)
            assert {name: count for name, count in shown.items() if count} == {
                name: count for name, count in rows.items() if count
            }


def _light(folder: Path) -> Path:
    config = folder / "light.cfg"
    config.write_text(LIGHT)
    return config


def _inputs(folder: Path) -> tuple[Path, Path, dict, dict]:
    made = days(SEED)
    first, second = _together(made[10:15]), _together(made[10:17])
    hostile.write(first, folder / "first")
    hostile.write(second, folder / "second")
    for file in (folder / "second").rglob("*"):  # one file, one time: the run reads the new alone
        os.utime(file, (1e9, 1e9))
    for file in (folder / "first").rglob("*"):
        os.utime(file, (1e9, 1e9))
    return folder / "first", folder / "second", first, second


def _made(scene: Scene, first: dict, second: dict, local: Callable[[places.Place], Path]) -> Scene:
    """Bring the scene's lakes about, and hold them to the oracle."""
    result = scene.forge.run(scene.arguments(scene.before, scene.first), **scene.environment)
    assert result.code == 0, result.err
    assert differences(local(scene.before), oracle.compute(first, AS_OF)) == []
    scene.before_state = places.by_manifest(scene.before)
    lake = scene.fresh()
    if scene.proxy:
        scene.proxy.reset()
    result = scene.run(lake)
    assert result.code == 0, result.err
    scene.changes = scene.proxy.changes if scene.proxy else result.changes
    assert differences(local(lake), oracle.compute(second, AS_OF)) == []
    scene.after = places.by_manifest(lake)
    assert scene.before_state.keys() == scene.after.keys()
    changed = [t for t in scene.after if scene.after[t] != scene.before_state[t]]
    assert {"clickstream", "sessions", "page_views", "user_updates"} <= set(changed)
    return scene


def _numbered(prefix: str) -> Callable[[], str]:
    count = iter(range(10**9))
    return lambda: f"{prefix}/lake{next(count)}"


SERVERS = ["moto"] + (["versitygw"] if servers.versitygw() else [])


def _on_s3(url: str, proxy: proxies.Proxy, folder: Path) -> Iterator[Scene]:
    first, second, one, two = _inputs(folder)
    prefix = f"s3a://{places.BUCKET}"
    before = places.Bucket(f"{prefix}/before", url)
    before.create_bucket()
    for name, source in (("in1", first), ("in2", second)):
        places.Bucket(f"{prefix}/{name}", url).upload(source)
    with forges.forge(**servers.environment(proxy.url)) as forge:
        scene = Scene(
            forge,
            f"{prefix}/in1",
            f"{prefix}/in2",
            before,
            {},
            {},
            _numbered(prefix),
            {},
            _light(folder),
            proxy,
        )
        count = iter(range(10**9))

        def downloaded(lake: places.Place) -> Path:
            target = folder / f"copy{next(count)}"
            for path in [*lake.listed(), "_clicklake/manifest.json"]:
                file = target / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(lake.get(path))
            return target

        yield _made(scene, one, two, downloaded)
