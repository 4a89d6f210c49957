"""Parquet files for each table and month, written by one task."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from clicklake.lake import Month
from clicklake.storage import Storage

# Rows are in the order of visitors: without a dictionary these are smaller, and quicker to write.
_IN_RUNS = ("anonymous_user_id", "session_id")


@dataclass(frozen=True)
class _File:
    """A file that is being written; `ending` closes it and puts it where it belongs."""

    writer: pq.ParquetWriter
    place: Path
    ending: ExitStack


class MonthWriters:
    """Parquet files for each table and month; what is written at once is a row group."""

    def __init__(self, stack: ExitStack, storage: Storage, folder: str, target_bytes: int) -> None:
        self.paths: list[str] = []
        self._open: dict[tuple[str, Month], _File] = {}
        self._stack = stack
        self._storage = storage
        self._folder = folder
        self._target_bytes = target_bytes

    def write(self, table: str, month: Month, rows: pa.Table) -> None:
        if (table, month) not in self._open:
            self._open[table, month] = self._opened(table, month, rows.schema)
        self._open[table, month].writer.write_table(rows)

    def end_bucket(self) -> None:
        """Close the files that are large enough: a visitor's rows stay together."""
        for key, file in list(self._open.items()):
            if file.place.stat().st_size >= self._target_bytes:
                file.ending.close()
                del self._open[key]

    def _opened(self, table: str, month: Month, schema: pa.Schema) -> _File:
        folder = f"{self._folder}/{table}/year={month[0]}/month={month[1]}"
        path = f"{folder}/{uuid.uuid4().hex}.parquet"  # a task may be tried twice
        self.paths.append(path)
        ending = self._stack.enter_context(ExitStack())
        place = ending.enter_context(self._storage.writing(path))
        texts = [field.name for field in schema if pa.types.is_dictionary(field.type)]
        writer = pq.ParquetWriter(
            place,
            schema,
            compression="zstd",
            compression_level=1,
            store_schema=False,
            # In the order of visitors a text's least and greatest value exclude nothing.
            write_statistics=[f.name for f in schema if f.name not in texts],
            use_dictionary=[name for name in texts if name not in _IN_RUNS],
        )
        return _File(ending.enter_context(writer), place, ending)
