"""The three sources as a Spark Python Data Source over the pure parser.

The data source `clicklake_logs` yields one row per event (`parse.rows.SOURCES[...].schema`) and
besides them, with all event columns null, one row per quarantined record (`_file`, `_start`,
`_line`, `_reason`, `_raw`) and one per split with what was counted in it (`_summary`, JSON).
`_line` counts from 1 at the split's start; `line_bases` turns it into a line of the file.
Where it is told to (`into`), it puts the events into buckets itself and yields the others alone.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import date
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition
from pyspark.sql.types import StructType

from clicklake.buckets import Landing
from clicklake.engines.batches import owned
from clicklake.errors import AccessError, ClicklakeError
from clicklake.lake import OURS
from clicklake.lake.privacy import Forgotten
from clicklake.parse import csv, fields, rows
from clicklake.parse.blocks import blocks, without_bom
from clicklake.parse.records import is_blank
from clicklake.parse.texts import expect
from clicklake.storage import CHUNK, FileInfo, Storage, open_storage

COMPRESSION = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
_PACKED = 8  # bytes of text in one of a compressed file, about
_HEAD = 1 << 16  # bytes in which a header is looked for at first

META = pa.schema(
    [
        ("_file", pa.string()),
        ("_start", pa.int64()),
        ("_line", pa.int64()),
        ("_reason", pa.string()),
        ("_raw", pa.string()),
        ("_summary", pa.string()),
    ]
)


@dataclass(frozen=True)
class Split:
    """A part of a file that begins and ends with a line, or a whole file."""

    file: FileInfo
    start: int
    end: int


@dataclass
class SplitSummary:
    """What was found in a split. `digest` is of the bytes as they are stored."""

    file: str
    start: int
    end: int
    lines: int = 0
    read: int = 0
    filtered: int = 0
    quarantined: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    months: list[tuple[int, int]] = field(default_factory=list)
    digest: str = ""
    ends_with_newline: bool = True
    unknown_columns: list[str] = field(default_factory=list)
    refused: str | None = None  # why the whole file cannot be trusted
    denied: bool = False  # … because it may not be read


def landing_schema(source: str) -> pa.Schema:
    """The columns of a source's rows, and those of quarantine and summaries."""
    return pa.schema([*rows.SOURCES[source].schema, *META])


def compression(path: str) -> str | None:
    """pyarrow's name of a file's compression, by its ending."""
    return next((name for end, name in COMPRESSION.items() if path.endswith(end)), None)


def text_bytes(path: str, size: int) -> int:
    """About how many bytes of text a file of a size holds."""
    return size * _PACKED if compression(path) else size


def line_bases(summaries: Iterable[SplitSummary]) -> dict[tuple[str, int], int]:
    """How many lines of its file come before each split, by file and start."""
    bases: dict[tuple[str, int], int] = {}
    lines: dict[str, int] = {}
    for split in sorted(summaries, key=lambda split: (split.file, split.start)):
        bases[split.file, split.start] = lines.get(split.file, 0)
        lines[split.file] = bases[split.file, split.start] + split.lines
    return bases


class LogSource(DataSource):
    """`spark.read.format("clicklake_logs")`, with options made by `options`."""

    @classmethod
    def name(cls) -> str:
        return "clicklake_logs"

    def schema(self) -> StructType:
        from pyspark.sql.pandas.types import from_arrow_schema

        return from_arrow_schema(landing_schema(self.options["source"]))

    def reader(self, schema: StructType) -> LogReader:
        return LogReader(self.options)


