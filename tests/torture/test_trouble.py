"""A disk that is full, folders that may not be read or written, files that vanish, wrong clocks."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

import places
from scene import Scene, needs_shim, share

NOBODY = 65534
is_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount or to change users")


def _untouched(scene: Scene, lake: places.Place) -> None:
    assert places.by_manifest(lake) == scene.before_state
    assert places.strays(lake) == []


@needs_shim
def test_the_disk_is_full_from_some_moment_on(local: Scene, rng: Random) -> None:
    """Every call that needs space fails from then on; what is there can be moved and deleted."""
    calls = local.changes
    moments = rng.sample(range(calls), min(calls, share(120, 2)))
    published = 0
    for at in moments:
        lake = local.fresh()
        result = local.run(lake, mode="full", at=at)
        state = places.by_manifest(lake)
        if result.code == 0:
            assert state == local.after
            published += 1
        else:
            assert "error: " in result.err, result.err
            assert "No space left" in result.err, result.err
            assert lake.uri in result.err, result.err
            assert "Traceback" not in result.err
            assert state in (local.before_state, local.after)
            if state == local.after:
                said = ("is published", "put right", "The lake is complete")
                assert any(words in result.err for words in said), result.err
        local.heals(lake)
        lake.delete()
    print(f"{len(moments)} of {calls} moments, {published} runs came to their end")


@contextmanager
def _mounted(folder: Path, size: int) -> Iterator[Path]:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "torture", folder]
    made = subprocess.run(command, capture_output=True, check=False)
    if made.returncode:
        pytest.skip("this machine mounts no tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@is_root
def test_a_small_file_system(local: Scene, tmp_path: Path) -> None:
    """A lake on a tmpfs that is too small by more or by less."""
    taken = sum(-(-file.stat().st_size // 4096) * 4096 for file in local.before.folder.rglob("*.*"))
    codes = []
    for more in range(0, 161, 160 // share(20, 3)):  # the first may not hold the lake as it is
        with _mounted(tmp_path / f"disk{more}", taken + (more << 10)) as disk:
            try:
                lake = local.before.copy(str(disk / "lake"))
            except (OSError, shutil.Error):
                continue
            result = local.run(lake)
            codes.append(result.code)
            if result.code:
                assert "No space left" in result.err, result.err
                assert lake.uri in result.err, result.err
                assert "Traceback" not in result.err
                _untouched(local, lake)
                subprocess.run(["mount", "-o", "remount,size=50m", disk], check=True)
                local.heals(lake)
            else:
                assert places.by_manifest(lake) == local.after
    print(codes)
    assert codes[0] != 0


@is_root
def test_a_read_only_file_system(local: Scene, tmp_path: Path) -> None:
    with _mounted(tmp_path / "disk", 10 << 20) as disk:
        lake = local.before.copy(str(disk / "lake"))
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        result = local.run(lake)
        assert result.code == 3, result.err
        assert "Read-only file system" in result.err
        assert lake.uri in result.err
        _untouched(local, lake)


@pytest.fixture
def open_to_all(local: Scene, tmp_path: Path) -> Iterator[Path]:
    """Copies of the input and the lake that another user can reach."""
    place = Path("/var/tmp") / f"torture-{os.getpid()}"
    shutil.copytree(local.second, place / "in")
    shutil.copytree(local.before.uri, place / "lake")
    shutil.copy(local.config, place / "dl.cfg")
    subprocess.run(["chown", "-R", str(NOBODY), place], check=True)
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@is_root
@pytest.mark.parametrize(
    "what, mode",
    [
        ("in", 0),
        ("in/Clickstream", 0),
        ("in/Clickstream/2018", 0o600),
        ("in/Clickstream/2018/04/02/log", 0),
        ("lake", 0o555),
        ("lake/_clicklake", 0o555),
        ("lake/_clicklake/staging", 0o555),
        ("lake/_clicklake/manifest.json", 0),
        ("lake/_clicklake/lease", 0o444),
    ],
)
def test_without_permission(local: Scene, open_to_all: Path, what: str, mode: int) -> None:
    shutil.chown(open_to_all / what, 0)
    (open_to_all / what).chmod(mode)
    lake = places.Place(str(open_to_all / "lake"))
    config = ["--config", str(open_to_all / "dl.cfg")]
    arguments = [*local.arguments(lake, open_to_all / "in"), *config]
    result = local.forge.run(arguments, user=NOBODY)
    print(what, oct(mode), result.code, result.err.splitlines()[-1])
    assert result.code == 3, result.err
    assert what.split("/", 1)[-1] in result.err
    assert "permission" in result.err.lower()
    _untouched(local, lake)


def test_a_file_vanishes_between_listing_and_reading(local: Scene, tmp_path: Path) -> None:
    """The whole program; that it vanishes in time is sure in tests/run/test_trust.py."""
    for gone in ("Clickstream", "PageViews", "UserUpdates"):
        source = tmp_path / gone
        shutil.copytree(local.second, source)
        lake = local.fresh()
        run = local.forge.start(local.arguments(lake, source))
        while "start engine" not in run._text("err"):  # listed, not yet read
            time.sleep(0.01)
        for file in (source / gone).rglob("log"):
            file.unlink()
        result = run.wait()
        if result.code == 0:  # it had been read already
            assert places.by_manifest(lake) == local.after
            continue
        assert result.code == 4, result.err
        assert "vanished" in result.err
        assert f"{gone}/2018/" in result.err
        _untouched(local, lake)


@needs_shim
@pytest.mark.parametrize("days", [-2, -400, -20000])
def test_the_clock_is_set_back(local: Scene, days: int) -> None:
    lake = local.fresh()
    arguments = [a for a in local.arguments(lake) if a != "--as-of" and not a.startswith("2018-")]
    result = local.forge.run(arguments, clock=days * 86400)
    assert result.code == 1
    assert "clock" in result.err
    assert "--as-of" in result.err
    _untouched(local, lake)


@needs_shim
def test_a_clock_that_is_wrong_does_no_harm_if_the_date_is_given(local: Scene) -> None:
    lake = local.fresh()
    assert local.run(lake, clock=-400 * 86400).code == 0
    assert places.by_manifest(lake) == local.after
    assert local.run(lake, clock=900 * 86400).metrics["status"] == "nothing_new"
