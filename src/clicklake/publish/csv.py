"""CSV exports: RFC 4180, UTF-8, with a header, each file replaced at once.

Text that a spreadsheet would run as a formula gets an apostrophe before it, at the start of a
cell and after what would begin a cell where `;` or a tab separates them. Numbers, times and what
the lake and the databases hold are left as they are. Null is an empty cell.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clicklake.config import Config, Csv
from clicklake.lake import Snapshot
from clicklake.progress import WORK
from clicklake.publish.tables import lake_batches
from clicklake.schemas import PAGE_FOLLOWS, PAGE_RECOMMENDATIONS, USER_PAGE_VIEWS, Table
from clicklake.storage import Storage, is_s3, join, open_storage

TABLES = (USER_PAGE_VIEWS, PAGE_RECOMMENDATIONS, PAGE_FOLLOWS)
STATE = "_publication.json"  # what the folder holds, and of which run

# What makes a cell a formula, also in its full-width forms, with what programs skip before it.
_FORMULA = (
    r"(^|[;\t\r\n])"
    r"([\p{Z}\p{Cf}\x00-\x08\x0B\x0C\x0E-\x1F\"]*[=+\-@\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}])"
)
_STARTS_ODDLY = r"^([\t\r\n])"


def folder(config: Config) -> str:
    """Where the exports go: [CSV] FOLDER, or `csv` in the lake."""
    return config.csv.folder or join(config.datalake.output_data, "csv")


def publish(snapshot: Snapshot, config: Config) -> dict[str, object]:
    """Bring the exports to the state of `snapshot`, if they are not there yet.

    A table of which no file has changed keeps its exports.

    Returns `status` (`published`, `current`; `removed` where exports are switched off and some
    were left) and, if published, the `files` with their bytes.
    """
    storage = open_storage(folder(config))
    kept = storage.read(STATE)
    if not config.csv.enabled:
        if kept:
            _remove(storage, keep=())
        return {"status": "removed" if kept else "off"}
    sizes = {info.path: info.size for info in storage.list()}
    run_id, exports = _written(kept)
    keys = {table: _key(snapshot, table, config.csv) for table in TABLES}
    outdated = [table for table in TABLES if not _is_there(exports, table, keys[table], sizes)]
    if not outdated and run_id == snapshot.run_id:
        return {"status": "current"}
    with _workshop(storage) as work:
        made = []
        for table in outdated:
            new = _write(snapshot, table, config.csv, work)
            files = {file.name: file.stat().st_size for file in new}
            exports[table.name] = {"key": keys[table], "files": files}
            made += new
            WORK.add()
        for file in made:
            storage.upload(file.name, file)
    all_files = {name: size for each in exports.values() for name, size in each["files"].items()}
    _remove(storage, keep={STATE, *all_files})
    state = {"run_id": snapshot.run_id, "tables": exports}
    storage.write(STATE, json.dumps(state, indent=1).encode())
    return {"status": "published", "files": all_files}


_Exports = dict[str, dict[str, Any]]  # of each table what was exported (`key`), and its `files`


def _written(state: bytes | None) -> tuple[str | None, _Exports]:
    """The run of which there are exports, and what they are; nothing where it cannot be read."""
    try:
        found = json.loads(state or b"{}")
        tables = {table.name: found["tables"][table.name] for table in TABLES}
        return found["run_id"], {
            name: {"key": each["key"], "files": dict(each["files"])}
            for name, each in tables.items()
        }
    except (ValueError, TypeError, KeyError):
        return None, {}


def _is_there(exports: _Exports, table: Table, key: str, sizes: dict[str, int]) -> bool:
    known = exports.get(table.name, {"key": "", "files": {}})
    return bool(known["key"] == key and known["files"].items() <= sizes.items())


def _key(snapshot: Snapshot, table: Table, settings: Csv) -> str:
    """Changes when a table is to be exported again: its files, their columns, the settings."""
    files = [(file.path, file.rows, file.bytes) for file in snapshot.live(table.name)]
    return hashlib.sha256(repr((files, table.columns, settings)).encode()).hexdigest()


def lines(batch: pa.RecordBatch, neutralise: bool) -> pa.LargeStringArray:
    """Each row of a batch as one record, with its line end."""
    cells = [_cells(column, neutralise) for column in batch.columns]
    return _joined(_joined(*cells, by=","), "", by="\r\n")


def _joined(*columns: pa.Array | str, by: str) -> pa.LargeStringArray:
    """Text columns, or one text for all rows, joined row by row."""
    texts = [pa.scalar(c, pa.large_string()) if isinstance(c, str) else c for c in columns]
    return pc.binary_join_element_wise(*texts, pa.scalar(by, pa.large_string()))


def _cells(column: pa.Array, neutralise: bool) -> pa.Array:
    if pa.types.is_timestamp(column.type):
        time = column.cast(pa.timestamp(column.type.unit)).cast(pa.large_string())
        zone = "Z" if column.type.tz else ""
        return _joined(pc.replace_substring(time, " ", "T"), "", by=zone).fill_null("")
    if not pa.types.is_string(column.type):
        return column.cast(pa.large_string()).fill_null("")
    text = column.cast(pa.large_string()).fill_null("")
    if neutralise:
        text = pc.replace_substring_regex(text, _FORMULA, r"\1'\2")
        text = pc.replace_substring_regex(text, _STARTS_ODDLY, r"'\1")
    special = pc.match_substring_regex(text, '[",\r\n]')
    if not pc.any(special).as_py():
        return text
    quoted = _joined("", pc.replace_substring(text, '"', '""'), "", by='"')
    return pc.if_else(special, quoted, text)


@contextmanager
def _workshop(storage: Storage) -> Iterator[Path]:
    """A folder for unfinished files: hidden in the place itself, elsewhere for S3."""
    if is_s3(storage.root):
        with tempfile.TemporaryDirectory(prefix="clicklake-csv-") as elsewhere:
            yield Path(elsewhere)
        return
    work = Path(storage.root) / ".unfinished"
    shutil.rmtree(work, ignore_errors=True)  # of a run that was killed
    work.mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write(snapshot: Snapshot, table: Table, settings: Csv, work: Path) -> list[Path]:
    """A table's files, complete; none if the lake does not have the table."""
    made: list[Path] = []
    head = ",".join(table.columns).encode() + b"\r\n"
    texts = (lines(batch, settings.neutralise_formulas) for batch in lake_batches(snapshot, table))
    with ExitStack() as current:
        for begins, piece in pieces(texts, settings.split_mb * 1_000_000, len(head)):
            if begins:
                current.close()
                made.append(work / _name(table, settings, snapshot.seq, len(made) + 1))
                stream = current.enter_context(_opened(made[-1], settings.gzip))
                stream.write(head)
            stream.write(piece)
    return made


