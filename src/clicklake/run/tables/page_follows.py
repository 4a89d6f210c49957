"""`page_follows`: of the steps of all months."""

from __future__ import annotations

from clicklake.rules import page_follows
from clicklake.run.context import Context
from clicklake.schemas import PAGE_FOLLOWS, PAGE_STEPS


def compute(context: Context) -> None:
    with context.reporter.stage("write page_follows") as stage:
        context.draft.after(PAGE_STEPS).createOrReplaceTempView(PAGE_STEPS.name)
        rows = context.tables.session.sql(page_follows.QUERY)
        stage.rows = context.draft.replace(PAGE_FOLLOWS, [rows])
