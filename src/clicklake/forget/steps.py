"""`page_steps` and `page_follows` without the visits of forgotten persons."""

from __future__ import annotations

import pyarrow as pa

from clicklake.forget.staging import StagedFile, stage_file
from clicklake.lake import LiveFile, Snapshot, sql
from clicklake.lake.draft import StateDraft
from clicklake.lake.parquet import open_parquet
from clicklake.lake.tables import Rewrite, Staged
from clicklake.parse.rows import CLICKS
from clicklake.rules import page_follows, page_steps
from clicklake.rules.visits import EVENTS, Rules, Visits
from clicklake.schemas import PAGE_FOLLOWS, PAGE_STEPS, Table

MEMORY_MB = 1024


def stage(draft: StateDraft, clicks: pa.Table, run_id: str) -> None:
    """Take the steps of `clicks`, rows of clickstream that go, out of both tables.

    Where another release made the tables, they stay for the next run, which makes them anew.
    """
    lake = draft.lake
    snapshot = Snapshot(lake.storage, lake.manifest)
    if not all(map(snapshot.is_current, (PAGE_STEPS, PAGE_FOLLOWS))):
        return
    for month, gone in page_steps.counted(_visits(draft, clicks)):
        files = lake.manifest.files(PAGE_STEPS.name, [month])
        rows = page_steps.without(_read(draft, files), gone)
        folder = f"{PAGE_STEPS.name}/year={month[0]}/month={month[1]}"
        _put(draft, PAGE_STEPS, rows, files, run_id, f"{folder}/{run_id}-00000.parquet")
    if draft.changes(PAGE_STEPS):
        files = lake.manifest.files(PAGE_FOLLOWS.name)
        live = f"{PAGE_FOLLOWS.name}/{run_id}-00000.parquet"
        _put(draft, PAGE_FOLLOWS, _follows(draft), files, run_id, live)


def _visits(draft: StateDraft, clicks: pa.Table) -> Visits:
    """The visits of rows of clickstream that are all those of their visitors."""
    settings = draft.lake.manifest.settings
    rules = Rules(settings["session_gap_minutes"], settings["bot_views_per_minute"])
    known = [clicks[name] for name in CLICKS.names]
    unknown = pa.nulls(len(clicks), EVENTS.field("started_at").type)
    return Visits(pa.table([*known, unknown], schema=EVENTS), rules)


def _read(draft: StateDraft, files: list[LiveFile]) -> pa.Table:
    storage = draft.lake.storage
    infos = {info.path: info for info in storage.list(PAGE_STEPS.name)} if files else {}
    parts = [open_parquet(storage, infos[file.path]).read() for file in files]
    return pa.concat_tables(
        [PAGE_STEPS.schema.empty_table(), *(p.cast(PAGE_STEPS.schema) for p in parts)]
    )


def _follows(draft: StateDraft) -> pa.Table:
    """`page_follows` of the steps as they will be."""
    storage = draft.lake.storage
    paths = [file.path for file in draft.live_files(PAGE_STEPS)]
    paths += [path for path, _ in draft.rewrite(PAGE_STEPS).staged.files]
    with sql.opened(MEMORY_MB) as connection:
        steps = sql.dataset(PAGE_STEPS, [storage.uri(path) for path in paths])
        connection.register(PAGE_STEPS.name, steps)
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
