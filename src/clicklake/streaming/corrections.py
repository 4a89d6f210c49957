"""Which events of a stream have other labels in the lake now than what was last said of them.

Late rows join sessions, move their starts, and make visitors bots: the lake is computed anew, and
what was published stays as it is. Corrections go to a topic of their own, keyed by the event's id;
of an event that has left the lake, as its person was forgotten, the correction is taken back.

`said/<month>.parquet` has the digest of the labels that the last correction of an event gave, null
where it was taken back. Without one, what the event was published with holds (`State`). Only months
of which a file has come or gone since the last time are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from clicklake.lake import Snapshot
from clicklake.schemas import CLICKSTREAM
from clicklake.storage.durable import replace_durably
from clicklake.streaming.clicks import ID, LABEL, ROWS, clicks, duckdb_in, month_of
from clicklake.streaming.journal import Journal
from clicklake.streaming.marks import Mark
from clicklake.streaming.messages import LABELS
from clicklake.streaming.outbox import SAID, Outbox, write_rows
from clicklake.streaming.state import State


class CorrectionsOutbox(Outbox):
    """Corrections on their way: the key is the event's id."""

    def _retracts(self, rows: pa.Table) -> pa.ChunkedArray:
        return pc.is_null(rows["label"])


class Corrections(Journal):
    """The publisher's folder for the corrections of what `state` has published."""

    _kind = CorrectionsOutbox

    def __init__(self, state: State) -> None:
        super().__init__(state.folder / "corrections")
        self._events = state

    def mark(self) -> Mark | None:
        """That of the events' publisher; every correction has it."""
        mark = self._events.mark()
        return Mark(mark.publisher, 1) if mark else None

    def begin(self) -> Mark:
        mark = self._events.begin()
        return Mark(mark.publisher, 1)

    def prepare(self, snapshot: Snapshot) -> Outbox | None:
        self.folder.mkdir(parents=True, exist_ok=True)
        before = self.published()
        files = [file.path for file in snapshot.live(CLICKSTREAM.name)]
        months = sorted({month_of(path) for path in set(files) ^ set(before.files)})
        return self._decide(
            self._differing(snapshot, files, months),
            lambda rows: before.with_rows(rows, snapshot, files),
        )

    def _differing(
        self, snapshot: Snapshot, files: list[str], months: list[str]
    ) -> Iterator[pa.RecordBatch]:
        for month in months:
            own = [path for path in files if month_of(path) == month]
            tables = {
                "events": clicks(snapshot, own) if own else CLICKSTREAM.schema.empty_table(),
                "published": self._events.said([month]),
                "corrected": self._said(month),
                "this": pa.table({"month": [month]}),
            }
            yield from self._found(_DIFFERING, tables)

    def _file(self, outbox: Outbox) -> None:
        """Of each month what was said before and is not said anew, and what is."""
        for month, said in outbox.said():
            file = self._file_of(month)
            file.parent.mkdir(parents=True, exist_ok=True)
            part = file.with_suffix(".tmp")
            tables = {"before": self._said(month), "anew": said}
            write_rows(part, self._found(_LATEST, tables))
            replace_durably(part, file)

    def _found(self, query: str, tables: Mapping[str, Any]) -> Iterator[pa.RecordBatch]:
        with duckdb_in(self.folder) as connection:
            for name, table in tables.items():
                connection.register(name, table)
            yield from connection.sql(query).to_arrow_reader(ROWS)

    def _said(self, month: str) -> Any:
        """What the last corrections of a month's events said, as `SAID`."""
        file = self._file_of(month)
        return ds.dataset(file, schema=SAID) if file.exists() else SAID.empty_table()

    def _file_of(self, month: str) -> Path:
        return self.folder / "said" / f"{month}.parquet"


_NAMES = ", ".join(f"'{name}': {name}" for name in LABELS)
_DIFFERING = f"""
    WITH live AS (
        SELECT {ID} AS id, {LABEL} AS label, {", ".join(LABELS)} FROM events),
    said AS (
        SELECT p.id, coalesce(c.label, p.label) AS label, c.label IS NOT NULL AS is_corrected
        FROM published p LEFT JOIN corrected c ON p.id = c.id)
    SELECT said.id AS id, this.month AS month, lower(hex(said.id)) AS visitor, '' AS event_time,
           live.label AS label,
           encode(to_json({{'event_id': lower(hex(said.id)), {_NAMES}}})::VARCHAR) AS message
    FROM said LEFT JOIN live ON said.id = live.id CROSS JOIN this
    WHERE CASE WHEN live.id IS NULL THEN said.is_corrected
               ELSE live.label IS DISTINCT FROM said.label END
"""  # noqa: S608 - names from schemas.py only
_LATEST = "FROM before ANTI JOIN anew USING (id) UNION ALL FROM anew"
