"""`page_recommendations`: anew whenever users or their page views have changed."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from clicklake.lake.places import RECOMMENDER
from clicklake.lake.tables import Rewrite, Staged
from clicklake.progress import WORK
from clicklake.run.context import Context
from clicklake.schemas import PAGE_RECOMMENDATIONS, USER_PAGE_VIEWS, USERS


def compute(context: Context) -> None:
    draft = context.draft
    if context.config.recommend.model == "none":
        live = context.lake.manifest.files(PAGE_RECOMMENDATIONS.name)
        draft.put(PAGE_RECOMMENDATIONS, Rewrite(Staged(PAGE_RECOMMENDATIONS, ()), live))
        return
    from clicklake import recommend  # SciPy takes a quarter of a second to import

    remembered = context.lake.document(RECOMMENDER)
    with context.reporter.stage("recommend") as stage, TemporaryDirectory() as scratch:
        WORK.expect(0, "trials")
        result = recommend.recommend(
            context.engine,
            draft.after(USER_PAGE_VIEWS),
            draft.after(USERS),
            context.config.recommend,
            json.loads(remembered) if remembered else None,
            Path(scratch),
        )
        stage.rows = draft.replace(PAGE_RECOMMENDATIONS, [result.table])
    for warning in result.report.get("warnings", []):
        context.reporter.warn(warning)
    context.recommendation = result.report
    context.documents[RECOMMENDER] = json.dumps(result.choice).encode()


def are_unwanted(context: Context) -> bool:
    """Whether there are recommendations that the configuration no longer asks for."""
    live = context.lake.manifest.files(PAGE_RECOMMENDATIONS.name)
    return context.config.recommend.model == "none" and bool(live)
