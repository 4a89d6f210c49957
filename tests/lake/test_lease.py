"""Who may take a lease: told apart by machine, process, age and version."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clicklake.errors import LeaseHeldError
from clicklake.lake import lease
from clicklake.storage import HeadInfo, LocalStorage, S3Storage


class Bucket(S3Storage):
    """An object store with one object, whose clock stands still."""

    def __init__(self) -> None:
        super().__init__("bucket", "lake")
        self.data: bytes | None = None
        self.age = 0.0
        self.before_read = lambda: None

    def _version(self) -> str:
        return str(hash(self.data))

    def put_if(self, path: str, data: bytes, **condition: str) -> str | None:
        if "IfNoneMatch" in condition:
            holds = self.data is None
        else:
            holds = self.data is not None and condition["IfMatch"] == f'"{self._version()}"'
        if not holds:
            return None
        self.data, self.age = data, 0.0
        return self._version()

    def head(self, path: str) -> HeadInfo | None:
        return None if self.data is None else HeadInfo(self._version(), self.age)

    def read(self, path: str) -> bytes | None:
        self.before_read()
        return self.data

    def delete(self, paths: object) -> None:
        self.data = None


def _held_by(bucket: Bucket, **changes: object) -> None:
    bucket.data = json.dumps({**lease._holder(), "nonce": "theirs", **changes}).encode()


def test_a_lease_is_taken_and_given_back() -> None:
    bucket = Bucket()
    with lease.held(bucket) as taken_over:
        assert not taken_over
        with pytest.raises(LeaseHeldError, match=f"process {os.getpid()}"), lease.held(bucket):
            pass
    assert bucket.data is None


@pytest.mark.parametrize(
    "holder, age, is_free",
    [
        ({}, 0, False),
        ({}, lease.TTL - 1, False),
        ({}, lease.TTL + 1, True),
        ({"host": "elsewhere", "pid": 1}, 0, False),
        ({"host": "elsewhere", "pid": 1}, lease.TTL + 1, True),
        ({"started": "0"}, 0, True),  # a process of this number, but a later one
        ({"pid": 2**22 + 1}, 0, True),
    ],
)
def test_who_may_be_taken_over(holder: dict, age: float, is_free: bool) -> None:
    bucket = Bucket()
    _held_by(bucket, **holder)
    bucket.age = age
    if is_free:
        with lease.held(bucket) as taken_over:
            assert taken_over
        return
    with pytest.raises(LeaseHeldError), lease.held(bucket):
        pass


def test_of_two_that_find_a_dead_holder_one_gets_the_lease() -> None:
    """The other one takes over between our look at the version and at the content."""
    bucket = Bucket()
    _held_by(bucket, started="0")

    def overtake() -> None:
        _held_by(bucket, nonce="quicker", started="0")

    bucket.before_read = overtake
    with pytest.raises(LeaseHeldError), lease.held(bucket):
        pass


def test_a_renewal_changes_the_version() -> None:
    bucket = Bucket()
    held = lease._ObjectLease(bucket)
    held.take()
    first = held.version
    held.version = held._put(IfMatch=f'"{first}"')
    assert held.version not in (None, first)


def test_a_lease_that_was_taken_over_is_not_given_back() -> None:
    bucket = Bucket()
    with lease.held(bucket):
        _held_by(bucket, host="elsewhere")
    assert b"elsewhere" in bucket.data


def test_process_numbers_count_within_their_namespace_only() -> None:
    assert str(Path("/proc/self/ns/pid").readlink()) in lease._machine()


@pytest.mark.slow
def test_a_local_lock_ends_with_its_process(tmp_path: Path) -> None:
    code = (
        "import sys, os; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from clicklake import storage; from clicklake.lake import lease\n"
        "with lease.held(storage.LocalStorage(Path(sys.argv[2]))):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    source = str(Path(lease.__file__).parents[2])
    other = subprocess.Popen(
        [sys.executable, "-c", code, source, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout.readline() == b"held\n"
    with pytest.raises(LeaseHeldError, match=str(other.pid)), lease.held(LocalStorage(tmp_path)):
        pass
    other.kill()
    other.wait()
    with lease.held(LocalStorage(tmp_path)) as taken_over:
        assert not taken_over
