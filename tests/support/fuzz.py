"""Files changed at random, and what the readers make of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import hostile
import oracle
import respelt
from clicklake import storage
from clicklake.config import Shape
from clicklake.logs.reader import LogReader
from clicklake.logs.source import reader_options
from clicklake.logs.summary import SplitSummary, line_bases
from clicklake.parse import sources
from clicklake.rules import visits

ROWS = {"user_updates": 4, "page_views": 3, "clickstream": 6}  # columns that the parser makes


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
    shape: Shape | None = None,
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
    given = reader_options(
        source,
        place.root,
        files,
        as_of=hostile.AS_OF,
        shape=shape,
        multiline=multiline,
        split_bytes=split_bytes,
        tasks=tasks,
        lake=str(root.with_name(f"{root.name}-landed")),
        into=("buckets", buckets) if buckets else None,
    )
    reader = LogReader(given)
    found, splits, bad = Found(), [], []
    for partition in reader.partitions():
        for batch in reader.read(partition):
            _take(source, batch, found, splits, bad)
    for info in storage.open_storage(reader.lake).list() if buckets else ():
        landed = pq.read_table(Path(reader.lake) / info.path, partitioning=None)
        found.rows += _plain(landed.select(sources.SOURCES[source].schema.names[: ROWS[source]]))
    bases = line_bases(splits)
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
    splits: list[SplitSummary],
    bad: list[tuple[Any, ...]],
) -> None:
    names = sources.SOURCES[source].schema.names[: ROWS[source]]
    meta = batch.select(["_file", "_start", "_line", "_reason", "_raw", "_summary"]).to_pylist()
    if meta and meta[0]["_summary"]:
        splits.extend(SplitSummary(**json.loads(row["_summary"])) for row in meta)
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
    mapping: Mapping[str, Mapping[str, str]] | None = None,
) -> Counter[str]:
    """Compare parser and oracle over `files`; the fates that occurred."""
    hostile.write(files, root)
    expected = oracle.compute(files, hostile.AS_OF, multiline=multiline, mapping=mapping)
    fates: Counter[str] = Counter()
    for source in files:
        found = read(
            root / hostile.FOLDERS[source],
            source,
            multiline=multiline,
            split_bytes=split_bytes,
            tasks=tasks,
            buckets=buckets,
            shape=respelt.shape(source, (mapping or {}).get(source, {})),
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
        made = []
        for (year, month), part in parts:
            for values in _plain(part):
                row = dict(zip(part.schema.names, values, strict=True))
                visitor, _, start = row["session_id"].rpartition("-")
                row |= {"session_id": (visitor, int(start)), "year": year, "month": month}
                made.append(oracle.ROWS[name](**row))
        assert sorted(map(repr, made)) == sorted(map(repr, expected[name])), name


def _plain(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    columns = [
        column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        for column in table.columns
    ]
    return zip(*(column.to_pylist() for column in columns), strict=True)


_ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "utf-7", "latin-1", "cp1252", "shift-jis", "cp037")


_TOKENS = (
    *(b'"', b'""', b",", b"\n", b"\r", b"\r\n", b"\0", b"\t", b" ", b"\\", b"/", b"'", b"{", b"}"),
    *(b"[", b"]", b":", b"\xef\xbb\xbf", b"\xff", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98\x80", b"-"),
    *(b"\xed\xa0\x80", b"\xc0\xaf", b"\x85", b"\xe2\x80\xa8", b"\x1a", b"\x0b", b"\x0c", b"e9"),
    *(b"null", b"true", b"NaN", b"1e999", b"\\u0000", b"\\ud800", b"\\", b"production", b"%00"),
)


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