def options(
    source: str,
    root: str,
    files: Sequence[FileInfo],
    *,
    as_of: date,
    multiline: bool = False,
    split_bytes: int = 64 << 20,
    tasks: int = 0,
    lake: str = "",
    into: tuple[str, int] | None = None,
    forgotten: Forgotten | None = None,
) -> dict[str, str]:
    """The options of a read: plain text, as both engines carry them.

    `tasks`: so many partitions of about the same size, 0 for one of every `split_bytes`; for an
    engine that reads all of them at once. `lake`: the lake's root, for files that were replayed.
    `into`: a folder of the lake and a number of buckets; the readers put the events into these
    buckets themselves, and yield all else.
    """
    return {
        "source": source,
        "root": root,
        "files": json.dumps([[info.path, info.size, info.version] for info in files]),
        "as_of": as_of.isoformat(),
        "multiline": str(multiline and rows.SOURCES[source].format == "csv"),
        "split_bytes": str(split_bytes),
        "tasks": str(tasks),
        "lake": lake,
        "into": json.dumps(into),
        "forgotten": forgotten.to_json().decode() if forgotten else "",
    }


class LogReader(DataSourceReader):
    """Plans splits and reads them; all state is plain, so that it travels to any worker."""

    def __init__(self, given: dict[str, str]) -> None:
        self.source = given["source"]
        self.root = given["root"]
        self.lake = given["lake"]
        self.files = [FileInfo(*info) for info in json.loads(given["files"])]
        self.as_of = date.fromisoformat(given["as_of"])
        self.multiline = given["multiline"] == "True"
        self.split_bytes = int(given["split_bytes"])
        self.tasks = int(given["tasks"])
        self.into: tuple[str, int] | None = json.loads(given["into"])
        self.forgotten = Forgotten.from_json(given["forgotten"]) if given["forgotten"] else None

    def partitions(self) -> Sequence[InputPartition]:
        splits = chain.from_iterable(self._splits(self._storage(info), info) for info in self.files)
        groups = _shared(splits, self.tasks) if self.tasks else _packed(splits, self.split_bytes)
        return [InputPartition(numbered) for numbered in enumerate(groups)]

    def _storage(self, info: FileInfo) -> Storage:
        """Where a file is: below the source's folder, or one that was replayed, in the lake."""
        return open_storage(self.lake if info.path.startswith(f"{OURS}/") else self.root)

    def _splits(self, storage: Storage, info: FileInfo) -> Iterator[Split]:
        is_whole = self.multiline or compression(info.path)
        size = self._split_size()
        start = 0
        while not is_whole and info.size - start > size * 3 // 2:
            end = _line_start(storage, info, start + size)
            yield Split(info, start, end)
            start = end
        if start < info.size:
            yield Split(info, start, info.size)

    def _split_size(self) -> int:
        """Small enough that few tasks end at about the same time."""
        if not self.tasks:
            return self.split_bytes
        share = sum(info.size for info in self.files) // (4 * self.tasks)
        return min(self.split_bytes, max(share, CHUNK))

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        number, splits = partition.value
        expect(sum(map(_text_bytes, splits)))
        with ExitStack() as stack:
            landing = None
            if self.into:
                source = rows.SOURCES[self.source]
                landing = Landing(stack, open_storage(self.lake), source, *self.into, task=number)
            for split in splits:
                yield from self._read_split(split, landing)
            if landing:
                landing.flush()

    def _read_split(self, split: Split, landing: Landing | None) -> Iterator[pa.RecordBatch]:
        summary = SplitSummary(split.file.path, split.start, split.end)
        try:
            yield from self._rows(split, summary, landing)
        except _RefusedError as error:
            summary.refused = str(error)
        except ClicklakeError as error:
            summary.refused = str(error).partition(": ")[2] or str(error)
            summary.denied = isinstance(error, AccessError)
        yield self._batch({"_summary": [json.dumps(asdict(summary))]})

    def _rows(
        self, split: Split, summary: SplitSummary, landing: Landing | None
    ) -> Iterator[pa.RecordBatch]:
        source = rows.SOURCES[self.source]
        storage = self._storage(split.file)
        stored = _Tap(storage.chunks(split.file, split.start, split.end))
        text = _decompressed(stored, split.file.path)
        layout = self._layout(storage, split) if source.names else None
        header_done = layout is None or split.start >= layout.end
        rest = b""
        for block, final in _with_final(blocks(without_bom(text) if split.start == 0 else text)):
            data, skipped = block, 0
            if not header_done:
                data, skipped, header_done = _without_header(block)
                summary.lines += skipped
            parsed = rows.parse(
                source,
                rest + data,
                fields.time_range(self.as_of),
                layout.layout if layout else None,
                multiline=self.multiline,
                final=final,
                interners=landing.interners if landing else None,
            )
            yield from self._account(parsed, summary, landing, rest_before=rest)
            rest = parsed.rest
            summary.ends_with_newline = block.endswith(b"\n")
        if layout:
            summary.unknown_columns = layout.unknown
        summary.digest = stored.digest()

    def _account(
        self,
        parsed: rows.Parsed,
        summary: SplitSummary,
        landing: Landing | None,
        *,
        rest_before: bytes,
    ) -> Iterator[pa.RecordBatch]:
        if self.forgotten:
            parsed = self.forgotten.without(self.source, parsed)
        base = summary.lines - rest_before.count(b"\n")
        summary.lines = base + parsed.line_ends
        summary.read += parsed.read
        _add_rows_read(parsed.read)
        summary.filtered += parsed.filtered
        summary.quarantined += len(parsed.rejects.lines)
        for reason in parsed.rejects.reasons:
            summary.reasons[reason] = summary.reasons.get(reason, 0) + 1
        if parsed.rejects.lines:
            count = len(parsed.rejects.lines)
            yield self._batch(
                {
                    "_file": [summary.file] * count,
                    "_start": [summary.start] * count,
                    "_line": [base + line + 1 for line in parsed.rejects.lines],
                    "_reason": parsed.rejects.reasons,
                    "_raw": parsed.rejects.raws,
                }
            )
        if parsed.rows.num_rows:
            summary.months = sorted({*summary.months, *_months(parsed.rows)})
            if landing:
                landing.add(parsed.rows)
            else:
                yield self._batch({}, parsed.rows)

    def _layout(self, storage: Storage, split: Split) -> _Header | None:
        """The file's header, read from its start whichever split this is."""
        source = rows.SOURCES[self.source]
        end = 0
        for line in self._first_lines(storage, split.file):
            end += len(line)
            record = _without_end(line)
            if not is_blank(record):
                try:
                    return _Header(*csv.header(record, source.names), end)
                except ValueError as error:
                    raise _RefusedError(str(error)) from None
        positions = {name: at for at, name in enumerate(source.names)}
        return _Header(csv.Layout(len(positions), positions), [], end)  # blank lines only

    def _first_lines(self, storage: Storage, file: FileInfo) -> Iterator[bytes]:
        """The lines of a file, of which few are asked for: at first only its head is read."""
        if compression(file.path) is None and file.size > _HEAD:
            head = b"".join(without_bom(storage.chunks(file, 0, _HEAD)))
            lines = head[: head.rfind(b"\n") + 1]
            if any(not is_blank(_without_end(line)) for line in io.BytesIO(lines)):
                yield from io.BytesIO(lines)
                return
        text = _decompressed(_Tap(storage.chunks(file)), file.path, _HEAD)
        for block in blocks(without_bom(text)):
            yield from io.BytesIO(block)

    def _batch(
        self, meta: dict[str, list[Any]], events: pa.RecordBatch | None = None
    ) -> pa.RecordBatch:
        """A batch of the landing schema: events, or rows about them."""
        schema = landing_schema(self.source)
        count = events.num_rows if events else len(next(iter(meta.values())))
        given = dict(zip(events.schema.names, events.columns, strict=True)) if events else {}
        columns = [
            given.get(column.name)
            if column.name in given
            else pa.array(meta[column.name], column.type)
            if column.name in meta
            else pa.nulls(count, column.type)
            for column in schema
        ]
        return owned(pa.RecordBatch.from_arrays(columns, schema=schema))


