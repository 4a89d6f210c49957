"""`page_steps` and `page_follows` without the visits of forgotten persons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from clicklake.forget.staging import StagedFile, stage_file
from clicklake.lake import LiveFile, Snapshot, sql
from clicklake.lake.draft import StateDraft
from clicklake.lake.tables import Rewrite, Staged
from clicklake.rules import page_follows, page_steps
from clicklake.rules.visits import Rules
from clicklake.schemas import PAGE_FOLLOWS, PAGE_STEPS, Table

if TYPE_CHECKING:
    import pyarrow.dataset as ds

MEMORY_MB = 1024


def stage(draft: StateDraft, clicks: pa.Table, run_id: str) -> None:
    """Take the steps of `clicks`, all rows of clickstream that go, out of both tables.

    Where another release made the tables, they stay for the next run, which makes them anew.
    """
    lake = draft.lake
    snapshot = Snapshot(lake.storage, lake.manifest)
    if not all(map(snapshot.is_current, (PAGE_STEPS, PAGE_FOLLOWS))):
        return
    settings = lake.manifest.settings
    rules = Rules(settings["session_gap_minutes"], settings["bot_views_per_minute"])
    for month, gone in page_steps.of_clicks(clicks, rules):
        files = lake.manifest.files(PAGE_STEPS.name, [month])
        known = _steps(draft, [file.path for file in files]).to_table(columns=PAGE_STEPS.columns)
        rows = page_steps.without(known, gone)
        folder = f"{PAGE_STEPS.name}/year={month[0]}/month={month[1]}"
        _put(draft, PAGE_STEPS, rows, files, run_id, f"{folder}/{run_id}-00000.parquet")
    if draft.changes(PAGE_STEPS):
        files = lake.manifest.files(PAGE_FOLLOWS.name)
        live = f"{PAGE_FOLLOWS.name}/{run_id}-00000.parquet"
        _put(draft, PAGE_FOLLOWS, _follows(draft), files, run_id, live)


def _steps(draft: StateDraft, paths: list[str]) -> ds.Dataset:
    """The rows of files of `page_steps`."""
    return sql.dataset(PAGE_STEPS, [draft.lake.storage.uri(path) for path in paths])


def _follows(draft: StateDraft) -> pa.Table:
    """`page_follows` of the steps as they will be."""
    paths = [file.path for file in draft.live_files(PAGE_STEPS)]
    paths += [path for path, _ in draft.rewrite(PAGE_STEPS).staged.files]
    with sql.opened(MEMORY_MB) as connection:
        connection.register(PAGE_STEPS.name, _steps(draft, paths))
        found = connection.sql(page_follows.QUERY).to_arrow_table()
    return found.select(PAGE_FOLLOWS.columns).cast(PAGE_FOLLOWS.schema)


def _put(
    draft: StateDraft, table: Table, rows: pa.Table, old: list[LiveFile], run_id: str, live: str
) -> None:
    """Replace files of a table by one, or by none where no row is left."""
    made: tuple[StagedFile, ...] = ()
    if len(rows):
        made = (stage_file(draft.lake, table, table.schema, rows.to_batches(), run_id, live),)
    draft.put(table, Rewrite(Staged(table, made), old))
