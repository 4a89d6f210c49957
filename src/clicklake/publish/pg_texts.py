"""Rows as PostgreSQL can store them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from clicklake.publish.changes import Batches, Read


@dataclass
class StorableRows:
    """Rows as PostgreSQL can store them, and what was seen on the way."""

    read: Read
    longest: dict[str, int] = field(default_factory=dict)
    with_nul: int = 0

    def batches(self) -> Batches:
        for batch in self.read():
            columns = map(self._column, batch.schema, batch.columns)
            yield pa.RecordBatch.from_arrays(list(columns), schema=batch.schema)

    def warnings(self, table: str) -> list[str]:
        """What the user should know, once all rows were read."""
        if not self.with_nul:
            return []
        return [
            f"{table}: {self.with_nul} texts hold a NUL character, which PostgreSQL "
            "cannot store; there it is U+FFFD."
        ]

    def _column(self, meaning: pa.Field, values: pa.Array) -> pa.Array:
        if not pa.types.is_string(meaning.type):
            return values
        length = pc.max(pc.binary_length(values)).as_py() or 0
        self.longest[meaning.name] = max(length, self.longest.get(meaning.name, 0))
        nul = pc.sum(pc.match_substring(values, "\0")).as_py() or 0
        self.with_nul += nul
        return pc.replace_substring(values, "\0", "\ufffd") if nul else values
