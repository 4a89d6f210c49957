"""The next state of a lake: which files come, which go, and the manifest that says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clicklake.lake.commits import Lake
from clicklake.lake.manifest import Definition, LiveFile, Manifest
from clicklake.lake.tables import Rewrite, Staged
from clicklake.schemas import TABLES, Table


class StateDraft:
    """A state in the making, from rewrites of tables."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self._rewrites: dict[str, Rewrite] = {}

    def put(self, table: Table, rewrite: Rewrite) -> None:
        """Replace files of a table; what was put before is added to."""
        before = self.rewrite(table)
        files = before.staged.files + rewrite.staged.files
        self._rewrites[table.name] = Rewrite(Staged(table, files), before.removed + rewrite.removed)

    def rewrite(self, table: Table) -> Rewrite:
        """What is done to a table's files."""
        return self._rewrites.get(table.name, Rewrite(Staged(table, ()), []))

    def changes(self, table: Table) -> bool:
        rewrite = self.rewrite(table)
        return bool(rewrite.staged.files or rewrite.removed)

    @property
    def adds(self) -> list[tuple[str, str]]:
        """(staged path, live path) of all files that come."""
        rewrites = self._rewrites.values()
        return [(path, file.path) for each in rewrites for path, file in each.staged.files]

    @property
    def removes(self) -> list[str]:
        return [file.path for each in self._rewrites.values() for file in each.removed]

    @property
    def months(self) -> dict[str, list[str]]:
        """The months that are rewritten, by table."""
        return {
            name: [f"{year:04d}-{month:02d}" for year, month in months]
            for name, rewrite in self._rewrites.items()
            if (months := sorted(rewrite.months))
        }

    def live_files(self, table: Table) -> list[LiveFile]:
        """The files that the table has now and will have after."""
        gone = {file.path for file in self.rewrite(table).removed}
        return [file for file in self.lake.manifest.files(table.name) if file.path not in gone]

    def manifest(
        self,
        run_id: str,
        settings: Mapping[str, Any],
        definitions: Mapping[str, Definition],
    ) -> Manifest:
        """The state to come. `definitions`: those of all tables that have some."""
        tables: dict[str, tuple[LiveFile, ...]] = dict(self.lake.manifest.tables)
        for name, rewrite in self._rewrites.items():
            files = self.live_files(TABLES[name]) + [file for _, file in rewrite.staged.files]
            tables[name] = tuple(sorted(files, key=lambda file: file.path))
        return Manifest(
            run_id=run_id,
            seq=self.lake.head + 1,
            settings=settings,
            tables=tables,
            definitions=definitions,
        )