@dataclass(frozen=True)
class _Header:
    layout: csv.Layout
    unknown: list[str]
    end: int  # how many bytes of text it and what is before it take, a byte order mark left out


class _RefusedError(Exception):
    """The whole file cannot be trusted."""


def _packed(splits: Iterable[Split], target: int) -> Iterator[list[Split]]:
    """Groups of splits of about `target` bytes, so that small files do not cost a task each."""
    group: list[Split] = []
    size = 0
    for split in splits:
        if group and size + split.end - split.start > target:
            yield group
            group, size = [], 0
        group.append(split)
        size += split.end - split.start
    if group:
        yield group


def _shared(splits: Iterable[Split], tasks: int) -> list[list[Split]]:
    """As many groups of splits, of about the same size; fewer if there are fewer splits."""
    groups: list[list[Split]] = [[] for _ in range(tasks)]
    sizes = [0] * tasks
    for split in sorted(splits, key=_text_bytes, reverse=True):
        least = sizes.index(min(sizes))
        groups[least].append(split)
        sizes[least] += _text_bytes(split)
    return [group for group in groups if group]


def _text_bytes(split: Split) -> int:
    return text_bytes(split.file.path, split.end - split.start)


def _line_start(storage: Storage, info: FileInfo, at: int) -> int:
    """Where the first line begins that begins at `at` or later."""
    step = 1 << 16
    for begin in range(at - 1, info.size, step):
        window = b"".join(storage.chunks(info, begin, min(begin + step, info.size)))
        newline = window.find(b"\n")
        if newline >= 0:
            return begin + newline + 1
    return info.size


