"""Reading splits: rows, quarantined records and summaries."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import date
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql.datasource import DataSourceReader, InputPartition

from clicklake.buckets import Landing
from clicklake.config import SHAPES
from clicklake.engines.batches import owned
from clicklake.errors import AccessError, ClicklakeError
from clicklake.lake import STATE_FOLDER
from clicklake.lake.privacy import Forgotten
from clicklake.logs.diagnosis import has_header
from clicklake.logs.files import RefusedError, Tap, compression, decompressed
from clicklake.logs.headers import HEAD, Header, without_end, without_header
from clicklake.logs.schema import landing_schema
from clicklake.logs.splits import Split, line_start, packed, shared, split_text_bytes
from clicklake.logs.summary import SplitSummary
from clicklake.parse import csv, fields, rows
from clicklake.parse.blocks import blocks, without_bom
from clicklake.parse.sources import shaped
from clicklake.parse.texts import expect
from clicklake.progress import WORK
from clicklake.storage import CHUNK, FileInfo, Storage, open_storage

_NAMES, _NAME = 100, 200  # unknown columns that are told of, and characters of each


class LogReader(DataSourceReader):
    """Plans splits and reads them; all state is plain, so that it travels to any worker."""

    def __init__(self, given: dict[str, str]) -> None:
        self.source = shaped(given["source"], SHAPES[given["source"]](**json.loads(given["shape"])))
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
        groups = shared(splits, self.tasks) if self.tasks else packed(splits, self.split_bytes)
        return [InputPartition(numbered) for numbered in enumerate(groups)]

    def _storage(self, info: FileInfo) -> Storage:
        """Where a file is: below the source's folder, or one that was replayed, in the lake."""
        return open_storage(self.lake if info.path.startswith(f"{STATE_FOLDER}/") else self.root)

    def _splits(self, storage: Storage, info: FileInfo) -> Iterator[Split]:
        is_whole = self.multiline or compression(info.path)
        size = self._split_size()
        start = 0
        while not is_whole and info.size - start > size * 3 // 2:
            end = line_start(storage, info, start + size)
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
        expect(sum(map(split_text_bytes, splits)))
        with ExitStack() as stack:
            landing = None
            if self.into:
                storage = open_storage(self.lake)
                landing = Landing(stack, storage, self.source, *self.into, task=number)
            for split in splits:
                yield from self._read_split(split, landing)
            if landing:
                landing.flush()

    def _read_split(self, split: Split, landing: Landing | None) -> Iterator[pa.RecordBatch]:
        summary = SplitSummary(split.file.path, split.start, split.end)
        try:
            yield from self._rows(split, summary, landing)
        except RefusedError as error:
            summary.refused = str(error)
            summary.damaged = True
        except ClicklakeError as error:
            summary.refused = str(error).partition(": ")[2] or str(error)
            summary.denied = isinstance(error, AccessError)
        yield self._batch({"_summary": [json.dumps(asdict(summary))]})

    def _rows(
        self, split: Split, summary: SplitSummary, landing: Landing | None
    ) -> Iterator[pa.RecordBatch]:
        source = self.source
        storage = self._storage(split.file)
        stored = Tap(storage.chunks(split.file, split.start, split.end), tell=WORK.add)
        text = decompressed(stored, split.file.path)
        layout = self._layout(storage, split) if source.header else None
        header_done = layout is None or split.start >= layout.end
        rest = b""
        for block, final in _with_final(blocks(without_bom(text) if split.start == 0 else text)):
            data, skipped = block, 0
            if not header_done:
                data, skipped, header_done = without_header(block, source.dialect)
                summary.lines += skipped
            if split.start == 0 and not summary.read:
                summary.has_header = has_header(source, block[:HEAD])
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
            summary.unknown_columns = [name[:_NAME] for name in layout.unknown[:_NAMES]]
            summary.unknown_count = len(layout.unknown)
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
            parsed = self.forgotten.without(self.source.name, parsed)
        base = summary.lines - rest_before.count(b"\n")
        summary.lines = base + parsed.line_ends
        summary.read += parsed.read
        WORK.add(0, rows=parsed.read)
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

    def _layout(self, storage: Storage, split: Split) -> Header | None:
        """The file's header, read from its start whichever split this is."""
        names, dialect = self.source.header, self.source.dialect
        end = 0
        for line in self._first_lines(storage, split.file):
            end += len(line)
            record = without_end(line)
            if not dialect.is_blank(record):
                try:
                    return Header(*csv.header(record, names, dialect), end)
                except ValueError as error:
                    raise RefusedError(str(error)) from None
        positions = {name: at for at, name in enumerate(names)}
        return Header(csv.Layout(len(positions), positions, dialect), [], end)  # blank lines only

    def _first_lines(self, storage: Storage, file: FileInfo) -> Iterator[bytes]:
        """The lines of a file, of which few are asked for: at first only its head is read."""
        if compression(file.path) is None and file.size > HEAD:
            head = b"".join(without_bom(storage.chunks(file, 0, HEAD)))
            lines = head[: head.rfind(b"\n") + 1]
            dialect = self.source.dialect
            if any(not dialect.is_blank(without_end(line)) for line in io.BytesIO(lines)):
                yield from io.BytesIO(lines)
                return
        text = decompressed(Tap(storage.chunks(file)), file.path, HEAD)
        for block in blocks(without_bom(text)):
            yield from io.BytesIO(block)

    def _batch(
        self, meta: dict[str, list[Any]], events: pa.RecordBatch | None = None
    ) -> pa.RecordBatch:
        """A batch of the landing schema: events, or rows about them."""
        schema = landing_schema(self.source.name)
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


def _with_final(items: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Every item, and whether it is the last."""
    previous: bytes | None = None
    for item in items:
        if previous is not None:
            yield previous, False
        previous = item
    if previous is not None:
        yield previous, True


def _months(events: pa.RecordBatch) -> set[tuple[int, int]]:
    """The UTC months of the events' times."""
    column = next(column for column in events.columns if pa.types.is_timestamp(column.type))
    times = column.cast(pa.int64()).to_numpy()
    months = fields.months(np.array([times.min(), times.max()]))
    if months[0] != months[1]:
        months = np.unique(fields.months(times))
    return {fields.year_and_month(month) for month in months.tolist()}
