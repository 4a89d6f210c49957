"""Local files that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import os
from pathlib import Path


def write_durably(path: Path, data: bytes, *, settled: bool = True) -> None:
    """Write a file so that a crash, of the process or of the machine, leaves old or new.

    `settled`: that it is the new once this returns; else, once `sync_path` of its folder has.
    """
    beside = path.with_name(f".{path.name}.tmp")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    if settled:
        sync_path(path.parent)


def replace_durably(new: Path, path: Path) -> None:
    """Give `path` the content of the finished file `new`, at once for every reader, for good."""
    sync_path(new)
    new.replace(path)
    sync_path(path.parent)


def sync_path(path: Path) -> None:
    """Bring a file's bytes to the disk, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
