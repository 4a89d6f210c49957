"""Which events of the lake are new to a stream, whose are taken back, and what was said of each.

`published/<month>/` has the ids of the events that are on the stream, each with a digest of the
labels that it was published with.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clicklake.lake import Snapshot
from clicklake.schemas import CLICKSTREAM
from clicklake.storage.durable import replace_durably, write_durably
from clicklake.streaming.clicks import ID, LABEL, ROWS, TIME, clicks, duckdb_in, month_of
from clicklake.streaming.journal import Journal
from clicklake.streaming.marks import Mark
from clicklake.streaming.messages import digest_of
from clicklake.streaming.outbox import SAID, Outbox, retractions

_RETRACTIONS = "retractions"
# Equal times of a visitor are ordered as the lake's sessions order them.
_ORDER = "time, anonymous_user_id, url, browser, os, screen_resolution"


class State(Journal):
    """The publisher's own folder for one stream."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._mark = folder / "publisher.json"

    def mark(self) -> Mark | None:
        return Mark(**json.loads(self._mark.read_text())) if self._mark.exists() else None

    def begin(self) -> Mark:
        """As `Journal` has it; what an older release decided to send has none."""
        before = self.pending()
        sent = before.after if before else self.published()
        mark = Mark(secrets.token_hex(16), sent.sequence + 1)
        write_durably(self._mark, json.dumps(mark._asdict()).encode())
        return mark

    def prepare(self, snapshot: Snapshot) -> Outbox | None:
        before = self.published()
        files = [file.path for file in snapshot.live(CLICKSTREAM.name)]
        new = sorted(set(files) - set(before.files))
        return self._decide(
            self._new_events(snapshot, new), lambda rows: before.with_rows(rows, snapshot, files)
        )

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
            self._decide(
                iter([retractions(visitors)]),
                lambda rows: replace(
                    before,
                    publication=before.publication + 1,
                    sequence=before.sequence + rows,
                    last_id="",
                ),
            )
        for file in files:
            file.unlink()
        return self.pending()

    def said(self, months: Collection[str]) -> Any:
        """What was said of the events of these months when they were published, as `SAID`."""
        import pyarrow.dataset as ds

        parts = [str(part) for month in sorted(months) for part in self._parts(month)]
        return ds.dataset(parts, schema=SAID, format="parquet") if parts else SAID.empty_table()

    def _file(self, outbox: Outbox) -> None:
        for month, said in outbox.said():
            folder = self._folder_of(month)
            folder.mkdir(parents=True, exist_ok=True)
            part = folder / f".{outbox.after.publication:09d}.tmp"
            pq.write_table(said, part)
            replace_durably(part, folder / f"{outbox.after.publication:09d}.parquet")

    def _folder_of(self, month: str) -> Path:
        return self.folder / "published" / month

    def _parts(self, month: str) -> list[Path]:
        return sorted(self._folder_of(month).glob("*.parquet"))

    def _new_events(self, snapshot: Snapshot, new: list[str]) -> Iterator[pa.RecordBatch]:
        """The events of the files `new` that are not on the stream.

        They are looked for in the same months alone: a month may be rewritten.
        """
        if not new:
            return
        with duckdb_in(self.folder) as connection:
            connection.register("events", clicks(snapshot, new))
            connection.register("published", self.said({month_of(path) for path in new}))
            yield from connection.sql(_NEW_EVENTS).to_arrow_reader(ROWS)


_MESSAGE = ", ".join(
    f"'{name}': {TIME if name == CLICKSTREAM.time else chr(34) + name + chr(34)}"
    for name in CLICKSTREAM.columns
)
# Messages are made of sorted rows: they are larger than these, and would be sorted as they are.
_NEW_EVENTS = f"""
    WITH named AS (SELECT *, {ID} AS id FROM events),
    sorted AS (
        SELECT * FROM named ANTI JOIN published ON named.id = published.id
        ORDER BY {", ".join(f"{column} NULLS FIRST" for column in _ORDER.split(", "))})
    SELECT id,
           strftime(make_timestamp(epoch_us(time)), '%Y-%m') AS month,
           anonymous_user_id AS visitor,
           {TIME} AS event_time,
           {LABEL} AS label,
           encode(to_json({{'event_id': lower(hex(id)), {_MESSAGE}}})::VARCHAR) AS message
    FROM sorted
"""  # noqa: S608 - names from schemas.py only
