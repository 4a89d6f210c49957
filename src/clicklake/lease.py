"""One writer at a time: a lock on a local lake, a conditional object on S3.

A local lock belongs to the process and ends with it. An object on S3 is renewed while its
holder lives; one that was not renewed for `TTL` seconds, by the server's clock, or whose holder
on this very machine is dead, is taken over. A holder that was paused meanwhile is kept from
committing by the lake's log (`lake.Lake.commit`), not by the lease.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from clicklake.errors import ClicklakeError, LeaseHeldError
from clicklake.storage import LocalStorage, S3Storage, Storage

PATH = "_clicklake/lease"
TTL = 60.0  # seconds


@contextmanager
def held(storage: Storage) -> Iterator[None]:
    """Hold the lake's lease. Raises LeaseHeldError if another run has it."""
    if isinstance(storage, S3Storage):
        with _object_lease(storage):
            yield
    elif isinstance(storage, LocalStorage):
        with _file_lock(storage):
            yield
    else:
        raise TypeError(f"no lease for {type(storage).__name__}")


def _holder() -> dict[str, object]:
    """Who holds a lease; a process is told apart from a later one of the same number."""
    return {"host": _machine(), "pid": os.getpid(), "started": _started(os.getpid())}


def _machine() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return socket.gethostname()


def _started(pid: int) -> str | None:
    """When a process started, as its system tells it; None if it is not there or not known."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return None


def _message(storage: Storage, holder: bytes | None) -> str:
    with suppress(ValueError, AttributeError):
        pid = json.loads(holder or b"").get("pid")
        return f"{storage.root}: another run (process {pid}) is writing this lake; try again later."
    return f"{storage.root}: another run is writing this lake; try again later."


@contextmanager
def _file_lock(storage: LocalStorage) -> Iterator[None]:
    file = storage.folder / PATH
    descriptor = storage.open_lock(PATH)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LeaseHeldError(_message(storage, file.read_bytes())) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(_holder()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _object_lease(storage: S3Storage) -> Iterator[None]:
    version = _take(storage)
    stop = threading.Event()
    renewal = threading.Thread(target=_renew, args=(storage, version, stop), daemon=True)
    renewal.start()
    try:
        yield
    finally:
        stop.set()
        renewal.join()
        with suppress(ClicklakeError):
            if storage.read(PATH) == _body():
                storage.delete([PATH])


def _body() -> bytes:
    return json.dumps(_holder()).encode()


def _take(storage: S3Storage) -> str:
    version = storage.put_if(PATH, _body(), IfNoneMatch="*")
    if version:
        return version
    holder, head = storage.read(PATH), storage.head(PATH)
    if holder is not None and head is not None and (head.age > TTL or _is_dead(holder)):
        version = storage.put_if(PATH, _body(), IfMatch=f'"{head.version}"')
    if not version:
        raise LeaseHeldError(_message(storage, holder))
    return version


def _is_dead(holder: bytes) -> bool:
    with suppress(ValueError):
        other = json.loads(holder)
        return other["host"] == _machine() and _started(other["pid"]) != other["started"]
    return False


def _renew(storage: S3Storage, version: str, stop: threading.Event) -> None:
    while not stop.wait(TTL / 4):
        with suppress(ClicklakeError):
            renewed = storage.put_if(PATH, _body(), IfMatch=f'"{version}"')
            if renewed is None:
                return  # taken over; the log refuses this run's commit
            version = renewed
