"""`users`: of all user updates, or of what they were before and of the new ones."""

from __future__ import annotations

from collections.abc import Iterator

from pyspark.sql import DataFrame

from clicklake.progress import WORK
from clicklake.rules import users
from clicklake.run.context import Context
from clicklake.schemas import USER_UPDATES, USERS


def compute(context: Context) -> None:
    with context.reporter.stage("write users") as stage:
        stage.rows = context.draft.replace(USERS, _latest(context))


def _latest(context: Context) -> Iterator[DataFrame]:
    draft, landed = context.draft, context.landed.get(USER_UPDATES.name)
    known = draft.known(USERS).files(USERS.name)
    is_outdated = context.plan.is_outdated(USERS) or context.plan.is_outdated(USER_UPDATES)
    if landed and known and not is_outdated and context.are_few([landed], of=known):
        yield users.renewed(draft.rows(USERS, known), landed.events())
    else:
        parts = context.parts(USER_UPDATES)
        WORK.expect(len(parts), "partitions")
        for part in parts:
            yield users.latest(draft.after(USER_UPDATES, part))
