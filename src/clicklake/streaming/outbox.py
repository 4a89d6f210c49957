"""The events of one publication, frozen: what is sent does not change, whatever the lake does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from clicklake.streaming.messages import digest_of, retracts
from clicklake.streaming.stream import Outgoing

if TYPE_CHECKING:
    pass

HEADER = b"clicklake.publication"
ID = pa.schema([pa.field("id", pa.binary(), nullable=False)])
_NO_MONTH = ""  # of a retraction


@dataclass(frozen=True)
class Published:
    """What a stream holds for good: after `publication` publications, up to event `sequence`."""

    publication: int = 0
    sequence: int = 0
    run_id: str = ""
    seq: int = 0
    files: list[str] = field(default_factory=list)  # all of whose events are on the stream
    last_id: str = ""  # of event `sequence`; "" where an older release published it


class Outbox:
    """The events of one publication in their order, numbered from `first` on."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path)
        self.events: int = self._file.metadata.num_rows
        self.after = Published(**json.loads(self._file.metadata.metadata[HEADER]))
        self.first = self.after.sequence - self.events + 1

    def chunks(self, position: int, size: int) -> Iterator[list[Outgoing]]:
        """The events after sequence number `position`, `size` at a time."""
        events = self._events(position)
        while chunk := list(islice(events, size)):
            yield chunk

    def event_id(self, sequence: int) -> str:
        """The id of the event with that number, which must be one of these."""
        row = sequence - self.first
        for group in range(self._file.num_row_groups):
            rows = self._file.metadata.row_group(group).num_rows
            if row < rows:
                found: bytes = self._file.read_row_group(group, columns=["id"])["id"][row].as_py()
                return found.hex()
            row -= rows
        raise ValueError(f"no event {sequence}")

    def ids(self) -> Iterator[tuple[str, pa.Table]]:
        """(month, table of ids) for each month."""
        import pyarrow.compute as pc

        table = self._file.read(columns=["month", "id"])
        for month in pc.unique(table["month"]).to_pylist():
            rows = table.filter(pc.equal(table["month"], month))
            if month != _NO_MONTH:
                yield month, rows.select(["id"]).cast(ID)

    def retracted(self) -> set[str]:
        """The digests of the visitors whose events this publication takes back."""
        rows = self._file.read(columns=["month", "visitor"]).to_pylist()
        return {digest_of(row["visitor"]) for row in rows if row["month"] == _NO_MONTH}

    def _events(self, position: int) -> Iterator[Outgoing]:
        number = self.first
        for group in range(self._file.num_row_groups):
            rows = self._file.metadata.row_group(group).num_rows
            if number + rows - 1 > position:
                rows_ = self._file.read_row_group(group).to_pydict()
                # An outbox of an older release has no times.
                times = rows_.get("event_time") or repeat("", rows)
                columns = (*(rows_[name] for name in ("visitor", "message", "id", "month")), times)
                pairs = zip(*columns, strict=True)
                for n, (visitor, message, id_, month, time) in enumerate(pairs, number):
                    if n > position:
                        body = b'{"sequence":%d,%b' % (n, message[1:])
                        yield Outgoing(n, visitor, body, id_.hex(), time, month == _NO_MONTH)
            number += rows


def retractions(visitors: list[str]) -> pa.Table:
    """An outbox of retractions, as one of events has it."""
    return pa.table(
        {
            "id": pa.array([b""] * len(visitors), pa.binary()),
            "month": [_NO_MONTH] * len(visitors),
            "visitor": visitors,
            "event_time": [""] * len(visitors),
            "message": pa.array([retracts(visitor) for visitor in visitors], pa.binary()),
        }
    )
