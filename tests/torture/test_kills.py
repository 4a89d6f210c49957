"""A run that is killed, at any moment, leaves a lake that the next run makes whole."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import pytest

import places
from forge import Result
from scene import Scene, full_only, needs_shim, share


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
    print(f"{len(moments)} kills")


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
    told: Counter[str] = Counter()
    while told["killed"] < times:
        lake = scene.fresh()
        run = scene.start(lake)
        time.sleep(rng.uniform(0, 1.5 * whole))  # a busy machine may be slower later on
        run.kill()
        told["killed" if run.wait().killed else "ended before"] += 1
        state = places.by_manifest(lake)
        assert state in (scene.before_state, scene.after)
        told["after" if state == scene.after else "before"] += 1
        scene.heals(lake)
        check(lake)
        lake.delete()
    print(f"runs of {whole:.1f} s", dict(told))


def test_at_random_moments(local: Scene, rng: Random) -> None:
    _kill_at_random(local, rng, share(120, 1))


@full_only
def test_at_random_moments_on_s3(s3: Scene, rng: Random) -> None:
    _kill_at_random(s3, rng, share(80, 1))


def _is_published(scene: Scene, lake: places.Place) -> None:
    """The database beside the lake and its exports hold what the lake does."""
    database = Path(f"{lake.uri}.duckdb")
    rows = {name: len(rows) for name, rows in scene.after.items()}
    tables = places.by_database(database)
    assert {"users", "user_page_views", "sessions", "page_recommendations"} <= tables.keys()
    assert tables == {name: rows[name] for name in tables}
    exports = places.by_exports(lake)
    exported = ("user_page_views", "page_recommendations", "page_follows")
    assert exports == {name: rows[name] for name in exported}
    database.unlink()


@full_only
def test_at_random_moments_with_all_that_is_published(published: Scene, rng: Random) -> None:
    _kill_at_random(published, rng, share(40, 1), partial(_is_published, published))


@full_only
@needs_shim
def test_after_some_changes_with_all_that_is_published(published: Scene, rng: Random) -> None:
    """What changes beside the lake counts too: the database and what it is made in."""

    def run(lake: places.Place, **how: object) -> Result:
        watch = Path(lake.uri).parent
        return published.forge.run(published.arguments(lake), watch=watch, **how)

    changes = run(published.fresh()).changes
    told: Counter[str] = Counter()
    for at in rng.sample(range(changes), min(changes, share(120, 1))):
        lake = published.fresh()
        result = run(lake, mode="kill", at=at)
        assert result.killed or result.changes <= at
        state = places.by_manifest(lake)
        assert state in (published.before_state, published.after), f"after change {at}"
        told["after" if state == published.after else "before"] += 1
        published.heals(lake)
        _is_published(published, lake)
        lake.delete()
    print(f"{told.total()} of {changes} changes", dict(told))


def _crash_while_healing(scene: Scene, rng: Random, times: int) -> None:
    interrupted = 0
    for _ in range(times):
        lake = scene.fresh()
        _crash(scene, lake, rng.randrange(1, scene.changes))
        for _ in range(rng.choice((1, 1, 2, 5))):
            _interrupt(scene, lake, rng.randrange(1, scene.changes // 2))
            interrupted += 1
        scene.heals(lake)
        lake.delete()
    print(f"{times} crashes, {interrupted} more while they were healed")


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
        if ended or at >= share(400, 1):
            break
        at += 1
    print(f"healing interrupted {at} times, until it came to its end: {ended}")


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