class _Tap(io.RawIOBase):
    """Bytes in chunks as a file, and the digest of what went through."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._hash = hashlib.sha256()
        self._left = b""

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._hash.update(chunk)
            yield chunk

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self._left:
            chunk = next(self._chunks, b"")
            self._hash.update(chunk)
            self._left = chunk
        size = len(self._left) if size < 0 else size
        taken, self._left = self._left[:size], self._left[size:]
        return taken

    def digest(self) -> str:
        return self._hash.hexdigest()


def _decompressed(stored: _Tap, path: str, size: int = CHUNK) -> Iterator[bytes]:
    """The bytes of a file as text has them. A damaged compressed file is refused."""
    kind = compression(path)
    if kind is None:
        yield from stored
        return
    try:
        with pa.CompressedInputStream(pa.PythonFile(stored, mode="r"), kind) as stream:
            while chunk := stream.read(size):
                yield chunk
    except (OSError, EOFError) as error:
        raise _RefusedError(f"its {kind} data is damaged or cut short ({error})") from None


def _with_final(items: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Every item, and whether it is the last."""
    previous: bytes | None = None
    for item in items:
        if previous is not None:
            yield previous, False
        previous = item
    if previous is not None:
        yield previous, True


def _without_end(line: bytes) -> bytes:
    """A line without LF or CR LF; a CR that no LF follows belongs to the line."""
    return line[:-2] if line.endswith(b"\r\n") else line.removesuffix(b"\n")


def _without_header(block: bytes) -> tuple[bytes, int, bool]:
    """A block without its blank lines and header at its start; how many lines went; if found."""
    at = lines = 0
    while at < len(block):
        end = block.find(b"\n", at) + 1 or len(block)
        record = _without_end(block[at:end])
        at, lines = end, lines + 1
        if not is_blank(record):
            return block[at:], lines, True
    return b"", lines, False


def _months(events: pa.RecordBatch) -> set[tuple[int, int]]:
    """The UTC months of the events' times."""
    column = next(column for column in events.columns if pa.types.is_timestamp(column.type))
    times = column.cast(pa.int64()).to_numpy()
    months = fields.months(np.array([times.min(), times.max()]))
    if months[0] != months[1]:
        months = np.unique(fields.months(times))
    return {fields.year_and_month(month) for month in months.tolist()}


_rows_read = 0  # in this process; with Sail that is all of them


def rows_read() -> int:
    return _rows_read


def reset_rows_read() -> None:
    global _rows_read  # noqa: PLW0603
    _rows_read = 0


def _add_rows_read(count: int) -> None:
    global _rows_read  # noqa: PLW0603
    _rows_read += count
