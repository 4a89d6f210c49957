"""Recommendations on Spark itself: the same table, and ALS by Spark for what is too large."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import recommend_support
from clicklake.recommend.interactions import Weighting
from clicklake.recommend.views import weighted
from recommend_support import digest, run, shops, spelling, users

pytestmark = [pytest.mark.slow, pytest.mark.spark]


def test_both_engines_make_the_same_table(spark, tmp_path):
    table, _ = run(spark, shops(), users(*range(120), 900), tmp_path, 3)
    assert digest(table) == digest_on_sail()


def digest_on_sail() -> str:
    src = Path(__file__).parents[2] / "src"
    hidden = ("SPARK_REMOTE", "SPARK_LOCAL_REMOTE", "SPARK_CONNECT_MODE_ENABLED")
    env = {name: value for name, value in os.environ.items() if name not in hidden}
    command = [sys.executable, recommend_support.__file__, "sail"]
    env |= {"PYTHONPATH": str(src)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return done.stdout.split()[-1]


def test_spark_fits_als_where_one_machine_cannot(spark, tmp_path):
    settings = {"max_fit_pairs": 500, "model": "als"}
    table, report = run(spark, shops(300), users(*range(300)), tmp_path, **settings)
    assert report["fitted_by"] == "spark"
    assert report["quality"]["ndcg@3"]["mean"] > report["popularity"]["ndcg@3"]["mean"]
    rows = [row for row in table.to_pylist() if row["source"] == "als"]
    assert len(rows) > 800
    own = [spelling(row["recommended_url"])[0] == str(row["user_id"] % 2) for row in rows]
    assert np.mean(own) > 0.95


def test_weights_on_the_engine_are_those_of_one_machine(spark):
    day = 86_400_000_000
    pairs = pa.table(
        {
            "user_id": [1, 1, 2, 3],
            "page_key": [11, 12, 11, 99],
            "views": [1, 7, 100, 5],
            "last_viewed": [0, 90 * day, 100 * day, 0],
        }
    )
    pages = spark.session.createDataFrame(pa.table({"page_key": [11, 12], "page": [1, 0]}))
    for weigh in (Weighting(), Weighting("log", 20), Weighting("log", 20, 5, 100 * day)):
        rows = weighted(spark.session.createDataFrame(pairs), pages, weigh).collect()
        found = {(row.user_id, row.page): row.weight for row in rows}
        views, times = (pairs.column(name).to_numpy()[:3] for name in ("views", "last_viewed"))
        expected = dict(zip([(1, 1), (1, 0), (2, 1)], weigh(views, times), strict=True))
        assert found == pytest.approx(expected, rel=1e-6)
