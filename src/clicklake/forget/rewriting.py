"""Files without the rows of forgotten persons."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from html import escape

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clicklake.forget import steps
from clicklake.forget.staging import StagedFile, stage_file
from clicklake.lake import (
    RUNS,
    Lake,
    Ledger,
    LedgerFile,
    partition_values,
    privacy,
)
from clicklake.lake.draft import StateDraft
from clicklake.lake.parquet import open_parquet
from clicklake.lake.privacy import Forgotten, Person
from clicklake.lake.tables import Rewrite, Staged
from clicklake.logs.files import compression
from clicklake.logs.inputs import REPLAYED
from clicklake.parse.rows import CLICKS
from clicklake.schemas import CLICKSTREAM, TABLES, Table
from clicklake.storage import Storage


def stage(draft: StateDraft, forgotten: Forgotten, run_id: str) -> dict[str, int]:
    """Write every file that has rows of forgotten persons anew, without them, into staging.

    Returns how many rows go, by table.
    """
    lake = draft.lake
    gone_by_table: dict[str, int] = {}
    clicks: list[pa.RecordBatch] = []
    number = 0
    for table in TABLES.values():
        infos = {info.path: info for info in lake.storage.list(table.name)}
        for file in lake.manifest.files(table.name):
            content = open_parquet(lake.storage, infos[file.path])
            is_gone = partial(_is_gone, forgotten, partition_values(file.path).get("source"))
            going = [rows.filter(is_gone(rows)) for rows in content.iter_batches()]
            if not (gone := sum(map(len, going))):
                continue
            gone_by_table[table.name] = gone_by_table.get(table.name, 0) + gone
            if table is CLICKSTREAM:
                clicks += [rows.select(CLICKS.names).cast(CLICKS) for rows in going]
            staged = []
            if gone < file.rows:
                folder = file.path.rpartition("/")[0]
                live = f"{folder}/{run_id}-{number:05d}.parquet"
                staged.append(_rewrite(lake, table, content, is_gone, run_id, live))
                number += 1
            draft.put(table, Rewrite(Staged(table, tuple(staged)), [file]))
    if clicks:
        steps.stage(draft, pa.Table.from_batches(clicks), run_id)
    return gone_by_table


def _is_gone(forgotten: Forgotten, source: str | None, rows: pa.RecordBatch) -> pa.Array:
    """Which rows go: of quarantined ones, of which `source` tells, those whose text says so."""
    if source is None:
        return forgotten.in_rows(rows)
    return pa.array([forgotten.in_raw(source, raw) for raw in rows["raw"].to_pylist()])


def _rewrite(
    lake: Lake,
    table: Table,
    content: pq.ParquetFile,
    is_gone: Callable[[pa.RecordBatch], pa.Array],
    run_id: str,
    live: str,
) -> StagedFile:
    """Stage a copy of a file without the rows that go."""
    stay = (rows.filter(pc.invert(is_gone(rows))) for rows in content.iter_batches())
    return stage_file(lake, table, content.schema_arrow, stay, run_id, live)


def replayed(lake: Lake, forgotten: Forgotten) -> dict[str, bytes]:
    """Files of repaired rows that name forgotten persons, without those lines."""
    changed = {}
    for source in lake.ledger:
        for info in lake.storage.list(f"{REPLAYED}/{source}"):
            kind = compression(info.path)
            stored = b"".join(lake.storage.chunks(info))
            lines = pa.input_stream(pa.py_buffer(stored), kind).read().splitlines(keepends=True)
            stay = [
                line
                for line in lines
                if not forgotten.in_raw(source, line.decode(errors="replace"))
            ]
            if len(stay) < len(lines):
                sink = pa.BufferOutputStream()
                with pa.output_stream(sink, kind) as stream:
                    stream.write(b"".join(stay))
                changed[info.path] = sink.getvalue().to_pybytes()
    return changed


def ledger(known: Ledger, replayed: Mapping[str, bytes], run_id: str) -> Ledger:
    """The ledger with the files as they are now, so that no run takes them for changed."""

    def entry(path: str, file: LedgerFile) -> LedgerFile:
        data = replayed.get(path)
        if data is None:
            return file
        digest = hashlib.sha256(data).hexdigest()
        return replace(file, size=len(data), digests=((0, len(data), digest),), run_id=run_id)

    return {
        source: {path: entry(path, file) for path, file in files.items()}
        for source, files in known.items()
    }


def mask_reports(storage: Storage, person: Person) -> None:
    """Old reports show no addresses and no user ids; an odd visitor id may be in them."""
    names = [*person.emails, *(name for name in person.visitors if not name.isdecimal())]
    for info in storage.list(RUNS):
        if not info.path.endswith(".html"):
            continue
        page = (storage.read(info.path) or b"").decode()
        masked = privacy.masked(page, [*names, *map(escape, names)])
        if masked != page:
            storage.write(info.path, masked.encode())
