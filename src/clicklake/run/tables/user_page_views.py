"""`user_page_views`: of all page views, or of what they were before and of the new ones."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

from pyspark.sql import DataFrame

from clicklake.progress import WORK
from clicklake.rules import distinct, page_views
from clicklake.run.context import Context
from clicklake.schemas import PAGE_VIEWS, USER_PAGE_VIEWS, USER_UPDATES, USERS

_INPUTS = (USER_UPDATES, USERS, PAGE_VIEWS, USER_PAGE_VIEWS)


def compute(context: Context) -> None:
    with context.reporter.stage("write user_page_views") as stage:
        stage.rows = context.draft.replace(USER_PAGE_VIEWS, _viewed(context))


def _viewed(context: Context) -> Iterator[DataFrame]:
    people = context.draft.after(USERS)
    touched = _touched_users(context)
    if touched is not None:
        before = context.draft.live(USER_PAGE_VIEWS)
        yield page_views.renewed(before, _added_views(context), people, touched)
    else:
        parts = context.parts(PAGE_VIEWS)
        WORK.expect(len(parts), "partitions")
        for part in parts:
            views = context.draft.after(PAGE_VIEWS, part)
            yield page_views.by_user_and_url(views, part.within(people))


def _touched_users(context: Context) -> DataFrame | None:
    """The users of the new rows; None if all users are to be done anew."""
    new = [context.landed[t.name] for t in (USER_UPDATES, PAGE_VIEWS) if t.name in context.landed]
    live = context.lake.manifest.files(USER_PAGE_VIEWS.name)
    if not new or any(landed.planned.rebuild for landed in new):
        return None
    if any(map(context.plan.is_outdated, _INPUTS)) or not context.are_few(new, of=live):
        return None
    return reduce(
        DataFrame.unionByName, [landed.events().select("user_id") for landed in new]
    ).distinct()


def _added_views(context: Context) -> DataFrame:
    """The page views that no run has seen before."""
    landed = context.landed.get(PAGE_VIEWS.name)
    if landed is None:
        return context.tables.read(PAGE_VIEWS.schema, [])
    known = context.draft.live(PAGE_VIEWS, landed.months)
    return distinct.added(landed.events(), known, PAGE_VIEWS)
