"""`page_views`: the distinct rows of their source."""

from __future__ import annotations

from clicklake.run.context import Context
from clicklake.run.tables import distinct
from clicklake.schemas import PAGE_VIEWS


def compute(context: Context) -> None:
    distinct.compute(context, PAGE_VIEWS)
