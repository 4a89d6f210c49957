"""`quarantine`: rows that were turned away, with the line of their file."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from clicklake.lake import LiveFile
from clicklake.lake.manifest import partition_values
from clicklake.lake.tables import Rewrite
from clicklake.logs.summary import line_bases
from clicklake.run.context import Context
from clicklake.run.landing import Landed
from clicklake.schemas import QUARANTINE, SOURCES


def compute(context: Context) -> None:
    is_outdated = context.plan.is_outdated(QUARANTINE)
    if is_outdated:
        context.draft.refuse_lost_columns(QUARANTINE, QUARANTINE.columns)
    for source in SOURCES:
        landed = context.landed.get(source)
        if landed or is_outdated:
            _of_source(context, source, landed, is_outdated)


def _of_source(context: Context, source: str, landed: Landed | None, is_outdated: bool) -> None:
    """A source's part: what was there is written again only where it changes."""
    live = _live(context, source)
    again = set(landed.planned.grown) if landed else set()
    is_rebuilt = landed is not None and landed.planned.rebuild
    replaced = live if is_rebuilt or again or is_outdated else []
    if not (landed and landed.total("quarantined")) and not replaced:
        return
    with context.reporter.stage(f"quarantine {source}") as stage:
        found = [_quarantined(context, landed)] if landed else []
        if replaced and not is_rebuilt:
            known = context.draft.rows(QUARANTINE, replaced)
            found.append(known.where(~F.col("file").isin(sorted(again))) if again else known)
        rows = reduce(DataFrame.unionByName, found).withColumn("source", F.lit(source))
        staged = context.tables.stage(rows, QUARANTINE, attempt=f"tables/{source}")
        stage.rows = staged.rows
        context.draft.put(QUARANTINE, Rewrite(staged, replaced))


def _live(context: Context, source: str) -> list[LiveFile]:
    files = context.lake.manifest.files(QUARANTINE.name)
    return [file for file in files if partition_values(file.path)["source"] == source]


def _quarantined(context: Context, landed: Landed) -> DataFrame:
    bad = landed.quarantined()
    bases = [
        (path, start, base) for (path, start), base in line_bases(landed.summaries).items() if base
    ]
    base = F.lit(0)
    if bases:
        known = context.engine.session.createDataFrame(
            bases, "_file string, _start bigint, _base bigint"
        )
        bad = bad.join(F.broadcast(known), on=["_file", "_start"], how="left")
        base = F.coalesce(F.col("_base"), F.lit(0))
    return bad.select(
        F.col("_file").alias("file"),
        (F.col("_line") + base).alias("line"),
        F.col("_reason").alias("reason"),
        F.col("_raw").alias("raw"),
        F.lit(context.run_id).alias("run_id"),
    )
