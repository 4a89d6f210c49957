"""The columns that readers yield."""

from __future__ import annotations

import pyarrow as pa

from clicklake.parse.sources import SOURCES

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


def landing_schema(source: str) -> pa.Schema:
    """The columns of a source's rows, and those of quarantine and summaries."""
    return pa.schema([*SOURCES[source].schema, *META])
