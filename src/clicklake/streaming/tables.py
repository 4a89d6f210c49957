"""A table of a SQL database, and its rows as Arrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

Row = tuple[Any, ...]

ARROW_TYPES = {
    "TEXT": pa.string(),
    "BIGINT": pa.int64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us"),
}


@dataclass(frozen=True)
class SqlTable:
    """A table: {column: SQL type}, of which the first `key` are the key; none is ever null."""

    name: str
    key: int
    columns: dict[str, str]

    @property
    def schema(self) -> pa.Schema:
        """Its columns in Arrow; times are UTC, without a zone."""
        return pa.schema({name: ARROW_TYPES[kind] for name, kind in self.columns.items()})

    def create(self) -> str:
        columns = ", ".join(f'"{name}" {kind} NOT NULL' for name, kind in self.columns.items())
        return f"CREATE TABLE IF NOT EXISTS {self.name} ({columns}, PRIMARY KEY ({self._key()}))"

    def of(self, rows: Sequence[Row]) -> pa.Table:
        """Rows of this table."""
        columns = zip(*rows, strict=True) if rows else [()] * len(self.columns)
        pairs = zip(columns, self.schema.types, strict=True)
        return pa.table([pa.array(column, kind) for column, kind in pairs], schema=self.schema)

    def table(self, *columns: str | np.ndarray | pa.Array | list) -> pa.Table:
        """Columns as this table has them; a text stands for a column that has it in each row."""
        size = max(len(column) for column in columns if not isinstance(column, str))
        full = [pa.repeat(c, size) if isinstance(c, str) else pa.array(c) for c in columns]
        return pa.table(full, list(self.columns)).cast(self.schema)

    def insert(self, source: str) -> str:
        """SQL that inserts the rows of `source`."""
        columns = ", ".join(f'"{name}"' for name in self.columns)
        return f"INSERT INTO {self.name} ({columns}) {source}"

    def upsert(self, source: str, changes: dict[str, str]) -> str:
        """SQL that inserts the rows of `source`; for a row that is there, it sets `changes`."""
        sets = ", ".join(f'"{name}" = {value}' for name, value in changes.items())
        return f"{self.insert(source)} ON CONFLICT ({self._key()}) DO UPDATE SET {sets}"

    def replacing(self) -> dict[str, str]:
        """The changes that make a row what was given."""
        return {name: f'excluded."{name}"' for name in list(self.columns)[self.key :]}

    def _key(self) -> str:
        return ", ".join(f'"{name}"' for name in list(self.columns)[: self.key])
