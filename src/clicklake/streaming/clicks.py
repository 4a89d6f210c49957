"""The lake's clickstream as the publisher reads it, in SQL of DuckDB."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clicklake import lake
from clicklake.lake import Snapshot
from clicklake.schemas import CLICKSTREAM
from clicklake.storage import arrow_filesystem
from clicklake.streaming.messages import TIME_FORMAT, event_id_sql

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ROWS = 10_000  # in a batch, and in a row group of an outbox

# Expressions over a click's columns: its time as a message has it, its id in bytes, and a digest of
# its labels.
TIME = f"strftime(make_timestamp(epoch_us(time)), '{TIME_FORMAT}')"
ID = f"unhex({event_id_sql(TIME)})"
LABEL = "md5_number_lower(concat_ws('|', is_bot, coalesce(bot_reason, ''), session_id))"


def clicks(snapshot: Snapshot, files: Sequence[str]) -> Any:
    """The rows of some files, for DuckDB to read."""
    import pyarrow.dataset as ds

    events = ds.dataset(
        list(files),
        schema=CLICKSTREAM.schema,
        format="parquet",
        filesystem=arrow_filesystem(snapshot.storage),
    )
    # Arrow's own way is to read far ahead of what is asked for.
    return events.scanner(batch_size=ROWS, batch_readahead=2, fragment_readahead=1)


def month_of(path: str) -> str:
    """The month of a file's folder, as 2018-04; folder names are not zero-padded."""
    if (month := lake.month_of(path)) is None:
        raise ValueError(f"{path} is not below year=/month=")
    return f"{month[0]:04d}-{month[1]:02d}"


@contextmanager
def duckdb_in(folder: Path) -> Iterator[DuckDBPyConnection]:
    """An in-memory DuckDB that puts what does not fit into 500 MB into a folder for a while."""
    import duckdb

    spill = folder / "spill"
    config: dict[str, Any] = {"memory_limit": "500MB", "temp_directory": str(spill)}
    with duckdb.connect(config=config) as connection:
        yield connection
    shutil.rmtree(spill, ignore_errors=True)
