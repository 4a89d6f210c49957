"""Events on their way from a reader into buckets."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clicklake.buckets.partitioning import BUCKET
from clicklake.parse.interning import Interner, checksums
from clicklake.parse.rows import Source
from clicklake.rules.visits import CodedTexts
from clicklake.storage import Storage

_AT_ONCE = 1 << 20  # rows that a reader keeps until it writes them


_TEXTS_AT_ONCE = 1 << 25  # bytes of distinct texts that it keeps


class Landing:
    """Events on their way from a reader into buckets, some `_AT_ONCE` of them in memory.

    `task`: the reader's number among those of a run. What a reader that is started again writes
    takes the place of what it wrote before.
    """

    def __init__(
        self,
        stack: ExitStack,
        storage: Storage,
        source: Source,
        folder: str,
        buckets: int,
        *,
        task: int,
    ) -> None:
        texts = [field.name for field in source.schema if pa.types.is_string(field.type)]
        self.interners = {name: Interner() for name in texts}
        self._events: list[pa.RecordBatch] = []
        self._rows = 0
        self._writers: dict[int, pq.ParquetWriter] = {}
        self._stack = stack
        self._storage = storage
        self._person = source.person
        self._folder = folder
        self._buckets = buckets
        self._task = task

    def add(self, events: pa.RecordBatch) -> None:
        """Take events, their texts plain or as codes of the interners."""
        if self._events and self._events[0].schema != events.schema:
            self.flush()
        self._events.append(events)
        self._rows += events.num_rows
        size = sum(interner.size for interner in self.interners.values())
        if self._rows >= _AT_ONCE or size >= _TEXTS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what is there, bucket by bucket."""
        if not self._events:
            return
        events = pa.Table.from_batches(self._events)
        texts = {name: self._texts(name, events[name]) for name in self.interners}
        others = events.drop_columns(list(texts)).combine_chunks()
        numbers = self._numbers(events, texts)
        order = np.argsort(numbers, kind="stable")
        edges = np.cumsum(np.bincount(numbers, minlength=self._buckets))
        for bucket, at in enumerate(np.split(order, edges[:-1])):
            if len(at):
                columns = [
                    texts[name].take(at).to_arrow()
                    if name in texts
                    else others[name].take(pa.array(at))
                    for name in events.schema.names
                ]
                rows = pa.table(columns, events.schema.names)
                self._writer(bucket, rows.schema).write_table(rows)
        if any(pa.types.is_dictionary(type_) for type_ in events.schema.types):
            # Not after plain texts: codes may be on their way to `add`.
            self.interners.update({name: Interner() for name in self.interners})
        self._events.clear()
        self._rows = 0

    def _numbers(self, events: pa.Table, texts: dict[str, CodedTexts]) -> np.ndarray:
        """Each event's bucket."""
        if self._person in texts:
            persons = texts[self._person]
            numbers = (checksums(persons.values) % self._buckets)[persons.codes]
        else:
            numbers = np.mod(events[self._person].to_numpy(), self._buckets)
        return numbers.astype(np.uint16)

    def _texts(self, name: str, column: pa.ChunkedArray) -> CodedTexts:
        if not pa.types.is_dictionary(column.type):
            return CodedTexts.of(column)
        codes = pa.chunked_array([chunk.indices for chunk in column.chunks])
        return CodedTexts(codes.fill_null(-1).to_numpy(), self.interners[name].values)

    def _writer(self, bucket: int, schema: pa.Schema) -> pq.ParquetWriter:
        if bucket not in self._writers:
            path = f"{self._folder}/{BUCKET}={bucket}/{self._task}.parquet"
            place = self._stack.enter_context(self._storage.writing(path))
            writer = pq.ParquetWriter(
                place,
                schema,
                compression="none",
                use_dictionary=list(self.interners),
                write_statistics=False,
                store_schema=False,
            )
            self._writers[bucket] = self._stack.enter_context(writer)
        return self._writers[bucket]
