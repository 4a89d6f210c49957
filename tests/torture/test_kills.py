"""A run that is killed, at any moment, leaves a lake that the next run makes whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

import places
from conftest import Scene, full_only, needs_shim, share
from forge import Result


def _crash(scene: Scene, lake: places.Place, at: int) -> None:
    """Run, and kill the process group as soon as `at` changes have been made."""
    if scene.proxy is None:
        result = scene.run(lake, mode="kill", at=at)
        assert result.killed or result.changes <= at  # threads make a folder twice, or once
        return
    scene.proxy.reset()
    run = None
    killed = False

    def kill(number: int, what: str) -> None:
        nonlocal killed
        if number == at:
            killed = True
            run.kill()

    scene.proxy.after_change = kill
    run = scene.start(lake, begin=time.time() + 0.05)
    result = run.wait()
    assert result.killed == killed, result.err


def _kill_everywhere(scene: Scene, moments: list[int]) -> None:
    for at in moments:
        lake = scene.fresh()
        _crash(scene, lake, at)
        assert places.by_manifest(lake) in (scene.before_state, scene.after), f"after change {at}"
        scene.heals(lake)
        lake.delete()


@needs_shim
def test_after_some_changes(local: Scene, rng: Random) -> None:
    _kill_everywhere(local, sorted(rng.sample(range(local.changes), 3)))


@full_only
@needs_shim
def test_after_every_single_change(local: Scene) -> None:
    print(f"{local.changes} changes")
    _kill_everywhere(local, list(range(local.changes)))


def test_after_some_changes_on_s3(s3: Scene, rng: Random) -> None:
    _kill_everywhere(s3, sorted(rng.sample(range(1, s3.changes + 1), 1)))


@full_only
def test_after_every_single_change_on_s3(s3: Scene) -> None:
    print(f"{s3.changes} changes")
    _kill_everywhere(s3, list(range(1, s3.changes + 1)))


def _kill_at_random(
    scene: Scene,
    rng: Random,
    times: int,
    check: Callable[[places.Place], None] = lambda lake: None,
) -> None:
    lake = scene.fresh()
    began = time.monotonic()
    assert scene.run(lake).code == 0
    whole = time.monotonic() - began
    for _ in range(times):
        lake = scene.fresh()
        run = scene.start(lake)
        time.sleep(rng.uniform(0, whole))
        run.kill()
        run.wait()
        assert places.by_manifest(lake) in (scene.before_state, scene.after)
        scene.heals(lake)
        check(lake)
        lake.delete()


def test_at_random_moments(local: Scene, rng: Random) -> None:
    _kill_at_random(local, rng, share(120, 1))


@full_only
def test_at_random_moments_on_s3(s3: Scene, rng: Random) -> None:
    _kill_at_random(s3, rng, share(80, 1))


@full_only
def test_at_random_moments_with_all_that_is_published(published: Scene, rng: Random) -> None:
    def check(lake: places.Place) -> None:
        tables = places.by_database(Path(f"{lake.uri}.duckdb"))
        wanted = {name: len(rows) for name, rows in published.after.items() if name in tables}
        assert tables == wanted
        assert {"users", "user_page_views", "sessions", "page_recommendations"} <= wanted.keys()

    _kill_at_random(published, rng, share(40, 1), check)


def _crash_while_healing(scene: Scene, rng: Random, times: int) -> None:
    for _ in range(times):
        lake = scene.fresh()
        _crash(scene, lake, rng.randrange(1, scene.changes))
        for _ in range(rng.choice((1, 1, 2, 5))):
            _interrupt(scene, lake, rng.randrange(1, scene.changes // 2))
        scene.heals(lake)
        lake.delete()


def _interrupt(scene: Scene, lake: places.Place, at: int) -> None:
    """Kill a run after `at` changes; it may come to its end before."""
    if scene.proxy is None:
        assert scene.run(lake, mode="kill", at=at).code in (0, -9)
    else:
        _crash(scene, lake, at)
    assert places.by_manifest(lake) in (scene.before_state, scene.after)


@needs_shim
def test_a_crash_while_a_crash_is_healed(local: Scene, rng: Random) -> None:
    _crash_while_healing(local, rng, share(50, 1))


@full_only
def test_a_crash_while_a_crash_is_healed_on_s3(s3: Scene, rng: Random) -> None:
    _crash_while_healing(s3, rng, share(25, 1))


@full_only
@needs_shim
@pytest.mark.parametrize("share_done", [0.55, 0.76, 0.9])
def test_healing_is_interrupted_after_every_single_change(local: Scene, share_done: float) -> None:
    """The first crash is before, just after and well after the commit point."""
    broken = local.fresh()
    _crash(local, broken, int(local.changes * share_done))
    at = 0
    while True:
        lake = broken.copy(local.new_place())
        ended = local.run(lake, mode="kill", at=at).code == 0
        assert places.by_manifest(lake) in (local.before_state, local.after)
        local.heals(lake)
        lake.delete()
        if ended or at >= share(40, 1):
            break
        at += 1


@needs_shim
def test_forgetting_a_person_after_some_changes(local: Scene, rng: Random) -> None:
    def forget(lake: places.Place, **how: object) -> Result:
        who = ["forget-user", "1", "--kind", "user", "--yes"]
        where = ["--output", lake.uri, "--config", str(local.config)]
        return local.forge.run([*who, *where], watch=lake.folder, **how)

    lake = local.fresh()
    changes = forget(lake).changes
    forgotten = places.by_manifest(lake)
    assert forgotten != local.before_state
    moments = rng.sample(range(changes), min(changes, share(200, 2)))
    for at in moments:
        lake = local.fresh()
        result = forget(lake, mode="kill", at=at)
        assert result.killed or result.changes <= at
        assert places.by_manifest(lake) in (local.before_state, forgotten), f"after change {at}"
        assert forget(lake).code == 0
        assert places.by_manifest(lake) == forgotten
        assert places.strays(lake) == []
        lake.delete()
    print(f"{len(moments)} of {changes} changes")
