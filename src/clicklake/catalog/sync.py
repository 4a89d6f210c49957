"""One snapshot of each Iceberg table for every run that changed it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.snapshots import Snapshot as IcebergSnapshot

from clicklake.catalog import declarations
from clicklake.catalog.target import FOLDER, CatalogTarget
from clicklake.lake import Snapshot
from clicklake.lake.parquet import read_footer
from clicklake.schemas import TABLES, Table
from clicklake.storage import THREADS, FileInfo

# Of a snapshot's summary, and of a table: the run that it shows.
RUN, SEQ = "clicklake.run-id", "clicklake.seq"


class CatalogSync:
    """A catalog on its way to a state of the lake."""

    def __init__(self, where: CatalogTarget, snapshot: Snapshot) -> None:
        self.where = where
        self.snapshot = snapshot
        # It warns of every column without statistics, of which there are some on purpose.
        logging.getLogger("pyiceberg").setLevel(logging.ERROR)
        self.catalog: Catalog = load_catalog("clicklake", **where.properties)
        self._shown = {RUN: snapshot.run_id, SEQ: str(snapshot.seq)}

    def run(self) -> int:
        """Bring all tables up; how many have a new snapshot.

        The tables' properties are written when all snapshots are there: a reader that finds the
        same run in them has one state of all tables.
        """
        # Asked for first: the cluster's role may not make databases, as `deploy.py up` does.
        if not self.catalog.namespace_exists(self.where.database):
            self.catalog.create_namespace_if_not_exists(self.where.database)
        tables = {table: self._declared(table) for table in TABLES.values()}
        changed = sum(self._brought_up(table, found) for table, found in tables.items())
        for table, found in tables.items():
            self._shown_and_swept(table, found)
        return changed

    def _declared(self, table: Table) -> IcebergTable:
        """The table with the columns that the lake's files have."""
        identifier, stored = (self.where.database, table.name), self.snapshot.schema(table)
        try:
            found = self.catalog.load_table(identifier)
        except NoSuchTableError:
            return self._created(identifier, table, stored)
        wanted = declarations.columns(table, stored)
        known = {field.name: field.field_type for field in found.schema().fields}
        if wanted == known:
            return found
        if any(known.get(name, type_) != type_ for name, type_ in wanted.items()):
            self.catalog.drop_table(identifier)  # a column of another type: no evolution
            return self._created(identifier, table, stored)
        with found.update_schema(allow_incompatible_changes=True) as update:
            for name in known.keys() - wanted.keys():
                update.delete_column(name)
            for name in wanted.keys() - known.keys():
                update.add_column(name, wanted[name])
        self._map_names(found)
        return found

    def _created(
        self, identifier: tuple[str, str], table: Table, stored: pa.Schema
    ) -> IcebergTable:
        schema = declarations.schema(table, stored)
        made = self.catalog.create_table(
            identifier,
            schema,
            location=self.where.uri(f"{FOLDER}/{table.name}"),
            partition_spec=declarations.partition_spec(table, schema),
            properties={"write.metadata.previous-versions-max": "10"},
        )
        self._map_names(made)
        return made

    def _map_names(self, found: IcebergTable) -> None:
        with found.transaction() as change:
            mapping = declarations.name_mapping(found.metadata)
            change.set_properties({declarations.NAME_MAPPING: mapping})

    def _brought_up(self, table: Table, found: IcebergTable) -> bool:
        """Make the table's files those of the state; whether any were others."""
        known = files_of(found, found.current_snapshot())
        wanted = {
            self.where.uri(self.snapshot.path(file.path)): file
            for file in self.snapshot.live(table.name)
        }
        new = {uri: file for uri, file in wanted.items() if uri not in known}
        gone = [file for uri, file in known.items() if uri not in wanted]
        if not new and not gone:
            return False

        def described(uri: str) -> DataFile:
            file = new[uri]
            info = FileInfo(self.snapshot.path(file.path), file.bytes, "")
            footer = read_footer(self.snapshot.storage, info)
            return declarations.data_file(table, file, uri, footer, found.metadata)

        with ThreadPoolExecutor(THREADS) as pool:
            files = list(pool.map(described, new))
        change = found.transaction()
        with change.update_snapshot(snapshot_properties=self._shown).overwrite() as update:
            for data_file in files:
                update.append_data_file(data_file)
            for data_file in gone:
                update.delete_data_file(data_file)
        change.commit_transaction()
        return True

    def _shown_and_swept(self, table: Table, found: IcebergTable) -> None:
        """Say which run the table shows, and let snapshots go that no kept state needs."""
        with found.transaction() as change:
            change.set_properties(self._shown)
        kept = {past.seq for past in self.snapshot.manifest.history} | {self.snapshot.seq}
        gone = outdated(found.snapshots(), kept)
        if gone:
            expire = found.maintenance.expire_snapshots()
            for number in gone:
                expire = expire.by_id(number)
            expire.commit()
            self._sweep(table, self.catalog.load_table((self.where.database, table.name)))

    def _sweep(self, table: Table, found: IcebergTable) -> None:
        """Delete metadata that no snapshot has any more; of earlier metadata the last few stay."""
        needed = {found.metadata_location}
        needed |= {entry.metadata_file for entry in found.metadata.metadata_log}
        for snapshot in found.snapshots():
            needed.add(snapshot.manifest_list)
            needed |= {each.manifest_path for each in snapshot.manifests(found.io)}
        storage = self.where.storage
        there = [info.path for info in storage.list(f"{FOLDER}/{table.name}")]
        storage.delete([path for path in there if self.where.uri(path) not in needed])


def files_of(found: IcebergTable, snapshot: IcebergSnapshot | None) -> Mapping[str, DataFile]:
    """The files of a snapshot, by address."""
    if snapshot is None:
        return {}
    return {
        entry.data_file.file_path: entry.data_file
        for manifest in snapshot.manifests(found.io)
        for entry in manifest.fetch_manifest_entry(found.io, discard_deleted=True)
    }


def outdated(snapshots: list[IcebergSnapshot], kept: set[int]) -> list[int]:
    """The ids of snapshots in which no kept state of the lake is to be seen.

    A state is seen in the newest snapshot that is not newer than itself.
    """
    by_seq = {int(each.summary[SEQ] or 0): each for each in snapshots if each.summary}
    shown = {max((seq for seq in by_seq if seq <= state), default=None) for state in kept}
    return [each.snapshot_id for seq, each in by_seq.items() if seq not in shown]
