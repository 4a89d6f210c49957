"""`clickstream`, `sessions`, `page_steps`: the months that new events touch, or all of them."""

from __future__ import annotations

from clicklake.parse.rows import CLICKS
from clicklake.rules.visits import Rules
from clicklake.run.context import Context
from clicklake.run.tables.clickstream_update import ClickstreamUpdate, NewEvents
from clicklake.schemas import CLICKSTREAM, PAGE_STEPS, SESSIONS


def compute(context: Context) -> None:
    draft, landed = context.draft, context.landed.get(CLICKSTREAM.name)
    known = draft.known(CLICKSTREAM)
    is_outdated = any(map(context.plan.is_outdated, (CLICKSTREAM, SESSIONS, PAGE_STEPS)))
    if is_outdated:
        draft.refuse_lost_columns(CLICKSTREAM, CLICKS.names)
    job = context.config.job
    rules = Rules(job.session_gap_minutes, job.bot_views_per_minute)
    update = ClickstreamUpdate(
        context.tables, known, draft.rows, rules, context.partitioning, context.engine.shuffled
    )
    with context.reporter.stage("write clickstream") as stage:
        touched = landed.months if landed else set()
        new = NewEvents(landed.events(), landed.buckets) if landed and touched else None
        everything = set(known.months(CLICKSTREAM.name)) if is_outdated else set()
        clicks = update.compute(new, touched | everything)
        if not is_outdated:
            clicks = update.only_changed(clicks)
        stage.rows = clicks.staged.rows
    with context.reporter.stage("write sessions") as stage:
        visits = update.summarize(clicks)
        stage.rows = visits.staged.rows
    with context.reporter.stage("write page_steps") as stage:
        steps = update.steps(clicks)
        stage.rows = steps.staged.rows
    draft.put_from_source(CLICKSTREAM, clicks)
    draft.put_from_source(SESSIONS, visits)
    draft.put_from_source(PAGE_STEPS, steps)
