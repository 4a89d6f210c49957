"""Many starts at once, dead and living holders of a lease, and a holder that was asleep."""

from __future__ import annotations

import signal
import time
from collections import Counter
from random import Random

import pytest

import places
from forge import Run
from scene import FULL, Scene, full_only, share

HELD = 5


def _start_together(scene: Scene, lake: places.Place, count: int, **how: object) -> None:
    begin = time.time() + 1 + count * 0.1
    runs = [scene.start(lake, begin=begin, **how) for _ in range(count)]
    results = [run.wait() for run in runs]
    codes = sorted(result.code for result in results)
    assert codes == [0] + [HELD] * (count - 1), [r.err for r in results if r.code not in (0, HELD)]
    assert all("is writing this lake" in r.err for r in results if r.code == HELD)
    assert places.by_manifest(lake) == scene.after
    assert places.strays(lake) == []
    assert len(places.commits(lake)) == 2  # the scene's first, and one
    print(f"{count} starts, exits {codes}")


def test_simultaneous_starts(local: Scene) -> None:
    for _ in range(share(5, 1)):
        _start_together(local, local.fresh(), 20 if FULL else 6)


def test_simultaneous_starts_on_s3(s3: Scene) -> None:
    for _ in range(share(5, 1)):
        s3.proxy.reset()
        _start_together(s3, s3.fresh(), 20 if FULL else 5)


def _kill_after(scene: Scene, lake: places.Place, at: int, number: int) -> Run | None:
    """Start a run and send it a signal after `at` changes; the run."""
    scene.proxy.reset()
    hit = []

    def act(count: int, what: str) -> None:
        if count == at:
            run.signal(number)
            hit.append(at)

    run = scene.start(lake, begin=time.time() + 0.05, ttl=1.5)
    scene.proxy.after_change = act
    while not hit and scene.forge.ask(wait=run.pid, timeout=0.01)["code"] is None:
        time.sleep(0.01)
    return run if hit else None


@full_only
def test_simultaneous_starts_after_a_death_on_s3(s3: Scene) -> None:
    for at in (1, 5, 20, 30)[: share(4, 1)]:
        lake = s3.fresh()
        assert _kill_after(s3, lake, at, signal.SIGKILL).wait().killed
        s3.proxy.reset()
        _start_together(s3, lake, 20)


def test_a_lease_of_a_dead_process_is_taken_over_at_once(s3: Scene) -> None:
    lake = s3.fresh()
    assert _kill_after(s3, lake, 3, signal.SIGKILL).wait().killed
    s3.heals(lake)


def test_a_lease_of_a_live_slow_process_is_never_taken(s3: Scene) -> None:
    lake = s3.fresh()
    s3.proxy.reset()

    def slowly(method: str, path: str) -> None:
        if "/_clicklake/lease" not in path:
            time.sleep(0.03 if FULL else 0.015)

    s3.proxy.choose = slowly
    slow = s3.start(lake, ttl=2)
    while f"{lake.base}/_clicklake/lease" not in _paths(lake):
        time.sleep(0.05)
    refused = 0
    while s3.forge.ask(wait=slow.pid, timeout=0.01)["code"] is None:
        other = s3.run(lake, ttl=2)
        if other.code == 0:  # the slow one has just come to its end
            assert other.metrics["status"] == "nothing_new"
            break
        assert other.code == HELD, other.err
        refused += 1
    assert refused >= (3 if FULL else 1)
    assert places.by_manifest(lake) == s3.after
    assert len(places.commits(lake)) == 2


def _paths(lake: places.Place) -> list[str]:
    selector = places.fs.FileSelector(lake.base, recursive=True, allow_not_found=True)
    return [info.path for info in lake.fs.get_file_info(selector)]


