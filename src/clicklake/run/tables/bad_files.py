"""`bad_files`: the files that are set aside now."""

from __future__ import annotations

from dataclasses import asdict

import pyarrow as pa

from clicklake.lake.tables import Rewrite, Staged
from clicklake.run.context import Context
from clicklake.schemas import BAD_FILES


def compute(context: Context) -> None:
    """Sources of which nothing was read keep what they had."""
    tried = {planned.source for planned in context.plan.sources if planned.read or planned.rebuild}
    rows = [each for each in context.bad_before.values() if each.source not in tried]
    rows += context.bad
    live = context.lake.manifest.files(BAD_FILES.name)
    staged = Staged(BAD_FILES, ())
    if rows:
        table = pa.Table.from_pylist([asdict(each) for each in rows], schema=BAD_FILES.schema)
        frame = context.engine.session.createDataFrame(table)
        staged = context.tables.stage(frame, BAD_FILES)
    context.draft.put(BAD_FILES, Rewrite(staged, live))


def are_there(context: Context) -> bool:
    """Whether files are set aside, or were."""
    return bool(context.bad or context.bad_before)
