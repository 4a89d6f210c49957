"""The parser alone, on mutated files: every record has the fate that the oracle gives it.

TORTURE_COUNT scales the number of files (50 for each of its count, other ones for each way of
reading), TORTURE_SEED seeds them.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hostile
import oracle
import parser_memory
from clicklake import sources, storage, visits
from clicklake.parse import rows, texts

FULL = int(os.environ.get("TORTURE_COUNT", "0"))
SEED = int(os.environ.get("TORTURE_SEED", "1"))
# Found by earlier runs: a CR at the end of a file that no LF follows; a header after a border.
FOUND: tuple[hostile.Files, ...] = (
    {"user_updates": {"f": b'2018-04-01 12:00:00,1,a@b,"n",production\r'}},
    {"clickstream": {"f": b"anonymous_user_id,url,time,browser,os,screen_resolution\r"}},
    {"clickstream": {"f": b"\n\t\nanonymous_user_id,url,time,browser,os,screen_resolution\nx\n"}},
)
ROWS = {"user_updates": 4, "page_views": 3, "clickstream": 6}  # columns that the parser makes
SESSION_ID = {"clickstream": 15, "sessions": 0}  # where it stands; the oracle has its two parts
RULES = visits.Rules(gap_minutes=30, bot_views_per_minute=60)


@dataclass
class Found:
    """What the parser made of one source's files, in the oracle's form."""

    read: int = 0
    filtered: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    quarantine: list[tuple[Any, ...]] = field(default_factory=list)
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def read(
    root: Path,
    source: str,
    *,
    multiline: bool = False,
    split_bytes: int = 64 << 20,
    tasks: int = 0,
    buckets: int = 0,
) -> Found:
    """Read a source's folder by the data source's reader, without an engine.

    `buckets`: in how many the reader puts the events itself, 0 if it yields them.
    """
    place = storage.open_storage(str(root))
    files = [
        info
        for info in place.list()
        if info.size and not any(part[0] in "._" for part in info.path.split("/"))
    ]
    given = sources.options(
        source,
        place.root,
        files,
        as_of=hostile.AS_OF,
        multiline=multiline,
        split_bytes=split_bytes,
        tasks=tasks,
        lake=str(root.with_name(f"{root.name}-landed")),
        into=("buckets", buckets) if buckets else None,
    )
    reader = sources.LogReader(given)
    found, splits, bad = Found(), [], []
    for partition in reader.partitions():
        for batch in reader.read(partition):
            _take(source, batch, found, splits, bad)
    for info in storage.open_storage(reader.lake).list() if buckets else ():
        landed = pq.read_table(Path(reader.lake) / info.path, partitioning=None)
        found.rows += _plain(landed.select(rows.SOURCES[source].schema.names[: ROWS[source]]))
    bases = sources.line_bases(splits)
    found.refused = {split.file: split.refused for split in splits if split.refused}
    found.quarantine = sorted(
        (source, file, line + bases[file, start], reason, raw)
        for file, start, line, reason, raw in bad
        if file not in found.refused
    )
    found.read = sum(split.read for split in splits if split.file not in found.refused)
    found.filtered = sum(split.filtered for split in splits if split.file not in found.refused)
    for split in splits:
        if split.file not in found.refused:
            found.reasons.update(split.reasons)
    return found


def _take(
    source: str,
    batch: pa.RecordBatch,
    found: Found,
    splits: list[sources.SplitSummary],
    bad: list[tuple[Any, ...]],
) -> None:
    names = rows.SOURCES[source].schema.names[: ROWS[source]]
    meta = batch.select(["_file", "_start", "_line", "_reason", "_raw", "_summary"]).to_pylist()
    if meta and meta[0]["_summary"]:
        splits.extend(sources.SplitSummary(**json.loads(row["_summary"])) for row in meta)
    elif meta and meta[0]["_reason"]:
        bad.extend(tuple(row.values())[:5] for row in meta)
    else:
        found.rows += _plain(pa.Table.from_batches([batch.select(names)]))


def check(
    root: Path,
    files: hostile.Files,
    *,
    multiline: bool,
    split_bytes: int,
    tasks: int = 0,
    buckets: int = 0,
) -> Counter[str]:
    """Compare parser and oracle over `files`; the fates that occurred."""
    hostile.write(files, root)
    expected = oracle.compute(files, hostile.AS_OF, multiline=multiline)
    fates: Counter[str] = Counter()
    for source in files:
        found = read(
            root / hostile.FOLDERS[source],
            source,
            multiline=multiline,
            split_bytes=split_bytes,
            tasks=tasks,
            buckets=buckets,
        )
        refused = {path for at, path, _ in expected.refused if at == source}
        assert set(found.refused) == refused
        books = expected.books[source]
        good = found.read - found.filtered - sum(found.reasons.values())
        assert (found.read, found.filtered) == (books["read"], books["filtered"])
        assert good == books["kept"] + books["duplicate"]
        assert found.reasons == expected.reasons[source]
        bad = [row for row in expected.quarantine if row[0] == source]
        assert found.quarantine == bad
        if not refused:  # rows of a file that is refused later on are never used
            wanted = {row[: ROWS[source]] for row in expected.tables[source]}
            assert set(found.rows) == wanted
            assert len(found.rows) == good
            if source == "clickstream":
                _check_visits(found.rows, expected.tables)
        fates.update(found.reasons)
        fates.update(kept=good, filtered=found.filtered, refused=len(refused))
    return fates


def _check_visits(events: list[tuple[Any, ...]], expected: dict[str, list[oracle.Row]]) -> None:
    """Labels and sessions of the parsed events, without an engine."""
    arrays = [list(column) for column in zip(*events, strict=True)] or [[] for _ in visits.CLICKS]
    table = pa.table(
        [*map(pa.array, arrays, visits.CLICKS.types), pa.nulls(len(events), visits.TIMESTAMP)],
        schema=visits.EVENTS,
    )
    found = visits.Visits(table, RULES)
    for name, parts in (("clickstream", found.clickstream()), ("sessions", found.sessions())):
        at = SESSION_ID[name]
        made = []
        for month, part in parts:
            for row in _plain(part):
                visitor, _, start = row[at].rpartition("-")
                made.append((*row[:at], (visitor, int(start)), *row[at + 1 :], *month))
        assert sorted(map(repr, made)) == sorted(map(repr, expected[name])), name


def _plain(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    columns = [
        column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        for column in table.columns
    ]
    return zip(*(column.to_pylist() for column in columns), strict=True)


# ------------------------------------------------------------------ mutations

_TOKENS = (
    *(b'"', b'""', b",", b"\n", b"\r", b"\r\n", b"\0", b"\t", b" ", b"\\", b"/", b"'", b"{", b"}"),
    *(b"[", b"]", b":", b"\xef\xbb\xbf", b"\xff", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98\x80", b"-"),
    *(b"\xed\xa0\x80", b"\xc0\xaf", b"\x85", b"\xe2\x80\xa8", b"\x1a", b"\x0b", b"\x0c", b"e9"),
    *(b"null", b"true", b"NaN", b"1e999", b"\\u0000", b"\\ud800", b"\\", b"production", b"%00"),
)
_ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "utf-7", "latin-1", "cp1252", "shift-jis", "cp037")


def _flip(rng: Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def _insert(rng: Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(_TOKENS) * rng.choice((1, 1, 1, 2, 40)) + data[at:]


def _cut(rng: Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.choice((1, 1, 2, 10, 1000)) :]


def _repeat(rng: Random, data: bytes) -> bytes:
    at, size = rng.randrange(len(data)), rng.choice((1, 5, 50, 500))
    return data[:at] + data[at : at + size] * rng.choice((2, 3, 20)) + data[at + size :]


def _swap(rng: Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def _encode(rng: Random, data: bytes) -> bytes:
    text = data.decode("utf-8", "replace")
    return text.encode(rng.choice(_ENCODINGS), "replace")


_MUTATIONS = (_flip, _flip, _insert, _insert, _cut, _repeat, _swap, _encode)


def mutated(rng: Random, data: bytes) -> bytes:
    for _ in range(rng.choice((0, 1, 1, 2, 4, 16))):
        if data:
            data = rng.choice(_MUTATIONS if rng.randrange(8) else _MUTATIONS[:4])(rng, data)
    return data


def fuzzed(rng: Random) -> hostile.Files:
    """One source with one plain file, mutated."""
    source = rng.choice(list(hostile.FOLDERS))
    records = [hostile._record(rng, source) for _ in range(rng.randrange(12))]
    text = hostile._file(rng, source, records, rng.randrange(20) == 0)
    return {source: {"f": mutated(rng, text)}}


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
    given = sources.options("clickstream", str(tmp_path), files, as_of=hostile.AS_OF)
    reader = sources.LogReader(given)
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
        given = sources.options(
            "page_views",
            place.root,
            place.list(),
            as_of=hostile.AS_OF,
            split_bytes=500,
            tasks=tasks,
        )
        parts = sources.LogReader(given).partitions()
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
