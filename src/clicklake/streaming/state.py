"""Which events of the lake are new to a stream, and a frozen copy of them until they are on it.

A publication has three steps, each safe to repeat:
1. `prepare` finds the new events and writes them, in order, to `outbox.parquet`. From its rename
   on, the publication is decided: later runs of the lake do not change it.
2. The publisher sends the outbox; the stream itself says how far it got.
3. `finish` files the ids of the events under `published/<month>/` and replaces `state.json`.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from clicklake.lake import Snapshot
from clicklake.schemas import CLICKSTREAM
from clicklake.storage import arrow_filesystem
from clicklake.storage.durable import replace_durably, write_durably
from clicklake.streaming.marks import Mark
from clicklake.streaming.messages import TIME_FORMAT, digest_of, event_id_sql
from clicklake.streaming.outbox import HEADER, ID, Outbox, Published, retractions

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ROW_GROUP = 10_000
_RETRACTIONS = "retractions"
# Equal times of a visitor are ordered as the lake's sessions order them.
_ORDER = "time, anonymous_user_id, url, browser, os, screen_resolution"


class State:
    """The publisher's own folder for one stream."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outbox = folder / "outbox.parquet"
        self._state = folder / "state.json"
        self._mark = folder / "publisher.json"
        self._stream = folder / "stream.json"

    def published(self) -> Published:
        if not self._state.exists():
            return Published()
        return Published(**json.loads(self._state.read_text()))

    def stream(self) -> dict[str, str]:
        """`identity` and `address` of the stream that this is the state of; {} if not known."""
        return json.loads(self._stream.read_text()) if self._stream.exists() else {}

    def note_stream(self, identity: str, address: str) -> None:
        now = {"identity": identity, "address": address}
        if self.stream() != now:
            write_durably(self._stream, json.dumps(now).encode())

    def mark(self) -> Mark | None:
        """The mark of this publisher's messages; None before `begin`."""
        return Mark(**json.loads(self._mark.read_text())) if self._mark.exists() else None

    def begin(self) -> Mark:
        """Choose the publisher's mark, once; what an older release decided to send has none."""
        before = self.pending()
        sent = before.after if before else self.published()
        mark = Mark(secrets.token_hex(16), sent.sequence + 1)
        write_durably(self._mark, json.dumps(mark._asdict()).encode())
        return mark

    def pending(self) -> Outbox | None:
        """The publication under way, if there is one."""
        return Outbox(self.outbox) if self.outbox.exists() else None

    def prepare(self, snapshot: Snapshot) -> Outbox | None:
        """Decide the next publication. None if the snapshot has no event that is new."""
        before = self.published()
        files = [file.path for file in snapshot.live(CLICKSTREAM.name)]
        new = sorted(set(files) - set(before.files))
        events = self._write_new(snapshot, new, before, files) if new else 0
        if events:
            return Outbox(self.outbox)
        self._write(_after(before, snapshot, files, 0, step=0))
        return None

    def file_retractions(self, visitors: Collection[str]) -> None:
        """Note whose events are to be taken back, for the next publication; safe at any time."""
        folder = self.folder / _RETRACTIONS
        folder.mkdir(exist_ok=True)
        names = json.dumps(sorted(visitors)).encode()
        write_durably(folder / f"{secrets.token_hex(8)}.json", names)

    def retracting(self) -> set[str]:
        """The digests of the visitors whose retraction was noted and is not yet on the stream."""
        pending = self.pending()
        return set(map(digest_of, self._noted())) | (pending.retracted() if pending else set())

    def _noted(self) -> set[str]:
        files = (self.folder / _RETRACTIONS).glob("*.json")
        return {visitor for file in files for visitor in json.loads(file.read_bytes())}

    def prepare_retractions(self) -> Outbox | None:
        """Decide the publication of what `file_retractions` has noted. None if there is nothing."""
        folder = self.folder / _RETRACTIONS
        files = [*folder.glob("*.json"), *folder.glob(".*.tmp")]  # those of a killed call as well
        visitors = sorted(self._noted())
        before = self.published()
        if visitors and before.sequence:
            after = replace(
                before,
                publication=before.publication + 1,
                sequence=before.sequence + len(visitors),
                last_id="",
            )
            part = self.outbox.with_suffix(".tmp")
            metadata = {HEADER: json.dumps(vars(after))}
            pq.write_table(retractions(visitors).replace_schema_metadata(metadata), part)
            replace_durably(part, self.outbox)
        for file in files:
            file.unlink()
        return self.pending()

    def finish(self, outbox: Outbox) -> None:
        """File the outbox's ids and make its publication the last one."""
        for month, ids in outbox.ids():
            folder = self._ids_folder(month)
            folder.mkdir(parents=True, exist_ok=True)
            part = folder / f".{outbox.after.publication:09d}.tmp"
            pq.write_table(ids, part)
            replace_durably(part, folder / f"{outbox.after.publication:09d}.parquet")
        self._write(replace(outbox.after, last_id=outbox.event_id(outbox.after.sequence)))
        self.outbox.unlink()

    def _write(self, published: Published) -> None:
        write_durably(self._state, json.dumps(vars(published)).encode())

    def _ids_folder(self, month: str) -> Path:
        return self.folder / "published" / month

    def _write_new(
        self, snapshot: Snapshot, new: list[str], before: Published, files: list[str]
    ) -> int:
        """Write the outbox of the events of the files `new` that are not on the stream."""
        part = self.outbox.with_suffix(".tmp")
        spill = self.folder / "spill"
        with _duckdb(spill) as connection:
            connection.register("events", _events(snapshot, new))
            connection.register("published", self._published_ids(new))
            batches = connection.sql(_NEW_EVENTS).to_arrow_reader(_ROW_GROUP)
            with pq.ParquetWriter(part, batches.schema, compression="zstd") as writer:
                count = 0
                for batch in batches:
                    writer.write_batch(batch, row_group_size=_ROW_GROUP)
                    count += batch.num_rows
                after = _after(before, snapshot, files, count, step=1)
                writer.add_key_value_metadata({HEADER: json.dumps(vars(after))})
        shutil.rmtree(spill, ignore_errors=True)
        if count:
            replace_durably(part, self.outbox)
        else:
            part.unlink()
        return count

    def _published_ids(self, new: list[str]) -> Any:
        """The ids on the stream in the months of the files `new`, for a month may be rewritten."""
        import pyarrow.dataset as ds

        parts = [
            str(part)
            for month in sorted({_month(path) for path in new})
            for part in sorted(self._ids_folder(month).glob("*.parquet"))
        ]
        return ds.dataset(parts, schema=ID, format="parquet") if parts else ID.empty_table()


