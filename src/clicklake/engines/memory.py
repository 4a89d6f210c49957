"""How much memory there is, and how many files may be open."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_FILES = 1 << 16  # open at once, of as many as the system allows


def allow_open_files() -> None:
    """As many as the system lets a process have: each reader has one open for every bucket."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # some systems allow fewer than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def machine_memory_mb() -> int:
    """The memory of the machine or, if that is less, of this process's control groups."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([total, *group_limits()]) >> 20


def group_limits(proc: Path = Path("/proc/self/cgroup"), root: Path = _GROUPS) -> Iterator[int]:
    """The limits in bytes of the control groups (version 1 or 2) that this process is in."""
    lines = proc.read_text().splitlines() if proc.is_file() else []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            top, name = root / "memory", "memory.limit_in_bytes"
        elif not controllers:
            top, name = root, "memory.max"
        else:
            continue
        group = top / path.strip("/")
        # In a container the path may be that of the machine, which is not there.
        for folder in (group, *group.parents):
            limit = folder / name
            if folder.is_relative_to(top) and limit.is_file():
                text = limit.read_text().strip()
                if text.isdigit():
                    yield int(text)
