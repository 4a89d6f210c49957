"""S3 that fails: errors, resets, cut and late answers, and answers lost after the work was done."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

import places
import servers
from clicklake.errors import InputError
from clicklake.storage import S3Storage
from proxy import FAULTS
from scene import FULL, Scene, full_only, share


def _settled(scene: Scene, lake: places.Place, told: Counter[str]) -> None:
    """A run has ended: the lake is as it was or as it should be, and the next run heals it."""
    scene.proxy.reset()
    state = places.by_manifest(lake)
    assert state in (scene.before_state, scene.after)
    told["right" if state == scene.after else "as it was"] += 1
    scene.heals(lake)
    assert len(places.commits(lake)) == 2  # neither repeated nor forgotten
    lake.delete()


def _error(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("error: "))[:300]


def test_faults_on_a_tenth_of_the_calls(s3: Scene, rng: Random) -> None:
    told: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    requests = 0
    for _ in range(share(50, 1)):
        lake = s3.fresh()
        s3.proxy.reset()
        seeded = Random(rng.random())
        s3.proxy.choose = lambda method, path, seeded=seeded: (
            seeded.choice(FAULTS) if seeded.random() < 0.1 else None
        )
        result = s3.run(lake)
        faults.update(s3.proxy.faults)
        requests += s3.proxy.requests
        told[f"exit {result.code}"] += 1
        if result.code:
            print(_error(result.err))
            assert "error: " in result.err
            assert "Traceback" not in result.err
        else:
            assert places.by_manifest(lake) == s3.after
        _settled(s3, lake, told)
    print(dict(told), f"{requests} requests", dict(faults))
    assert told["exit 0"] >= 0.8 * share(50, 1)  # most do their work all the same


@pytest.mark.parametrize("fault", FAULTS)
def test_each_call_has_each_fault_once(
    s3: Scene, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """The storage asks again, and its answer is the right one, a refusal too."""
    for name, value in servers.environment(s3.proxy.url).items():
        monkeypatch.setenv(name, value)
    storage = S3Storage(places.BUCKET, f"calls-{fault}")

    def disturbed(call: Callable[[], object]) -> object:
        s3.proxy.reset()
        s3.proxy.choose = lambda method, path: None if s3.proxy.faults else fault
        try:
            return call()
        finally:
            assert s3.proxy.faults == {fault: 1}
            s3.proxy.reset()

    storage.write("a", b"1")
    (info,) = storage.list()
    assert disturbed(storage.list) == [info]
    assert disturbed(lambda: storage.read("a")) == b"1"
    assert disturbed(lambda: storage.read("none")) is None
    assert disturbed(lambda: [*storage.chunks(info)]) == [b"1"]
    with pytest.raises(InputError, match="changed while it was read"):
        disturbed(lambda: [*storage.chunks(replace(info, version="0" * 32))])
    assert disturbed(lambda: storage.head("a")).version == info.version
    assert disturbed(lambda: storage.head("none")) is None
    disturbed(lambda: storage.write("b", b"2"))
    assert disturbed(lambda: storage.create("c", b"3")) is True
    assert disturbed(lambda: storage.create("c", b"4")) is False
    assert disturbed(lambda: storage.put_if("c", b"5", IfMatch=f'"{info.version}"')) is None
    disturbed(lambda: storage.move([("b", "d")]))
    disturbed(lambda: storage.delete(["b"]))
    left = {file.path: storage.read(file.path) for file in storage.list()}
    assert left == {"a": b"1", "c": b"3", "d": b"2"}


@pytest.mark.parametrize("fault", ["lost", "lost500"] if FULL else ["lost"])
def test_the_answer_of_the_commit_is_lost(s3: Scene, fault: str) -> None:
    told: Counter[str] = Counter()
    lake = s3.fresh()
    s3.proxy.reset()
    s3.proxy.choose = lambda method, path: (
        fault if method == "PUT" and "/_clicklake/log/" in path and not s3.proxy.faults else None
    )
    result = s3.run(lake)
    assert s3.proxy.faults == {fault: 1}
    assert result.code == 0, result.err
    assert len(places.commits(lake)) == 2
    _settled(s3, lake, told)


@full_only
def test_the_server_is_gone_once_the_commit_is_made(s3: Scene) -> None:
    """All answers are lost from the commit on: the run says so, the next finishes its work."""
    told: Counter[str] = Counter()
    lake = s3.fresh()
    s3.proxy.reset()
    gone = []

    def choose(method: str, path: str) -> str | None:
        if method == "PUT" and "/_clicklake/log/" in path and not gone:
            gone.append(time.time())
            return "lost"
        return "reset" if gone else None

    s3.proxy.choose = choose
    result = s3.run(lake)
    assert result.code == 1
    assert "is not known yet" in result.err
    assert "put right" in result.err
    _settled(s3, lake, told)
    assert told == {"as it was": 1}


@full_only
@pytest.mark.parametrize("fault", FAULTS)
def test_a_change_fails_once(s3: Scene, fault: str, rng: Random) -> None:
    """One changing call has one fault, and the run does not mind."""
    told: Counter[str] = Counter()
    moments = rng.sample(range(1, s3.changes + 1), min(s3.changes, share(12, 1)))
    for at in moments:
        lake = s3.fresh()
        s3.proxy.reset()
        count = iter(range(1, 10**6))

        def choose(method: str, path: str, count=count, at=at) -> str | None:  # type: ignore
            return fault if method not in ("GET", "HEAD") and next(count) == at else None

        s3.proxy.choose = choose
        result = s3.run(lake)
        assert s3.proxy.faults == {fault: 1}
        told[f"exit {result.code}"] += 1
        if result.code:
            print(at, _error(result.err))
        _settled(s3, lake, told)
    print(fault, len(moments), dict(told))
    assert told == {"exit 0": len(moments), "right": len(moments)}
