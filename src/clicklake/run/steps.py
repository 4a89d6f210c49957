"""The steps of a run: what each one reads and makes. Their order follows from that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

from clicklake.run.context import Context
from clicklake.run.tables import (
    bad_files,
    clickstream,
    page_follows,
    page_views,
    quarantine,
    recommendations,
    user_page_views,
    user_updates,
    users,
)
from clicklake.schemas import (
    BAD_FILES,
    CLICKSTREAM,
    PAGE_FOLLOWS,
    PAGE_RECOMMENDATIONS,
    PAGE_STEPS,
    PAGE_VIEWS,
    QUARANTINE,
    SESSIONS,
    USER_PAGE_VIEWS,
    USER_UPDATES,
    USERS,
    Table,
)


@dataclass(frozen=True)
class Step:
    """A part of a run that makes `tables`, from new rows of `sources` and from tables `after`.

    `also_due`: what else may make it necessary.
    """

    tables: tuple[Table, ...]
    compute: Callable[[Context], None]
    sources: tuple[str, ...] = ()
    after: tuple[Table, ...] = ()
    also_due: Callable[[Context], bool] = lambda context: False

    def is_due(self, context: Context) -> bool:
        """Whether what it reads has changed, or what it made is outdated."""
        return (
            any(source in context.landed for source in self.sources)
            or any(context.draft.changes(table) for table in self.after)
            or any(context.plan.is_outdated(table) for table in self.tables)
            or self.also_due(context)
        )


STEPS = (
    Step((CLICKSTREAM, SESSIONS, PAGE_STEPS), clickstream.compute, sources=(CLICKSTREAM.name,)),
    Step((PAGE_FOLLOWS,), page_follows.compute, after=(PAGE_STEPS,)),
    Step((USER_UPDATES,), user_updates.compute, sources=(USER_UPDATES.name,)),
    Step((USERS,), users.compute, after=(USER_UPDATES,)),
    Step((PAGE_VIEWS,), page_views.compute, sources=(PAGE_VIEWS.name,)),
    Step((USER_PAGE_VIEWS,), user_page_views.compute, after=(PAGE_VIEWS, USERS)),
    Step(
        (PAGE_RECOMMENDATIONS,),
        recommendations.compute,
        after=(USER_PAGE_VIEWS, USERS),
        also_due=recommendations.are_unwanted,
    ),
    Step(
        (QUARANTINE,),
        quarantine.compute,
        sources=(USER_UPDATES.name, PAGE_VIEWS.name, CLICKSTREAM.name),
    ),
    Step((BAD_FILES,), bad_files.compute, also_due=bad_files.are_there),
)


def in_order(steps: Sequence[Step] = STEPS) -> list[Step]:
    """The steps, each after those whose tables it reads; otherwise as they are listed."""
    makers = {table.name: step for step in steps for table in step.tables}
    waiting = TopologicalSorter({s: [makers[t.name] for t in s.after] for s in steps})
    return list(waiting.static_order())


def compute(context: Context) -> None:
    """Do what is due."""
    for step in in_order():
        if step.is_due(context):
            step.compute(context)
