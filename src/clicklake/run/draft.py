"""The next state of the lake: what is known, what changes, and what will be there after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from pyspark.sql import DataFrame

from clicklake.buckets import ALL_USERS, UserPartition
from clicklake.errors import DamagedError
from clicklake.lake import Definition, Lake, Ledger, LiveFile, Manifest, Month
from clicklake.lake.draft import StateDraft
from clicklake.lake.snapshot import Snapshot
from clicklake.lake.tables import Rewrite, Staged, Tables, joined
from clicklake.progress import WORK
from clicklake.run.landing import Landed
from clicklake.run.plan import RunPlan
from clicklake.run.trust import read_files
from clicklake.schemas import TABLES, Table

NOTHING = Manifest()


class Draft(StateDraft):
    """The state after a run. Steps put rewrites of tables into it; nothing else changes it."""

    def __init__(self, lake: Lake, tables: Tables, plan: RunPlan) -> None:
        super().__init__(lake)
        self.tables = tables
        self.plan = plan
        self._parts: dict[tuple[str, UserPartition], Staged] = {}

    def known(self, table: Table) -> Manifest:
        """The lake as a table builds upon it: nothing, if its source is rebuilt."""
        is_rebuilt = self.plan.is_rebuilt(table.source)
        return NOTHING if is_rebuilt else self.lake.manifest

    def live(self, table: Table, months: Iterable[Month] | None = None) -> DataFrame:
        """The rows that the lake has now, in the columns of the table's declaration."""
        return self.rows(table, self.lake.manifest.files(table.name, months))

    def rows(self, table: Table, files: Iterable[LiveFile]) -> DataFrame:
        """The rows of some of the lake's files. Raises DamagedError if they lack a column."""
        if table.name not in self.plan.outdated:
            return self.tables.live(table, files)
        stored = Snapshot(self.lake.storage, self.lake.manifest).schema(table)
        return self.tables.live(table, files, stored)

    def refuse_lost_columns(self, table: Table, needed: Iterable[str]) -> None:
        """Raises DamagedError if a column that no rule computes is not in the lake's files."""
        stored = Snapshot(self.lake.storage, self.lake.manifest).schema(table)
        lost = [
            name
            for name in needed
            if name not in stored.names and not table.schema.field(name).nullable
        ]
        if lost:
            raise DamagedError(
                f"{table.name}: the lake's files have no {', '.join(lost)}, which this release "
                "of clicklake needs. Run etl.py --rebuild, which reads the raw logs again."
            )

    def put_from_source(self, table: Table, rewrite: Rewrite) -> None:
        """As `put`; where the table's source is rebuilt, all of its files go."""
        if self.plan.is_rebuilt(table.source):
            rewrite = Rewrite(rewrite.staged, self.lake.manifest.files(table.name))
        self.put(table, rewrite)

    def replace(self, table: Table, parts: Iterable[DataFrame]) -> int:
        """Put other rows in the place of all; how many they are."""
        made = []
        for number, rows in enumerate(parts):
            made.append(self.tables.stage(rows, table, attempt=f"tables/{number}"))
            WORK.add()
        staged = joined(table, made)
        self.put(table, Rewrite(staged, self.lake.manifest.files(table.name)))
        return staged.rows

    def stage_part(
        self, table: Table, part: UserPartition, rows: DataFrame, month_files: int
    ) -> Staged:
        """Write some persons' rows of a table; `after` finds them again."""
        attempt = f"tables/{part.number}"
        staged = self.tables.stage(rows, table, attempt, month_files=month_files)
        self._parts[table.name, part] = staged
        WORK.add()
        return staged

    def gained(self, source: str) -> int:
        """How many rows more the table of a source has than it builds upon."""
        rewrite = self.rewrite(TABLES[source])
        return rewrite.staged.rows if self.plan.is_rebuilt(source) else rewrite.gained

    def after(self, table: Table, part: UserPartition = ALL_USERS) -> DataFrame:
        """A table as it will be after this run; `part`: of those that it was staged in."""
        live = self.live_files(table)
        staged = [path for path, _ in self.rewrite(table).staged.files]
        if part != ALL_USERS:
            theirs = {path for path, _ in self._parts[table.name, part].files}
            staged = [path for path in staged if path in theirs]
        new = self.tables.read(table.schema, staged)
        if not live:
            return new
        old = part.within(self.rows(table, live))
        return new.unionByName(old) if staged else old

    def state(self, run_id: str) -> Manifest:
        """The manifest to come: every table is as this release makes it, if without a row."""
        manifest = self.manifest(run_id, self.plan.settings, {})
        made = {t.name: () for t in TABLES.values() if manifest.files(t.source or "")}
        tables = made | dict(manifest.tables)
        current = {name: Definition.of(TABLES[name]) for name in tables}
        return replace(manifest, tables=tables, definitions=current)

    def ledger(self, landed: Mapping[str, Landed], run_id: str) -> Ledger:
        known = {} if self.plan.rebuild else self.lake.ledger
        ledger = {source: dict(files) for source, files in known.items()}
        for source, each in landed.items():
            files = {} if each.planned.rebuild else ledger.get(source, {})
            ledger[source] = files | read_files(each, run_id)
        return ledger
