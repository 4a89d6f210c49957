"""Files of forgotten persons' tables on their way into the lake, made without an engine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from clicklake.lake import STAGING, Lake, LiveFile, Snapshot
from clicklake.lake.parquet import audit_file
from clicklake.schemas import Table

StagedFile = tuple[str, LiveFile]  # where it is, and what it will be


def stage_file(
    lake: Lake,
    table: Table,
    schema: pa.Schema,
    rows: Iterable[pa.RecordBatch],
    run_id: str,
    live: str,
) -> StagedFile:
    """Stage a file of a table that will live under the name `live`.

    Raises ClicklakeError if it is not as the table's files in the lake are.
    """
    staged = f"{STAGING}/{run_id}/tables/{live}"
    with tempfile.TemporaryDirectory(prefix="clicklake-") as folder:
        local = Path(folder) / "part.parquet"
        with pq.ParquetWriter(local, schema, compression="zstd") as writer:
            for batch in rows:
                writer.write_batch(batch)
        footer = pq.read_metadata(local)
        file = LiveFile(live, footer.num_rows, local.stat().st_size)
        audit_file(table, file, footer, Snapshot(lake.storage, lake.manifest).schema(table))
        lake.storage.upload(staged, local)
    return staged, file
