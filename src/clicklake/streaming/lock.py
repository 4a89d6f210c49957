"""A lock of a folder that dies with its process."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clicklake.errors import LeaseHeldError


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
