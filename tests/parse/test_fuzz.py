"""The parser alone, on mutated files: every record has the fate that the oracle gives it.

TORTURE_COUNT scales the number of files (50 for each of its count, other ones for each way of
reading), TORTURE_SEED seeds them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

import hostile
import parser_memory
from clicklake import storage
from clicklake.logs.reader import LogReader
from clicklake.logs.source import reader_options
from clicklake.parse import texts
from fuzz import check, fuzzed

FULL = int(os.environ.get("TORTURE_COUNT", "0"))
SEED = int(os.environ.get("TORTURE_SEED", "1"))
# Found by earlier runs: a CR at the end of a file that no LF follows; a header after a border.
FOUND: tuple[hostile.Files, ...] = (
    {"user_updates": {"f": b'2018-04-01 12:00:00,1,a@b,"n",production\r'}},
    {"clickstream": {"f": b"anonymous_user_id,url,time,browser,os,screen_resolution\r"}},
    {"clickstream": {"f": b"\n\t\nanonymous_user_id,url,time,browser,os,screen_resolution\nx\n"}},
)


# ------------------------------------------------------------------ mutations


@pytest.fixture(params=["compiled", "Python"])
def reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Small files as well are read by compiled code, or large ones by Python."""
    monkeypatch.setattr(texts, "_INTERPRETED", -1 if request.param == "compiled" else 1 << 60)
    return request.param


def test_mutated_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reading: str) -> None:
    rng = Random(f"{SEED} parser {reading}")
    fates: Counter[str] = Counter()
    for number in range(25 * FULL or 150):
        chunk = rng.choice((7, 64, 1000, 8 << 20))  # borders of chunks fall anywhere
        monkeypatch.setattr(storage, "CHUNK", chunk)
        root = tmp_path / str(number)
        files = fuzzed(rng)
        try:
            found = check(
                root,
                files,
                multiline=rng.randrange(3) == 0,
                split_bytes=rng.choice((1, 50, 300, 64 << 20)),
                tasks=rng.randrange(4),
                buckets=rng.choice((0, 1, 3)),
            )
        except BaseException:
            print(f"file {number} of seed {SEED}: {files!r}")
            raise
        fates.update(found)
    print(dict(fates))
    assert fates.keys() >= {"kept", "filtered", "wrong_field_count", "malformed_json", "refused"}


def test_batches_hold_no_memory_of_numpy(tmp_path: Path) -> None:
    """Sail frees a batch in a thread that must not need Python's lock; see `batches.owned`."""
    lines = b"".join(b"v%d,/a,%d,b,o,1x1\n" % (n, 1_522_540_800 + n) for n in range(75_000))
    (tmp_path / "f").write_bytes(
        b"anonymous_user_id,url,time,browser,os,screen_resolution\n" + lines
    )
    files = storage.open_storage(str(tmp_path)).list()
    given = reader_options("clickstream", str(tmp_path), files, as_of=hostile.AS_OF)
    reader = LogReader(given)
    # Memory of NumPy may begin at such a place by chance, but not five times.
    batches = [b for part in reader.partitions() for _ in range(5) for b in reader.read(part)]
    assert sum(batch.num_rows for batch in batches) == 5 * 75_001  # and the summary
    buffers = [b for batch in batches for column in batch.columns for b in column.buffers() if b]
    assert all(buffer.address % 64 == 0 for buffer in buffers)  # as Arrow allocates it


def test_no_more_partitions_than_tasks(tmp_path: Path) -> None:
    """Sail reads all partitions at once: their number is what bounds its memory."""
    (tmp_path / "f").write_bytes(_GOOD * 50)
    (tmp_path / "g").write_bytes(_GOOD * 30)
    place = storage.open_storage(str(tmp_path))

    def splits(tasks: int) -> tuple[int, list[object]]:
        given = reader_options(
            "page_views",
            place.root,
            place.list(),
            as_of=hostile.AS_OF,
            split_bytes=500,
            tasks=tasks,
        )
        parts = LogReader(given).partitions()
        every = [split for part in parts for split in part.value[1]]
        return len(parts), sorted(every, key=lambda split: (split.file.path, split.start))

    most, every = splits(0)
    assert most > 7
    for tasks in (1, 2, 7):
        assert splits(tasks) == (tasks, every)
    assert splits(1000) == (most, every)


@pytest.mark.parametrize("number", range(len(FOUND)))
@pytest.mark.parametrize("split_bytes", [1, 64 << 20])
def test_what_was_found_before(tmp_path: Path, number: int, split_bytes: int, reading: str) -> None:
    check(tmp_path, FOUND[number], multiline=False, split_bytes=split_bytes)


# ------------------------------------------------------------------ files that want memory

_MB = 1 << 20
_GOOD = b'{"ts":"2018-04-01T12:00:00Z","url":"/a","environment":"production","user_id":1}\n'
_HEADER = b"anonymous_user_id,url,time,browser,os,screen_resolution\n"

HUGE: dict[str, tuple[str, Callable[[], bytes], dict[str, int]]] = {
    "one line of 100 MB": (
        "page_views", lambda: b'{"x":"' + b"x" * (100 * _MB) + b'"}\n' + _GOOD,
        {"record_too_long": 1, "good": 1}),
    "one CSV line of 100 MB, never ended": (
        "user_updates", lambda: b'"' + b"a," * (50 * _MB), {"record_too_long": 1}),
    "a header of 100 MB": ("clickstream", lambda: b"x" * (100 * _MB), {"refused": 1}),
    "50 MB of NUL": ("clickstream", lambda: _HEADER + b"\0" * (50 * _MB), {"record_too_long": 1}),
    "a million columns": (
        "user_updates", lambda: b"," * 1_000_000 + b"\n" + b"," * 999_999,
        {"wrong_field_count": 2}),
    "a header of half a million columns": (
        "clickstream", lambda: _HEADER[:-1] + b",x" * 500_000 + b"\n" + b"v,/a\n" * 3,
        {"wrong_field_count": 3}),
    "nested 100,000 deep": (
        "page_views",
        lambda: b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
        + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"\n" + _GOOD,
        {"malformed_json": 2, "good": 1}),
    "16 MB of quotes": ("clickstream", lambda: _HEADER + b'"' * (16 * _MB),
                        {"record_too_long": 1}),
    "64 MB of line ends": ("user_updates", lambda: b"\n" * (64 * _MB), {}),
    "8 MB of tiny bad lines": ("user_updates", lambda: b"x\n" * (4 * _MB),
                               {"wrong_field_count": 4 * _MB}),
    "8 MB of tiny bad JSON": ("page_views", lambda: b"1\n" * (4 * _MB),
                              {"not_an_object": 4 * _MB}),
}  # fmt: skip
SHORT = ("one line of 100 MB", "a million columns", "nested 100,000 deep", "16 MB of quotes")


@pytest.fixture(scope="module")
def measure() -> Iterator[parser_memory.Measure]:
    with parser_memory.measuring() as measured:
        yield measured


@pytest.mark.slow
@pytest.mark.parametrize("case", HUGE if FULL else SHORT)
def test_huge_things_take_little_memory(
    tmp_path: Path, measure: parser_memory.Measure, case: str
) -> None:
    """At most 400 MB beside what the parser takes at rest, whatever the file holds."""
    source, make, expected = HUGE[case]
    (tmp_path / "f").write_bytes(make())
    found, megabytes = measure(tmp_path, source)
    (tmp_path / "f").unlink()
    print(case, found, f"{megabytes} MB")
    assert found == expected
    assert megabytes < 400
