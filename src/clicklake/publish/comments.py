"""What a table and its columns mean, as comments that PostgreSQL and DuckDB keep."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from clicklake.derive.fields import meaning


def statements(kind: str, path: str, comment: str, schema: pa.Schema) -> Iterator[str]:
    """`comment on …` for a `table` or `view`, whose name is quoted already, and its columns."""
    yield f"comment on {kind} {path} is {_quoted(comment)}"
    for field in schema:
        if text := meaning(field):
            yield f'comment on column {path}."{field.name}" is {_quoted(text)}'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
