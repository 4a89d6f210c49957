"""Small files that are there whole or not at all, and a lock that dies with its process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clicklake.errors import LeaseHeldError


def write_whole(path: Path, data: bytes, *, settled: bool = True) -> None:
    """Write a file so that a crash, of the process or of the machine, leaves old or new.

    `settled`: that it is the new once this returns; else, once `settle` was called.
    """
    beside = path.with_name(f".{path.name}.tmp")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    if settled:
        settle(path.parent)


def replace_whole(written: Path, path: Path) -> None:
    """Rename a finished file into place, for good."""
    _sync(written)
    written.replace(path)
    settle(path.parent)


def settle(folder: Path) -> None:
    """Bring the names of a folder's files to the disk."""
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def held(folder: Path, who: str) -> Iterator[None]:
    """Hold the folder's lock. Raises LeaseHeldError if another process has it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LeaseHeldError(
                f"{folder}: another {who} is at work there. Wait until it has ended."
            ) from None
        yield
