"""Which part of a file has been written: up to the last line's end."""

from __future__ import annotations

from pathlib import Path

import pytest

from clicklake.logs.tails import settled
from clicklake.storage import open_storage

TEXTS = [
    (b"", 0),
    (b"abc", 0),
    (b"abc\n", 4),
    (b"a\r\nb\r", 3),
    (b"a\nb", 2),
    (b"a\n" + b"b" * (1 << 16), 2),
    (b"a" * (1 << 16) + b"\n" + b"b" * ((1 << 16) - 1), (1 << 16) + 1),
]


@pytest.mark.parametrize("text, end", TEXTS)
def test_a_file_ends_with_its_last_whole_line(tmp_path: Path, text: bytes, end: int) -> None:
    (tmp_path / "log").write_bytes(text)
    storage = open_storage(str(tmp_path))
    [info] = storage.list()
    [found], pending = settled(storage, [info], int(info.version) / 1e9 + 1, 600)
    assert found.size == end
    assert pending == ({"log": len(text) - end} if end < len(text) else {})


def test_a_compressed_file_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "log.gz").write_bytes(b"abc")
    storage = open_storage(str(tmp_path))
    [info] = storage.list()
    assert settled(storage, [info], int(info.version) / 1e9, 600) == ((info,), {})
