"""Compressed files that are cut or damaged are refused by name; bombs take time, not memory."""

from __future__ import annotations

import bz2
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
import zstandard

import parser_memory
import places
from fuzz import read
from scene import FULL, Scene, share

LINES = b"".join(
    json.dumps(
        {
            "ts": f"2018-04-01T12:{n // 60 % 60:02}:{n % 60:02}",
            "url": f"/p/{n * 7919 % 1000}",
            "environment": "production",
            "user_id": n * 31 % 977,
        }
    ).encode()
    + b"\n"
    for n in range(3000)
)
CODECS: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, mtime=0),
    "bz2": bz2.compress,
    # As the zstd program writes it, with a checksum.
    "zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}
# What no reader can tell: bytes of a gzip header (time, flags, system) and of what is not data.
UNCHECKED = {"gz": range(10), "bz2": range(0), "zst": range(0)}


def _refused(folder: Path, name: str, data: bytes) -> bool:
    (folder / name).write_bytes(data)
    found = read(folder, "page_views")
    assert found.read in (0, 3000)
    return set(found.refused) == {name}


@pytest.mark.parametrize("kind", CODECS)
def test_a_file_that_is_cut_is_refused(tmp_path: Path, kind: str, rng: Random) -> None:
    whole = CODECS[kind](LINES)
    edges = [*range(1, 16), *range(len(whole) - 16, len(whole))]
    offsets = edges + rng.sample(range(16, len(whole) - 16), share(100, 20))
    let_through = [at for at in offsets if not _refused(tmp_path, f"f.{kind}", whole[:at])]
    print(f"{kind}: cut at {len(offsets)} offsets, let through {let_through}")
    assert let_through == []


@pytest.mark.parametrize("kind", CODECS)
def test_a_file_with_a_flipped_bit_is_refused(tmp_path: Path, kind: str, rng: Random) -> None:
    whole = CODECS[kind](LINES)
    offsets = [at for at in range(len(whole)) if at not in UNCHECKED[kind]]
    let_through = []
    for at in rng.sample(offsets, share(100, 20)):
        data = bytearray(whole)
        data[at] ^= 1 << rng.randrange(8)
        if not _refused(tmp_path, f"f.{kind}", bytes(data)):
            let_through.append(at)
    print(f"{kind}: flipped in {share(100, 20)} places, let through {let_through}")
    assert let_through == []


@pytest.mark.parametrize("kind", CODECS)
def test_what_follows_a_whole_stream_is_refused(tmp_path: Path, kind: str) -> None:
    assert _refused(tmp_path, f"f.{kind}", CODECS[kind](LINES) + b"more")


@pytest.mark.parametrize("kind", CODECS)
def test_a_run_refuses_it_by_name_and_publishes_nothing(
    local: Scene, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "PageViews").mkdir()
    whole = CODECS[kind](LINES)
    (tmp_path / "PageViews" / f"cut.{kind}").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "PageViews" / f"good.{kind}").write_bytes(whole)
    lake = local.fresh()
    result = local.forge.run(local.arguments(lake, tmp_path))
    assert result.code == 4
    assert f"cut.{kind}" in result.err
    assert f"good.{kind}" not in result.err
    assert "Nothing was published" in result.err
    assert places.by_manifest(lake) == local.before_state
    assert places.strays(lake) == []


@pytest.fixture(scope="module")
def measure() -> Iterator[parser_memory.Measure]:
    with parser_memory.measuring() as measured:
        yield measured


def _bomb(file: Path, kind: str, unit: bytes, size: int) -> None:
    """A small file of `size` bytes of `unit`, which is written without ever being held."""
    block = unit * (1 << 20)
    opened = {"gz": gzip.open, "bz2": bz2.open, "zst": zstandard.open}[kind]
    with opened(file, "wb") as stream:
        for _ in range(size // len(block)):
            stream.write(block)


BOMBS = [("zst", b"0"), ("gz", b"0"), ("bz2", b"0"), *([("zst", b"\n")] if FULL else [])]


@pytest.mark.parametrize("kind, unit", BOMBS)
def test_a_bomb_takes_little_memory(
    tmp_path: Path, measure: parser_memory.Measure, kind: str, unit: bytes
) -> None:
    gigabytes = 0.02
    if FULL:
        gigabytes = 10 if kind == "zst" and unit == b"0" else 1  # each blank line is looked at
    _bomb(tmp_path / f"f.{kind}", kind, unit, int(gigabytes * (1 << 30)))
    size = (tmp_path / f"f.{kind}").stat().st_size
    found, megabytes = measure(tmp_path, "page_views")
    print(f"{kind}: {size} bytes hold {gigabytes} GB of {unit!r}: {megabytes} MB")
    assert found == ({"record_too_long": 1} if unit == b"0" else {})
    assert megabytes < 400
