"""Which files are new, grown, changed or gone since they were read."""

from __future__ import annotations

import hashlib
import os
from itertools import pairwise
from pathlib import Path

import pytest

from clicklake.errors import InputError
from clicklake.lake import LedgerFile
from clicklake.logs import inputs
from clicklake.storage import LocalStorage


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs"


def _read(logs: Path) -> dict[str, LedgerFile]:
    """A ledger of all files as they are, each read in two splits."""
    known = {}
    for info in LocalStorage(logs).list():
        data = (logs / info.path).read_bytes()
        cuts = (0, len(data) // 2, len(data))
        digests = tuple((a, b, hashlib.sha256(data[a:b]).hexdigest()) for a, b in pairwise(cuts))
        known[info.path] = LedgerFile(info.size, info.version, digests, data[-1:] == b"\n", "r")
    return known


def _plan(logs: Path, known: dict[str, LedgerFile]) -> inputs.SourcePlan:
    storage = LocalStorage(logs)
    folder = inputs.Folder("clickstream", storage, tuple(storage.list()), storage)
    return inputs.compare(folder, {"clickstream": known})


def _later(file: Path, data: bytes) -> None:
    """Written again, a second later."""
    before = file.stat().st_mtime
    file.write_bytes(data)
    os.utime(file, (before + 1, before + 1))


def test_nothing_new(logs: Path) -> None:
    (logs / "a").write_bytes(b"1\n2\n")
    plan = _plan(logs, _read(logs))
    assert (plan.read, plan.rebuild, plan.vanished) == ((), False, ())


def test_a_new_file_is_read_and_an_empty_one_waits(logs: Path) -> None:
    (logs / "a").write_bytes(b"1\n")
    (logs / "empty").write_bytes(b"")
    assert [info.path for info in _plan(logs, {}).read] == ["a"]


def test_a_file_that_grew_after_a_line_end_is_read_again(logs: Path) -> None:
    (logs / "a").write_bytes(b"1\n2\n")
    known = _read(logs)
    _later(logs / "a", b"1\n2\n3\n")
    plan = _plan(logs, known)
    assert (plan.grown, plan.rebuild) == (("a",), False)


def test_a_file_that_grew_within_its_last_line_has_changed(logs: Path) -> None:
    """The line that was read was not yet the line that is there now."""
    (logs / "a").write_bytes(b"1\n2")
    known = _read(logs)
    _later(logs / "a", b"1\n23\n")
    plan = _plan(logs, known)
    assert (plan.changed, plan.rebuild) == (("a",), True)


@pytest.mark.parametrize("data", [b"9\n2\n3\n", b"1\n9\n3\n", b"1\n", b"9\n2\n", b"1\n9\n"])
def test_a_file_that_was_altered_has_changed(logs: Path, data: bytes) -> None:
    (logs / "a").write_bytes(b"1\n2\n")
    known = _read(logs)
    _later(logs / "a", data)
    plan = _plan(logs, known)
    assert (plan.changed, plan.rebuild) == (("a",), True)


def test_a_file_that_was_only_touched_is_the_same(logs: Path) -> None:
    (logs / "a").write_bytes(b"1\n2\n")
    known = _read(logs)
    _later(logs / "a", b"1\n2\n")
    plan = _plan(logs, known)
    assert (plan.read, plan.rebuild) == ((), False)


def test_a_file_that_is_gone_keeps_its_rows(logs: Path) -> None:
    (logs / "a").write_bytes(b"1\n")
    known = _read(logs)
    (logs / "a").unlink()
    plan = _plan(logs, known)
    assert (plan.read, plan.rebuild, plan.vanished) == ((), False, ("a",))


def test_what_has_changed_cannot_be_rebuilt_without_what_is_gone(logs: Path) -> None:
    (logs / "a").write_bytes(b"1\n")
    (logs / "b").write_bytes(b"1\n")
    known = _read(logs)
    (logs / "a").unlink()
    _later(logs / "b", b"2\n")
    with pytest.raises(InputError, match=r"b changed after it was read.*files are gone: a"):
        _plan(logs, known)
