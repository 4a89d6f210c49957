"""The events of one publication, frozen: what is sent does not change, whatever the lake does."""

from __future__ import annotations

import json
from bisect import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, chain, repeat
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clicklake.lake import Snapshot
from clicklake.streaming.clicks import ROWS
from clicklake.streaming.messages import digest_of, retracts
from clicklake.streaming.stream import Outgoing, outgoing

HEADER = b"clicklake.publication"
# What was said of an event: its id, and a digest of its labels, null where an older release said it
# or nothing holds any more.
SAID = pa.schema([pa.field("id", pa.binary(), nullable=False), pa.field("label", pa.uint64())])
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

    def with_rows(self, rows: int, snapshot: Snapshot, files: list[str]) -> Published:
        """After a publication of so many rows, of which there is none without any."""
        publication = self.publication + (1 if rows else 0)
        sequence = self.sequence + rows
        return Published(publication, sequence, snapshot.run_id, snapshot.seq, files)


class Outbox:
    """The events of one publication in their order, numbered from `first` on."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path)
        self.events: int = self._file.metadata.num_rows
        self.after = Published(**json.loads(self._file.metadata.metadata[HEADER]))
        self.first = self.after.sequence - self.events + 1
        sizes = [
            self._file.metadata.row_group(n).num_rows for n in range(self._file.num_row_groups)
        ]
        self._rows_before = [0, *accumulate(sizes)]

    def chunks(self, position: int, size: int) -> Iterator[list[Outgoing]]:
        """The events after sequence number `position`, `size` at a time."""
        waiting: list[Outgoing] = []
        for group in range(self._file.num_row_groups):
            waiting += self._events(group, position)
            while len(waiting) >= size:
                yield waiting[:size]
                waiting = waiting[size:]
        if waiting:
            yield waiting

    def event_id(self, sequence: int) -> str:
        """The id of the event with that number, which must be one of these."""
        row = sequence - self.first
        group = bisect(self._rows_before, row) - 1
        ids = self._file.read_row_group(group, columns=["id"])["id"]
        found: bytes = ids[row - self._rows_before[group]].as_py()
        return found.hex()

    def said(self) -> Iterator[tuple[str, pa.Table]]:
        """(month, what is said of its events, as `SAID`) for each month."""
        table = self._file.read(columns=["month", *SAID.names])
        if "label" not in table.column_names:
            table = table.append_column(SAID.field("label"), pa.nulls(len(table), pa.uint64()))
        for month in pc.unique(table["month"]).to_pylist():
            rows = table.filter(pc.equal(table["month"], month))
            if month != _NO_MONTH:
                yield month, rows.select(SAID.names).cast(SAID)

    def retracted(self) -> set[str]:
        """The digests of the visitors whose events this publication takes back."""
        rows = self._file.read(columns=["month", "visitor"])
        visitors = rows.filter(pc.equal(rows["month"], _NO_MONTH))["visitor"].to_pylist()
        return set(map(digest_of, visitors))

    def _events(self, group: int, position: int) -> Iterator[Outgoing]:
        """The events of a row group that come after `position`."""
        first = self.first + self._rows_before[group]
        last = self.first + self._rows_before[group + 1] - 1
        if last <= position:
            return iter(())
        numbers = range(max(first, position + 1), last + 1)
        rows = self._file.read_row_group(group).slice(numbers.start - first)
        pairs = zip(numbers, rows["message"].to_pylist(), strict=True)
        bodies = [b'{"sequence":%d,%b' % (number, message[1:]) for number, message in pairs]
        ids = map(bytes.hex, rows["id"].to_pylist())
        # An outbox of an older release has no times.
        is_timed = "event_time" in rows.column_names
        times = rows["event_time"].to_pylist() if is_timed else repeat("", len(rows))
        retracts = self._retracts(rows).to_pylist()
        visitors = rows["visitor"].to_pylist()
        fields = zip(numbers, visitors, bodies, ids, times, retracts, strict=True)
        return map(outgoing, fields)

    def _retracts(self, rows: pa.Table) -> pa.ChunkedArray:
        return pc.equal(rows["month"], _NO_MONTH)


def write_outbox(
    path: Path, rows: Iterator[pa.RecordBatch], after: Callable[[int], Published]
) -> int:
    """Write rows, and `after` of their number, which is returned; no file if there are none."""
    return write_rows(path, rows, lambda count: {HEADER: json.dumps(vars(after(count)))})


def write_rows(
    path: Path,
    rows: Iterator[pa.RecordBatch],
    metadata: Callable[[int], dict] = lambda _: {},
) -> int:
    """Write rows, and metadata of their number, which is returned; no file if there are none."""
    if (first := next(rows, None)) is None:
        return 0
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        count = 0
        for batch in chain([first], rows):
            writer.write_batch(batch, row_group_size=ROWS)
            count += batch.num_rows
        writer.add_key_value_metadata(metadata(count))
    return count


def retractions(visitors: list[str]) -> pa.RecordBatch:
    """Rows of retractions, as an outbox of events has them."""
    return pa.record_batch(
        {
            "id": pa.array([b""] * len(visitors), pa.binary()),
            "month": [_NO_MONTH] * len(visitors),
            "visitor": visitors,
            "event_time": [""] * len(visitors),
            "label": pa.nulls(len(visitors), pa.uint64()),
            "message": pa.array([retracts(visitor) for visitor in visitors], pa.binary()),
        }
    )
