"""The live files of every table at one moment: what readers and publishers read."""

from __future__ import annotations

import pyarrow as pa

from clicklake.errors import InputError
from clicklake.lake.manifest import Definition, LiveFile, Manifest
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
        return [self.storage.uri(file.path) for file in self.manifest.files(table)]

    def rows(self, table: str) -> int:
        return sum(file.rows for file in self.manifest.files(table))

    def schema(self, table: Table) -> pa.Schema:
        """The columns of the table's files, which an older release may have written."""
        return stored_schema(self.storage, self.manifest, table)

    def is_current(self, table: Table) -> bool:
        """Whether the files are what this release would write."""
        if not self.manifest.files(table.name):
            return True
        known = self.manifest.definitions.get(table.name)
        if known is None:  # format 1
            return self.schema(table).names == table.columns
        return known == Definition.of(table)


def snapshot(storage: Storage) -> Snapshot:
    """The lake as it is now; the documented way to read several tables of one state.

    Raises DamagedError if its manifest is not as it was written.
    """
    data = storage.read(MANIFEST)
    manifest = Manifest.from_json(data, storage.uri(MANIFEST)) if data is not None else Manifest()
    return Snapshot(storage, manifest)


def open_snapshot(location: str) -> Snapshot:
    """The present state of the lake at a folder or an s3a:// address.

    Raises InputError if there is none, DamagedError as `snapshot` does.
    """
    storage = open_storage(location)
    data = storage.read(MANIFEST)
    if data is None:
        raise InputError(
            f"{location}: no lake is there ({MANIFEST} is missing). Run scripts/etl.py first, or "
            "name the lake with --output or [DATALAKE] OUTPUT_DATA."
        )
    return Snapshot(storage, Manifest.from_json(data, storage.uri(MANIFEST)))
