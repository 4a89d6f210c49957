"""One writer at a time: a lock on a local lake, a conditional object on S3.

A local lock belongs to the process and ends with it. An object on S3 is renewed while its
holder lives; one that was not renewed for `TTL` seconds, by the server's clock, or whose holder
on this very machine is dead, is taken over. A holder that was paused meanwhile is kept from
committing by the lake's log: whoever takes over writes a fence into it (`lake.Lake.open`).
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from clicklake.errors import ClicklakeError, LeaseHeldError
from clicklake.storage import LocalStorage, S3Storage, Storage

PATH = "_clicklake/lease"
TTL = 60.0  # seconds


@contextmanager
def held(storage: Storage) -> Iterator[bool]:
    """Hold the lake's lease; True if it was taken over from a run that did not give it back.

    Raises LeaseHeldError if another run has it.
    """
    if isinstance(storage, S3Storage):
        with _object_lease(storage) as taken_over:
            yield taken_over
    elif isinstance(storage, LocalStorage):
        with _file_lock(storage):
            yield False
    else:
        raise TypeError(f"no lease for {type(storage).__name__}")


def _holder() -> dict[str, object]:
    """Who holds a lease; a process is told apart from a later one of the same number."""
    return {"host": _machine(), "pid": os.getpid(), "started": _started(os.getpid())}


def _machine() -> str:
    """Where a process number has a meaning: containers on one machine number theirs apart."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
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
def _object_lease(storage: S3Storage) -> Iterator[bool]:
    lease = _ObjectLease(storage)
    taken_over = lease.take()
    stop = threading.Event()
    renewal = threading.Thread(target=lease.renew, args=(stop,), daemon=True)
    renewal.start()
    try:
        yield taken_over
    finally:
        stop.set()
        renewal.join()
        lease.give_back()


class _ObjectLease:
    """An object with its holder's name; what is written is new every time, and so its version."""

    def __init__(self, storage: S3Storage) -> None:
        self.storage = storage
        self.body = b""
        self.version: str | None = None

    def _put(self, **condition: str) -> str | None:
        self.body = json.dumps({**_holder(), "nonce": uuid.uuid4().hex}).encode()
        return self.storage.put_if(PATH, self.body, **condition)

    def take(self) -> bool:
        """Get the lease; whether it was another's. Raises LeaseHeldError if it cannot be had."""
        self.version = self._put(IfNoneMatch="*")
        if self.version:
            return False
        # First the version, then the content: the write below fails if that is of a later holder.
        head, holder = self.storage.head(PATH), self.storage.read(PATH)
        if holder is not None and head is not None and (head.age > TTL or _is_dead(holder)):
            self.version = self._put(IfMatch=f'"{head.version}"')
        if not self.version:
            raise LeaseHeldError(_message(self.storage, holder))
        return True

    def renew(self, stop: threading.Event) -> None:
        """Keep the lease until `stop`, or until it was taken over; the log then refuses us."""
        while self.version and not stop.wait(TTL / 4):
            with suppress(ClicklakeError):
                self.version = self._put(IfMatch=f'"{self.version}"')

    def give_back(self) -> None:
        with suppress(ClicklakeError):
            if self.storage.read(PATH) == self.body:
                self.storage.delete([PATH])


def _is_dead(holder: bytes) -> bool:
    with suppress(ValueError):
        other = json.loads(holder)
        return other["host"] == _machine() and _started(other["pid"]) != other["started"]
    return False
