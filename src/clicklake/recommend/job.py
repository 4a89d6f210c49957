"""The step of the job that makes `page_recommendations`."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from threadpoolctl import threadpool_limits

from clicklake.config import Recommend
from clicklake.engines import Engine
from clicklake.recommend import views
from clicklake.recommend.bundle import Bundle
from clicklake.recommend.choice import Choice, above_popularity, choose, memory
from clicklake.recommend.families import fit
from clicklake.recommend.interactions import DAY, Interactions
from clicklake.recommend.models import Model
from clicklake.recommend.quality import Quality, measure
from clicklake.recommend.scoring import SCHEMA, score_all
from clicklake.recommend.spark_als import fit_spark_als
from clicklake.recommend.tuning import METRIC, hide, weighting

# Pages of few users are left out only where at least so many others remain.
_SMALL_CATALOGUE = 1000
_BUCKETS = 1000


@dataclass(frozen=True)
class Result:
    """`table`: page_recommendations, in no order; `report`: for the run's metrics, in JSON;
    `choice`: what the next run is to be given, in JSON."""

    table: DataFrame
    report: dict[str, Any]
    choice: dict[str, Any]


def recommend(
    engine: Engine,
    user_page_views: DataFrame,
    users: DataFrame,
    settings: Recommend,
    previous_choice: dict[str, Any] | None,
    scratch: Path,
) -> Result:
    """Recommend three pages to every user, by the model that `settings` ask for.

    `users` and `user_page_views` are the lake's tables; a user of either gets a list.
    `scratch`: an empty local folder, which must live until the table has been read. From here
    on BLAS runs on one thread in this process: results must not depend on the cores.
    """
    threadpool_limits(1)
    began = time.perf_counter()
    pairs = engine.settled(views.interactions(user_page_views), scratch)
    catalogue = Catalogue.of(views.catalogue(user_page_views, pairs), settings)
    if not len(catalogue.urls):
        report = {"model": None, "warnings": [_nothing(settings)]}
        return Result(engine.session.createDataFrame([], SCHEMA), report, {})
    data = _collect(pairs, catalogue, settings)
    collected = time.perf_counter()
    choice = choose(data, settings, previous_choice)
    chosen = time.perf_counter()
    model, choice = _fit(engine, pairs, choice, data, catalogue, settings)
    weights = weighting(choice.spec, settings, data)
    fitted = time.perf_counter()
    bundle = Bundle(model, weights, catalogue.keys, catalogue.numbers, catalogue.urls)
    table = score_all(engine, views.histories(users, pairs), bundle, scratch)
    report = _report(choice, data, catalogue) | {
        "seconds": {
            "collect": round(collected - began, 3),
            "choose": round(chosen - collected, 3),
            "fit": round(fitted - chosen, 3),
        }
    }
    return Result(table, report, memory(choice, data, settings))


@dataclass(frozen=True)
class Catalogue:
    """The pages that can be recommended, numbered by falling popularity, then canonical URL.

    `keys`: their keys, ascending; `numbers`: the number of each key; `urls`: the URL of each
    number; `pairs`: all pairs of user and page, with the pages that were left out.
    """

    keys: np.ndarray
    numbers: np.ndarray
    urls: pa.Array
    pairs: int

    @classmethod
    def of(cls, pages: DataFrame, settings: Recommend) -> Catalogue:
        table = pages.toArrow()
        total = int(sum(table.column("users").to_pylist()))
        table = _wanted(table, settings)
        supported = table.filter(pc.greater_equal(table.column("users"), settings.min_users))
        if supported.num_rows >= _SMALL_CATALOGUE:
            table = supported
        table = table.sort_by([("users", "descending"), ("page", "ascending")]).combine_chunks()
        keys = table.column("page_key").to_numpy()
        numbers = np.argsort(keys)
        urls = pa.array(table.column("url").to_pylist(), pa.string())
        return cls(keys[numbers], numbers.astype(np.int32), urls, total)


def _wanted(pages: pa.Table, settings: Recommend) -> pa.Table:
    """The pages that may be shown: not excluded, and viewed lately enough."""
    if settings.exclude:
        pages = pages.filter(pc.invert(pc.match_substring_regex(pages["page"], settings.exclude)))
    if settings.viewed_within_days and pages.num_rows:
        since = pc.max(pages["last_viewed"]).as_py() - DAY * settings.viewed_within_days
        pages = pages.filter(pc.greater_equal(pages["last_viewed"], since))
    return pages


def _nothing(settings: Recommend) -> str:
    told = "There are no page views to recommend from."
    return f"{told} [RECOMMEND] EXCLUDE may leave out all." if settings.exclude else told


def _collect(pairs: DataFrame, catalogue: Catalogue, settings: Recommend) -> Interactions:
    """The interactions on this machine: of all users, or of a sample that fits."""
    if catalogue.pairs > settings.max_fit_pairs:
        kept = int(_BUCKETS * settings.max_fit_pairs / catalogue.pairs)
        pairs = pairs.where(F.pmod(F.xxhash64("user_id"), F.lit(_BUCKETS)) < kept)
    table = pairs.toArrow()
    columns = {name: table.column(name).to_numpy() for name in table.schema.names}
    place = np.minimum(
        np.searchsorted(catalogue.keys, columns["page_key"]), len(catalogue.keys) - 1
    )
    known = catalogue.keys[place] == columns["page_key"]
    data = Interactions.of(
        columns["user_id"][known],
        catalogue.numbers[place[known]],
        columns["views"][known],
        columns["last_viewed"][known],
        len(catalogue.urls),
    )
    return data.capped(settings.max_pages_per_user)


def _fit(
    engine: Engine,
    pairs: DataFrame,
    choice: Choice,
    data: Interactions,
    catalogue: Catalogue,
    settings: Recommend,
) -> tuple[Model, Choice]:
    """The chosen model, fitted on this machine, or by Spark if it is ALS and has too many pairs.

    Spark's ALS never sees the users by whom models are judged, so that it can be judged as well.
    """
    weigh = weighting(choice.spec, settings, data)
    is_too_large = catalogue.pairs > settings.max_fit_pairs
    if choice.spec.model != "als" or not is_too_large or not engine.fits_als:
        return fit(choice.spec, data.weights(weigh)), choice
    left, hidden = hide(data)
    judged = left.users[np.diff(hidden.indptr) > 0]
    others = pairs.join(_frame(engine.session, user_id=judged), on="user_id", how="left_anti")
    pages = _frame(engine.session, page_key=catalogue.keys, page=catalogue.numbers)
    model = fit_spark_als(
        views.weighted(others, pages, weigh),
        n_pages=len(catalogue.urls),
        mean=data.views.nnz / len(data.users),
        params=choice.spec.params,
    )
    quality = measure(model, left.histories(weigh), hidden)
    final = above_popularity(replace(choice, chosen=quality, fitted_by="spark"))
    return (model if final.spec == choice.spec else fit(final.spec, data.weights(weigh))), final


def _frame(spark: SparkSession, **columns: np.ndarray) -> DataFrame:
    return spark.createDataFrame(pa.table(columns))


def _report(choice: Choice, data: Interactions, catalogue: Catalogue) -> dict[str, Any]:
    report: dict[str, Any] = {
        **choice.spec.as_dict(),
        "remembered": choice.remembered,
        "fitted_by": choice.fitted_by,
        "users": data.views.shape[0],
        "pages": data.views.shape[1],
        "pairs": catalogue.pairs,
        "fitted_pairs": data.views.nnz,
        "chosen_by": METRIC,
        "candidates": [
            {
                **trial.spec.as_dict(),
                **_brief(trial.quality),
                "seconds": round(trial.seconds, 3),
            }
            for trial in choice.trials
        ],
        "skipped": list(choice.skipped),
        "warnings": list(choice.warnings),
    }
    if choice.chosen and choice.popularity:
        difference, error = choice.chosen.against(choice.popularity, METRIC)
        report |= {
            "judged_users": len(choice.chosen.values[METRIC]),
            "quality": choice.chosen.as_dict(),
            "popularity": choice.popularity.as_dict(),
            "above_popularity": {
                "mean": round(difference, 6),
                "standard_error": round(error, 6),
            },
        }
    return report


def _brief(quality: Quality) -> dict[str, float]:
    return {
        METRIC: round(quality.mean(METRIC), 6),
        "standard_error": round(quality.error(METRIC), 6),
        "hit_rate@3": round(quality.mean("hit_rate@3"), 6),
    }
