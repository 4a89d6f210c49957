"""Recommendations for all users, in blocks, on the engine."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from clicklake.engines import Engine, shared
from clicklake.engines.batches import owned
from clicklake.recommend.bundle import Bundle, load
from clicklake.recommend.interactions import Interactions
from clicklake.recommend.lists import reasons, top_lists

PLACES = 3
POPULAR = "popular"
SCHEMA = (
    "user_id bigint, email string, recommended_url string, rank int, score double,"
    " source string, because_url string"
)


def score_all(engine: Engine, histories: DataFrame, bundle: Bundle, scratch: Path) -> DataFrame:
    """The table of recommendations, in no order, from `views.histories`.

    `scratch`: a local folder that must outlive the reading of the result.
    """
    path = scratch / f"{uuid.uuid4().hex}.bundle"
    bundle.save(path)
    work = partial(_recommend, name=engine.share(path))
    return histories.mapInArrow(work, SCHEMA)


def _recommend(batches: Iterator[pa.RecordBatch], name: str) -> Iterator[pa.RecordBatch]:
    # Every core has its own task.
    threadpool_limits(1)
    bundle = load(str(shared(name)))
    for batch in batches:
        if batch.num_rows:
            yield owned(recommend_batch(batch, bundle))


def recommend_batch(batch: pa.RecordBatch, bundle: Bundle) -> pa.RecordBatch:
    """Up to `PLACES` rows for each of a batch's users."""
    histories = _matrix(batch.column("history"), bundle)
    lists = top_lists(bundle.model, histories, PLACES)
    because = reasons(bundle.model, histories, lists)
    rows, places = np.nonzero(lists.pages >= 0)
    from_model = lists.from_model[rows, places]
    seen = because[rows, places]
    return pa.RecordBatch.from_pydict(
        {
            "user_id": batch.column("user_id").take(pa.array(rows)),
            "email": batch.column("email").take(pa.array(rows)),
            "recommended_url": bundle.urls.take(pa.array(lists.pages[rows, places])),
            "rank": pa.array(places + 1, pa.int32()),
            "score": pa.array(lists.scores[rows, places]),
            "source": pa.array(np.where(from_model, bundle.model.name, POPULAR)),
            "because_url": bundle.urls.take(pa.array(seen, mask=seen < 0)),
        }
    )


def _matrix(histories: pa.ListArray, bundle: Bundle) -> csr_matrix:
    """The weights of each user's pages; what is not in the catalogue is left out."""
    entries = histories.flatten()
    lengths = histories.value_lengths().fill_null(0).to_numpy()
    keys = entries.field("page_key").to_numpy()
    views = entries.field("views").to_numpy()
    times = entries.field("last_viewed").to_numpy(zero_copy_only=False)
    rows = np.repeat(np.arange(len(histories)), lengths)
    place = np.minimum(np.searchsorted(bundle.keys, keys), len(bundle.keys) - 1)
    known = bundle.keys[place] == keys
    numbers = bundle.numbers[place[known]]
    data = Interactions.of_rows(
        rows[known], numbers, views[known], times[known], (len(histories), len(bundle.urls))
    )
    return data.histories(bundle.weighting)