def pieces(
    texts: Iterable[pa.LargeStringArray], limit: int, head: int
) -> Iterator[tuple[bool, memoryview]]:
    """Records as bytes, and whether a new file begins with them.

    A file has at most `limit` bytes (0: any number) with the `head` bytes of its header, unless a
    single record is longer.
    """
    limit = limit or sys.maxsize
    size = limit  # so that the first record begins a file
    for text in texts:
        ends = np.frombuffer(text.buffers()[1], np.int64)[1 : len(text) + 1]
        data = memoryview(text.buffers()[2])
        record, start = 0, 0
        while record < len(ends):
            fitting = int(np.searchsorted(ends, start + limit - size, side="right"))
            begins = fitting <= record
            if begins:
                size = head
                room = np.searchsorted(ends, start + limit - size, side="right")
                fitting = max(int(room), record + 1)
            end = int(ends[fitting - 1])
            yield begins, data[start:end]
            size += end - start
            record, start = fitting, end


def _name(table: Table, settings: Csv, seq: int, part: int) -> str:
    """A part's name says of which commit it is, so that parts of two never look like one set."""
    number = f"-{seq:08d}-{part:04d}" if settings.split_mb else ""
    return f"{table.name}{number}.csv{'.gz' if settings.gzip else ''}"


@contextmanager
def _opened(path: Path, compress: bool) -> Iterator[BinaryIO | gzip.GzipFile]:
    with path.open("wb") as stream:
        if compress:
            with gzip.GzipFile("", "wb", fileobj=stream, mtime=0, compresslevel=6) as packed:
                yield packed
        else:
            yield stream


def _remove(storage: Storage, keep: Collection[str]) -> None:
    """Delete exports other than these."""
    names = "|".join(table.name for table in TABLES)
    ours = re.compile(rf"({names})(-\d{{8}}-\d{{4}})?\.csv(\.gz)?|{STATE}")
    paths = [info.path for info in storage.list()]
    storage.delete(path for path in paths if ours.fullmatch(path) and path not in keep)
