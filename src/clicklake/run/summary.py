"""A run's metrics, from what it planned, read and drafted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import date, datetime

from clicklake import engines
from clicklake.lake import Lake, Manifest
from clicklake.lake.metrics import (
    COMMITTED,
    NOTHING_NEW,
    Books,
    RunMetrics,
    StageTime,
    table_facts,
)
from clicklake.logs.inputs import REPLAYED, SourcePlan
from clicklake.run.context import Context
from clicklake.run.options import Options
from clicklake.run.plan import RunPlan


def nothing_new(options: Options, lake: Lake, plan: RunPlan, began: float) -> RunMetrics:
    """Of a run that had nothing to do."""
    return RunMetrics(
        run_id=lake.manifest.run_id,
        status=NOTHING_NEW,
        engine=engines.choose(options.engine),
        seconds=round(time.monotonic() - began, 3),
        books={planned.source: Books() for planned in plan.sources},
        reasons={planned.source: {} for planned in plan.sources},
        tables=table_facts(lake.manifest),
        pending=_pending(plan),
    )


def of_commit(
    context: Context,
    manifest: Manifest,
    books: Mapping[str, Books],
    *,
    started_at: datetime,
    as_of: date,
    seconds: float,
) -> RunMetrics:
    """Of a run that is about to be committed."""
    plans, landed = context.plan.sources, context.landed
    return RunMetrics(
        run_id=context.run_id,
        status=COMMITTED,
        engine=context.engine.name,
        seconds=round(seconds, 3),
        seq=manifest.seq,
        started_at=started_at.isoformat(timespec="seconds"),
        as_of=as_of.isoformat(),
        books={planned.source: books.get(planned.source, Books()) for planned in plans},
        reasons={
            planned.source: landed[planned.source].reasons if planned.source in landed else {}
            for planned in plans
        },
        tables=table_facts(manifest),
        months=context.draft.months,
        settings=dict(manifest.settings),
        stages=tuple(
            StageTime(stage.name, stage.seconds, stage.rows) for stage in context.reporter.stages
        ),
        recommendation=context.recommendation,
        replayed=tuple(planned.source for planned in plans if _is_replay(planned)),
        rebuilt=tuple(planned.source for planned in plans if planned.rebuild),
        recomputed=tuple(sorted(context.plan.outdated)),
        vanished={planned.source: list(planned.vanished) for planned in plans if planned.vanished},
        bad_files=bad_files_of(context),
        pending=_pending(context.plan),
        notes=tuple(context.notes),
    )


def bad_files_of(context: Context) -> dict[str, dict[str, str]]:
    """The files that are set aside, by source, with the reasons."""
    found: dict[str, dict[str, str]] = {}
    for each in context.bad:
        found.setdefault(each.source, {})[each.file] = each.reason
    return found


def _pending(plan: RunPlan) -> dict[str, dict[str, int]]:
    return {planned.source: dict(planned.pending) for planned in plan.sources if planned.pending}


def _is_replay(planned: SourcePlan) -> bool:
    return bool(planned.refused) or any(info.path.startswith(REPLAYED) for info in planned.read)
