"""The live files of every table at one moment: what readers and publishers read."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from clicklake.errors import InputError
from clicklake.lake import places, retention
from clicklake.lake.manifest import RETAINED, Definition, LiveFile, Manifest
from clicklake.lake.parquet import stored_schema
from clicklake.lake.places import MANIFEST
from clicklake.schemas import TABLES, Table
from clicklake.storage import Storage, open_storage


class Snapshot:
    """One state of a lake."""

    def __init__(self, storage: Storage, manifest: Manifest) -> None:
        self.storage = storage
        self.manifest = manifest

    @property
    def run_id(self) -> str:
        return self.manifest.run_id

    @property
    def seq(self) -> int:
        return self.manifest.seq

    @property
    def tables(self) -> list[str]:
        return [name for name in TABLES if self.manifest.files(name)]

    def live(self, table: str) -> list[LiveFile]:
        return self.manifest.files(table)

    def files(self, table: str) -> list[str]:
        """The table's files as paths or s3a addresses."""
        return [self.storage.uri(self.path(file.path)) for file in self.manifest.files(table)]

    def path(self, live: str) -> str:
        """Where a live file lies under the name that it keeps for a while after it was replaced."""
        return places.data(live) if self.manifest.format >= RETAINED else live

    def rows(self, table: str) -> int:
        return sum(file.rows for file in self.manifest.files(table))

    def schema(self, table: Table) -> pa.Schema:
        """The columns of the table's files, which an older release may have written."""
        return stored_schema(self.storage, self.manifest, table)

    def is_current(self, table: Table) -> bool:
        """Whether the files are what this release would write."""
        if not self.manifest.files(table.name):
            # A release that did not know the table has left it out of the state.
            return table.name in self.manifest.tables or not self.manifest.files(table.source or "")
        known = self.manifest.definitions.get(table.name)
        if known is None:  # format 1
            return self.schema(table).names == table.columns
        return known == Definition.of(table)


def snapshot(
    storage: Storage, run_id: str | None = None, as_of: datetime | None = None
) -> Snapshot:
    """The lake as it is now; the documented way to read several tables of one state.

    `run_id`, `as_of`: an earlier state that is kept, by its run or by a moment.
    Raises DamagedError if its manifest is not as it was written, InputError if the earlier state
    is kept no longer.
    """
    present = _present(storage)
    manifest, past = present.manifest, None
    if run_id and run_id != manifest.run_id:
        past = retention.find(manifest, run_id)
    elif as_of and not run_id:
        past = retention.at(manifest, as_of)
    return Snapshot(storage, retention.read_state(storage, past)) if past else present


def _present(storage: Storage) -> Snapshot:
    data = storage.read(MANIFEST)
    manifest = Manifest.from_json(data, storage.uri(MANIFEST)) if data is not None else Manifest()
    return Snapshot(storage, manifest)


def open_snapshot(location: str) -> Snapshot:
    """The present state of the lake at a folder or an s3a:// address.

    Raises InputError if there is none, DamagedError as `snapshot` does.
    """
    found = _present(open_storage(location))
    if not found.run_id:
        raise no_lake(location)
    return found


def no_lake(location: str) -> InputError:
    return InputError(
        f"{location}: no lake is there ({MANIFEST} is missing). Run scripts/etl.py first, or "
        "name the lake with --output or [DATALAKE] OUTPUT_DATA."
    )
