"""The memory that a run may plan with: that of the machine, or what its control groups leave it."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from clicklake.engines import memory

LAYOUTS = {
    "version 2, own and outer": (
        "0::/user/job\n",
        {"user/job/memory.max": "3000000000", "user/memory.max": "max", "memory.max": "max"},
        [3_000_000_000],
    ),
    "version 2, the outer one is less": (
        "0::/user/job\n",
        {"user/job/memory.max": "3000000000", "user/memory.max": "2000000000"},
        [3_000_000_000, 2_000_000_000],
    ),
    "version 1 beside others": (
        "5:cpu:/x\n4:memory:/job\n0::/\n",
        {"memory/job/memory.limit_in_bytes": "3000000000", "cpu/x/memory.max": "1"},
        [3_000_000_000],
    ),
    "a container that sees its own group as the top": (
        "4:cpu,memory:/machine/of/this/container\n",
        {"memory/memory.limit_in_bytes": "3000000000"},
        [3_000_000_000],
    ),
    "none": ("", {"memory.max": "1"}, []),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_limits_of_control_groups(tmp_path: Path, name: str) -> None:
    of_process, files, expected = LAYOUTS[name]
    (tmp_path / "cgroup").write_text(of_process)
    for path, text in files.items():
        file = tmp_path / "sys" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    found = list(memory.group_limits(tmp_path / "cgroup", tmp_path / "sys"))
    assert found == expected


def test_no_more_than_the_machine_has() -> None:
    import psutil

    assert 0 < memory.machine_memory_mb() <= psutil.virtual_memory().total >> 20


def test_many_files_may_be_open() -> None:
    """Buckets are: the usual limit of a login shell is lower than that of the system."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        memory.allow_open_files()
        wanted = 1 << 16 if hard == resource.RLIM_INFINITY else min(hard, 1 << 16)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (wanted, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
