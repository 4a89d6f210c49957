"""Which model is published, and what a later run makes of that choice."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from clicklake.config import Recommend
from clicklake.recommend.choice import choose, memory
from clicklake.recommend.families import FAMILIES, Family, Spec
from clicklake.recommend.interactions import Interactions
from clicklake.recommend.models import ItemToItem
from clicklake.recommend.quality import Quality
from clicklake.recommend.tuning import METRIC, Trial


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As in the job: threads of BLAS would make small tasks slow."""
    with threadpool_limits(1):
        yield


SETTINGS = Recommend(tune_seconds=5)


def world(users: int = 300, views: int = 1, times: bool = False) -> Interactions:
    """Users who view pages of their own one of four groups, and little else."""
    rng = np.random.default_rng(users)
    same = np.arange(users)[:, None] % 4 == np.arange(40)[None, :] % 4
    rows, pages = np.nonzero(rng.random((users, 40)) < np.where(same, 0.5, 0.03))
    when = rng.integers(0, 10**15, len(rows)) if times else None
    return Interactions.of(rows, pages, rng.integers(1, views + 1, len(rows)), when, 40)


@pytest.fixture(scope="module")
def chosen():
    return choose(world(), SETTINGS, None)


@pytest.mark.slow
def test_the_best_candidate_is_chosen_and_every_family_was_one(chosen):
    assert {"popular", "als", "ease", "rp3beta"} <= {trial.spec.model for trial in chosen.trials}
    marks = {json.dumps(trial.spec.as_dict()): trial.mark for trial in chosen.trials}
    assert marks[json.dumps(chosen.spec.as_dict())] == max(marks.values())
    assert chosen.chosen.mean(METRIC) > 1.5 * chosen.popularity.mean(METRIC)
    assert not chosen.warnings


@pytest.mark.slow
def test_the_choice_is_the_same_every_time(chosen):
    again = choose(world(), SETTINGS, None)
    assert again.spec == chosen.spec
    assert [trial.mark for trial in again.trials] == [trial.mark for trial in chosen.trials]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["als", "ease", "rp3beta"])
def test_a_model_that_is_asked_for_is_the_one(model):
    found = choose(world(), replace(SETTINGS, model=model), None)
    assert found.spec.model == model
    assert {trial.spec.model for trial in found.trials} == {"popular", model}


def trails(users: int = 2000) -> Interactions:
    """Users view some even pages, then the odd one beside the last; half of them one more page.

    That page is what is hidden from half of the users, so that the others tell of the pairs.
    """
    rng = np.random.default_rng(1)
    rows, pages, times = [], [], []
    for user in range(users):
        even = 2 * rng.permutation(30)[:4]
        more = [2 * rng.integers(30) + 1] if user % 2 else []
        own = list(dict.fromkeys([*even, even[-1] + 1, *more]))
        rows += [user] * len(own)
        pages += own
        times += range(len(own))
    return Interactions.of(np.array(rows), np.array(pages), np.ones(len(rows)), np.array(times), 60)


@pytest.mark.slow
def test_order_counts_where_the_latest_page_says_what_comes_next():
    assert choose(trails(), SETTINGS, None).spec.decay < 1
    assert choose(world(times=True), SETTINGS, None).spec.decay == 1, "there order says nothing"


def trial(*values: float) -> Trial:
    quality = Quality({METRIC: np.array(values)}, 0, 0, 0, 1)
    return Trial(Spec("als", {}), quality, 0)


def test_a_gain_is_more_than_one_standard_error_over_the_same_users():
    base = trial(0.1, 0.5, 0.3, 0.7)
    assert trial(0.2, 0.6, 0.4, 0.8).gains(base), "everybody gains"
    assert not trial(0.9, 0.1, 0.3, 0.7).gains(base), "on average, but not surely"
    assert not base.gains(base)


def test_popularity_can_be_asked_for():
    found = choose(world(), replace(SETTINGS, model="popularity"), None)
    assert found.spec.model == "popular"
    assert found.chosen.values["hit_rate@3"].any()
    assert not found.warnings


def test_a_model_below_popularity_is_not_published(monkeypatch):
    def fit_backwards(weights, **_):
        rank = np.tile(np.arange(weights.shape[1], dtype=np.float32), (weights.shape[1], 1))
        return ItemToItem("als", rank)

    als = FAMILIES["als"]
    backwards = Family(fit_backwards, als.start, {}, als.fit_seconds, als.judge_seconds)
    monkeypatch.setitem(FAMILIES, "als", backwards)
    rng = np.random.default_rng(0)
    users, pages = np.nonzero(rng.random((400, 30)) < 0.8 / (1 + np.arange(30)))
    data = Interactions.of(users, pages, np.ones(len(users)), None, 30)
    found = choose(data, replace(SETTINGS, model="als"), None)
    assert found.spec.model == "popular"
    assert found.chosen == found.popularity
    assert "Popularity is published" in found.warnings[0]


def test_where_nothing_can_be_judged_popularity_is_published():
    data = Interactions(np.arange(3), csr_matrix(np.eye(3, dtype=np.float32)))
    found = choose(data, SETTINGS, None)
    assert found.spec.model == "popular"
    assert found.warnings


def test_the_cheapest_model_is_a_candidate_whatever_the_time():
    found = choose(world(), replace(SETTINGS, tune_seconds=0), None)
    assert {trial.spec.model for trial in found.trials} == {"popular", "rp3beta"}
    assert any("als" in line and "time" in line for line in found.skipped)


@pytest.mark.slow
def test_ease_is_left_out_of_large_catalogues(monkeypatch):
    monkeypatch.setitem(FAMILIES, "ease", replace(FAMILIES["ease"], most_pages=39))
    found = choose(world(), SETTINGS, None)
    assert "ease" not in {trial.spec.model for trial in found.trials}
    assert any("39 pages" in line for line in found.skipped)


@pytest.mark.slow
def test_counts_are_tried_where_there_are_some(chosen):
    assert {trial.spec.weights for trial in chosen.trials} == {"binary"}
    counted = choose(world(views=9), SETTINGS, None)
    assert {trial.spec.weights for trial in counted.trials} == {"binary", "log"}
    always = choose(world(views=9), replace(SETTINGS, weights="log", model="ease"), None)
    assert {trial.spec.weights for trial in always.trials} == {"binary", "log"}
    assert always.spec.weights == "log"


class TestMemory:
    """A choice is kept for data that are much the same."""

    @pytest.fixture
    def kept(self, chosen):
        return json.loads(json.dumps(memory(chosen, world(), SETTINGS)))

    def test_it_is_kept_without_tuning(self, chosen, kept):
        found = choose(world(310), SETTINGS, kept)
        assert found.remembered
        assert found.spec == chosen.spec
        assert len(found.trials) <= 2
        assert found.chosen.mean(METRIC) > found.popularity.mean(METRIC)

    @pytest.mark.slow
    def test_much_more_data_are_tuned_anew(self, kept):
        assert not choose(world(400), SETTINGS, kept).remembered

    @pytest.mark.slow
    def test_other_settings_are_tuned_anew(self, kept):
        assert not choose(world(), replace(SETTINGS, max_views=3), kept).remembered

    @pytest.mark.parametrize("old", [{}, {"version": 0}, {"version": 1}, {"version": 2}])
    def test_a_memory_of_another_kind_is_no_hindrance(self, old):
        assert not choose(world(), replace(SETTINGS, model="ease"), old).remembered
