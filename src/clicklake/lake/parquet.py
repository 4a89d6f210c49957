"""Parquet files of tables, wherever they are stored: footers, rows, and what they must hold."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clicklake.errors import ClicklakeError
from clicklake.lake.manifest import LiveFile, Manifest
from clicklake.schemas import Table
from clicklake.storage import FileInfo, Storage


def stored_schema(storage: Storage, manifest: Manifest, table: Table) -> pa.Schema:
    """The columns of a table's live files; those of its declaration if it has none.

    Format 1 of the manifest does not tell them: there the files themselves are asked.
    """
    files = manifest.files(table.name)
    if not files:
        return table.schema
    if table.name in manifest.definitions:
        return manifest.definitions[table.name].schema
    info = FileInfo(files[0].path, files[0].bytes, "")
    stored = pq.read_metadata(pa.PythonFile(_Ranges(storage, info), mode="r"))
    return stored.schema.to_arrow_schema().remove_metadata()


def read_footer(storage: Storage, info: FileInfo) -> pq.FileMetaData:
    return pq.read_metadata(pa.PythonFile(_Ranges(storage, info), mode="r"))


def open_parquet(
    storage: Storage, info: FileInfo, dictionaries: Sequence[str] = ()
) -> pq.ParquetFile:
    """A file to read; the columns `dictionaries` are read as such."""
    stored = pa.PythonFile(_Ranges(storage, info), mode="r")
    return pq.ParquetFile(stored, read_dictionary=list(dictionaries) or None)


def audit_file(
    table: Table, file: LiveFile, footer: pq.FileMetaData, schema: pa.Schema | None = None
) -> None:
    """Raises ClicklakeError if a file is not what its table's declaration and folder say.

    `schema`: the columns, where another release made the file.
    """
    columns = schema or table.schema
    if footer.schema.names != columns.names:
        raise ClicklakeError(f"{file.path}: its columns are {footer.schema.names}.")
    for at in range(footer.num_row_groups):
        group = footer.row_group(at)
        for position, field in enumerate(columns):
            statistics = group.column(position).statistics
            if statistics is None:
                continue
            if not field.nullable and statistics.null_count:
                raise ClicklakeError(f"{file.path}: {field.name} holds null.")
            if field.name == table.time and statistics.has_min_max:
                _check_month(file, statistics.min, statistics.max)


def _check_month(file: LiveFile, first: Any, last: Any) -> None:
    for time in (first, last):
        if isinstance(time, datetime) and (time.year, time.month) != file.month:
            shown = time.replace(tzinfo=UTC).isoformat()
            raise ClicklakeError(f"{file.path}: holds a row of {shown}.")


class _Ranges(io.RawIOBase):
    """A stored file as a seekable one, read range by range."""

    def __init__(self, storage: Storage, info: FileInfo) -> None:
        self._storage = storage
        self._info = info
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._info.size}[whence]
        self._at = base + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._info.size if size < 0 else min(self._at + size, self._info.size)
        data = b"".join(self._storage.chunks(self._info, self._at, end)) if end > self._at else b""
        self._at += len(data)
        return data