def _overtaken(scene: Scene, lake: places.Place, asleep: Run) -> str:
    """Let another run take a stopped one's lease and do the work, wake the first; what it did."""
    scene.proxy.reset()
    time.sleep(3.2)  # the lease's time, and what the server's clock leaves out
    other = scene.run(lake, ttl=1.5)
    assert other.code == 0, other.err
    assert places.by_manifest(lake) == scene.after
    commits = places.commits(lake)
    asleep.signal(signal.SIGCONT)
    woken = asleep.wait()
    assert places.commits(lake) == commits
    assert len(commits) == 2
    assert places.by_manifest(lake) == scene.after
    scene.heals(lake)
    lake.delete()
    if other.metrics["status"] != "committed":  # there was nothing left to do
        assert woken.code in (0, HELD), woken.err
        return f"woke after the commit point, exit {woken.code}"
    if woken.code == 0:  # it had not opened the lake, and found it with all done
        assert woken.metrics["status"] == "nothing_new", woken.out
        assert woken.metrics["run_id"] == other.metrics["run_id"]
        return "found nothing to do"
    assert woken.code == HELD, woken.err
    return "refused"


def test_a_sleeper_that_wakes_does_not_commit(s3: Scene, rng: Random) -> None:
    told: Counter[str] = Counter()
    for at in sorted(rng.sample(range(1, s3.changes + 1), share(20, 1))):
        lake = s3.fresh()
        asleep = _kill_after(s3, lake, at, signal.SIGSTOP)
        told[_overtaken(s3, lake, asleep) if asleep else "ended before"] += 1
    print(dict(told))


def _crashed(scene: Scene, at: int) -> places.Place:
    """A lake whose last run was killed after `at` changes."""
    lake = scene.fresh()
    assert _kill_after(scene, lake, at, signal.SIGKILL).wait().killed
    return lake


def _requests(scene: Scene, lake: places.Place, stop_at: int = 0) -> tuple[Run, list[str]]:
    """A run, ended or stopped in its n-th request, which the server still does; its requests.

    A run that is stopped in a request that reads has an old answer when it wakes.
    """
    scene.proxy.reset()
    seen: list[str] = []

    def note(method: str, path: str) -> None:
        seen.append(f"{method} {path}")
        if len(seen) == stop_at:
            run.signal(signal.SIGSTOP)

    scene.proxy.choose = note
    run = scene.start(lake, begin=time.time() + 0.05, ttl=1.5)
    while len(seen) < (stop_at or 10**6):
        if scene.forge.ask(wait=run.pid, timeout=0.01)["code"] is not None:
            break
        time.sleep(0.01)
    return run, seen


@full_only
@pytest.mark.parametrize("share_done", [0.5, 0.8])
def test_a_healer_that_slept_undoes_nothing(s3: Scene, rng: Random, share_done: float) -> None:
    """A run that heals a crash before or after the commit point is stopped while it does so."""
    at = int(s3.changes * share_done)
    _, all_of_them = _requests(s3, _crashed(s3, at))
    begin = range(1, next(n for n, what in enumerate(all_of_them) if "in2" in what) + 1)
    told: Counter[str] = Counter()
    for number in rng.sample(begin, min(len(begin), share(30, 1))):
        lake = _crashed(s3, at)
        asleep, seen = _requests(s3, lake, number)
        if len(seen) >= number:
            print(number, seen[-1])
            told[_overtaken(s3, lake, asleep)] += 1
    print(f"{at} changes before the crash, {len(begin)} requests to heal:", dict(told))


def test_a_stopped_holder_of_a_local_lake_keeps_it(local: Scene) -> None:
    lake = local.fresh()
    run = local.start(lake)
    while not list((lake.folder / "_clicklake" / "staging").glob("*/*")):
        time.sleep(0.001)
    run.signal(signal.SIGSTOP)
    assert local.run(lake).code == HELD
    run.signal(signal.SIGCONT)
    assert run.wait().code == 0
    assert places.by_manifest(lake) == local.after


@pytest.mark.parametrize("torn", [b"", b"{", b"\xff"] if FULL else [b"{"])
def test_a_torn_lease_of_a_local_lake_is_no_obstacle(local: Scene, torn: bytes) -> None:
    lake = local.fresh()
    (lake.folder / "_clicklake" / "lease").write_bytes(torn)
    local.heals(lake)