_TIME = f"strftime(make_timestamp(epoch_us(time)), '{TIME_FORMAT}')"
_MESSAGE = ", ".join(
    f"'{name}': {_TIME if name == CLICKSTREAM.time else chr(34) + name + chr(34)}"
    for name in CLICKSTREAM.columns
)
# Messages are made of sorted rows: they are larger than these, and would be sorted as they are.
_NEW_EVENTS = f"""
    WITH named AS (SELECT *, unhex({event_id_sql(_TIME)}) AS id FROM events),
    sorted AS (
        SELECT * FROM named ANTI JOIN published ON named.id = published.id
        ORDER BY {", ".join(f"{column} NULLS FIRST" for column in _ORDER.split(", "))})
    SELECT id,
           strftime(make_timestamp(epoch_us(time)), '%Y-%m') AS month,
           anonymous_user_id AS visitor,
           {_TIME} AS event_time,
           encode(to_json({{'event_id': lower(hex(id)), {_MESSAGE}}})::VARCHAR) AS message
    FROM sorted
"""  # noqa: S608 - names from schemas.py only


def _after(
    before: Published, snapshot: Snapshot, files: Sequence[str], events: int, step: int
) -> Published:
    return Published(
        before.publication + step,
        before.sequence + events,
        snapshot.run_id,
        snapshot.seq,
        list(files),
    )


def _events(snapshot: Snapshot, files: list[str]) -> Any:
    import pyarrow.dataset as ds

    events = ds.dataset(
        files,
        schema=CLICKSTREAM.schema,
        format="parquet",
        filesystem=arrow_filesystem(snapshot.storage),
    )
    # Arrow's own way is to read far ahead of what is asked for.
    return events.scanner(batch_size=_ROW_GROUP, batch_readahead=2, fragment_readahead=1)


def _duckdb(spill: Path) -> DuckDBPyConnection:
    """An in-memory DuckDB that sorts what does not fit into 500 MB on disk."""
    import duckdb

    config: dict[str, Any] = {"memory_limit": "500MB", "temp_directory": str(spill)}
    return duckdb.connect(config=config)


def _month(path: str) -> str:
    """The month of a file's folder, as 2018-04; folder names are not zero-padded."""
    found = re.search(r"year=(\d+)/month=(\d+)/", path)
    if not found:
        raise ValueError(f"{path} is not below year=/month=")
    return f"{int(found[1]):04d}-{int(found[2]):02d}"
