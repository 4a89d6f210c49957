"""Tables of distinct rows of a source: the months that have new rows, computed anew."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import DataFrame

from clicklake.buckets import UserPartition
from clicklake.lake import LiveFile
from clicklake.lake.tables import Rewrite, joined
from clicklake.progress import WORK
from clicklake.rules import distinct
from clicklake.run.context import Context
from clicklake.schemas import Table


def compute(context: Context, table: Table) -> None:
    """Bring new rows into a table; of one that is outdated all months are written anew."""
    draft, landed = context.draft, context.landed.get(table.name)
    months = landed.months if landed else set()
    is_outdated = context.plan.is_outdated(table)
    if is_outdated:
        draft.refuse_lost_columns(table, table.columns)
        months = months | set(draft.known(table).months(table.name))
    with context.reporter.stage(f"write {table.name}") as stage:
        known = draft.known(table).files(table.name, months)
        parts = context.parts(table)
        size = context.month_bytes(table) // len(parts)
        files = context.engine.files_at_once(size, context.tables.target_bytes)
        WORK.expect(len(parts), "partitions")
        staged = joined(
            table,
            [
                draft.stage_part(table, part, _rows(context, table, known, part), files)
                for part in parts
            ],
        )
        rewrite = Rewrite(staged, known)
        draft.put_from_source(table, rewrite if is_outdated else rewrite.of(rewrite.gaining))
        stage.rows = staged.rows


def _rows(context: Context, table: Table, known: list[LiveFile], part: UserPartition) -> DataFrame:
    """The distinct rows of a part's persons: new ones and those that are known."""
    landed = context.landed.get(table.name)
    found = [landed.events(part)] if landed else []
    if known:
        found.append(part.within(context.draft.rows(table, known)))
    return distinct.distinct_rows(reduce(DataFrame.unionByName, found), table)
