"""Which pages a list holds: unseen ones only, the best first, full where that is possible."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from clicklake.recommend import factors, kernels
from clicklake.recommend.als import fit_als
from clicklake.recommend.factors import FactorScores, Ranked
from clicklake.recommend.lists import reasons, top_lists
from clicklake.recommend.models import Blend, ItemToItem, fit_ease, fit_popularity, fit_rp3beta
from clicklake.recommend.scores import ExactScores, best


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As in the job: threads of BLAS would make small tasks slow."""
    with threadpool_limits(1):
        yield


def views(*histories: list[int], pages: int) -> csr_matrix:
    """Users by pages, from the page numbers that each user viewed."""
    matrix = np.zeros((len(histories), pages), dtype=np.float32)
    for row, seen in enumerate(histories):
        matrix[row, seen] = 1
    return csr_matrix(matrix)


def random_views(seed: int, users: int = 60, pages: int = 40) -> csr_matrix:
    """Users who view pages in proportion to 1 / (page number + 1), the popular ones first."""
    rng = np.random.default_rng(seed)
    dense = rng.random((users, pages)) < 0.9 / (1 + np.arange(pages)) ** 0.7
    order = np.argsort(-dense.sum(axis=0), kind="stable")
    return csr_matrix(dense[:, order].astype(np.float32))


MODELS = {
    "popular": fit_popularity,
    "ease": lambda weights: fit_ease(weights, ridge=0.3),
    "rp3beta": lambda weights: fit_rp3beta(weights, alpha=0.7, beta=0.2, gamma=0.5),
    "als": lambda weights: fit_als(weights, factors=8, alpha0=0.1, strength=1.0),
    "blend": lambda weights: Blend(
        (
            (0.7, fit_als(weights, factors=8, alpha0=0.1, strength=1.0)),
            (2.0, fit_rp3beta(weights, alpha=0.7, beta=0.2, gamma=0.5)),
        )
    ),
}


@pytest.fixture(scope="module", params=MODELS)
def model_and_views(request):
    weights = random_views(1)
    return MODELS[request.param](weights), weights


def test_no_model_recommends_a_seen_page(model_and_views):
    model, weights = model_and_views
    lists = top_lists(model, weights, 20)
    for row, pages in enumerate(lists.pages):
        seen = set(weights[row].indices)
        listed = [page for page in pages if page >= 0]
        assert not seen & set(listed)
        assert len(set(listed)) == len(listed) == min(20, weights.shape[1] - len(seen))


def test_scores_fall_from_place_to_place(model_and_views):
    model, weights = model_and_views
    lists = top_lists(model, weights, 10)
    assert (np.diff(lists.scores, axis=1) <= 0).all()


def test_a_list_does_not_depend_on_who_shares_the_block(model_and_views):
    model, weights = model_and_views
    together = top_lists(model, weights, 5)
    for row in range(weights.shape[0]):
        alone = top_lists(model, weights[row], 5)
        assert alone.pages.tolist() == together.pages[row : row + 1].tolist()
        assert alone.scores.tobytes() == together.scores[row : row + 1].tobytes()


def test_the_reason_is_a_seen_page_and_popular_pages_have_none(model_and_views):
    model, weights = model_and_views
    lists = top_lists(model, weights, 5)
    because = reasons(model, weights, lists)
    for row in range(weights.shape[0]):
        named = {page for page in because[row] if page >= 0}
        assert named <= set(weights[row].indices)
    assert (because[~lists.from_model] == -1).all()
    if model.name not in ("popular", "als", "blend"):
        assert (because[lists.from_model] >= 0).all()


def test_the_reason_is_the_page_that_weighs_most():
    similar = np.array([[0, 0, 0.2], [0, 0, 0.3], [0, 0, 0]], dtype=np.float32)
    model = ItemToItem("ease", similar)
    light, heavy = views([0, 1], pages=3), views([0, 1], pages=3)
    heavy[0, 0] = 2
    for histories, reason in ((light, 1), (heavy, 0)):
        assert reasons(model, histories, top_lists(model, histories, 1)).tolist() == [[reason]]


def test_ties_go_to_the_more_popular_page():
    scores = ExactScores(np.array([[0.5, 0.5, 0.5, 0.7]], dtype=np.float32))
    pages, values = best(scores, views([], pages=4), 3)
    assert pages.tolist() == [[3, 0, 1]]
    assert values.tolist() == [[0.7, 0.5, 0.5]]


def test_scores_that_differ_in_the_last_bits_only_are_ties():
    scores = ExactScores(np.array([[0.3, 0.1 + 0.2, 0.1]]))
    assert best(scores, views([], pages=3), 2)[0].tolist() == [[0, 1]]


def test_a_user_without_history_gets_the_most_popular_pages():
    weights = random_views(2)
    lists = top_lists(MODELS["ease"](weights), views([], [0, 2], pages=40), 3)
    assert lists.pages[0].tolist() == [0, 1, 2]
    assert not lists.from_model[0].any()


def test_popularity_as_the_model_gives_users_without_history_no_reason():
    weights = random_views(2)
    model = fit_popularity(weights)
    for histories in ([], [0]), ([0], []), ([0], [], [1]), ([],):
        given = views(*histories, pages=40)
        because = reasons(model, given, top_lists(model, given, 3))
        assert (because[[not seen for seen in histories]] == -1).all()


def test_a_short_list_is_filled_with_popular_pages():
    similar = csr_matrix(([0.5], ([1], [4])), shape=(6, 6), dtype=np.float32)
    lists = top_lists(ItemToItem("rp3beta", similar), views([0, 1], pages=6), 3)
    assert lists.pages.tolist() == [[4, 2, 3]]
    assert lists.from_model.tolist() == [[True, False, False]]
    assert lists.scores.tolist() == [[0.5, 0, 0]]


def test_a_list_ends_where_the_catalogue_does():
    lists = top_lists(MODELS["ease"](random_views(1)), views(list(range(39)), pages=40), 3)
    assert lists.pages.tolist() == [[39, -1, -1]]
    assert top_lists(
        MODELS["als"](random_views(1)), views(list(range(40)), pages=40), 3
    ).pages.tolist() == [[-1, -1, -1]]


@dataclass
class Given:
    """Scores that are given, dense or sparse."""

    values: np.ndarray | csr_matrix
    name: str = "given"

    def score(self, histories):
        return ExactScores(self.values.copy())


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 20]), st.sampled_from([5, 700, 3000]))
def test_the_best_are_those_of_a_full_sort(seed, k, pages):
    rng = np.random.default_rng(seed)
    values = rng.integers(-3, 9, size=(3, pages)).astype(np.float32) / 8
    seen = csr_matrix((rng.random((3, pages)) < 0.2).astype(np.float32))
    found, _ = best(ExactScores(values.copy()), seen, k)
    assert_best_of(np.where(seen.toarray() > 0, 0, values), found, k)


def assert_best_of(allowed: np.ndarray, found: np.ndarray, k: int) -> None:
    """`found` are the `k` best pages of each row of `allowed`, where seen pages score 0."""
    for row in range(len(allowed)):
        order = sorted(range(len(allowed[0])), key=lambda page: (-allowed[row, page], page))
        expected = [page for page in order if allowed[row, page] > 0][:k]
        assert [page for page in found[row] if page >= 0] == expected


@pytest.mark.slow
@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 20]), st.sampled_from([5, 300]))
def test_the_best_by_similar_pages_are_those_of_a_full_sort(seed, k, pages):
    """Some sums cancel out, and some users have no history."""
    rng = np.random.default_rng(seed)
    is_similar = rng.random((pages, pages)) < 0.2
    similar = (is_similar * rng.integers(-3, 9, (pages, pages)) / 8).astype(np.float32)
    seen = (rng.random((6, pages)) < 0.2) * rng.integers(1, 4, (6, pages))
    seen[4] = 0
    histories = csr_matrix(seen.astype(np.float32))
    allowed = np.where(seen > 0, 0, seen @ similar.astype(float))
    for form in (similar, csr_matrix(similar)):
        found, scores = best(ItemToItem("any", form).score(histories), histories, k)
        assert_best_of(allowed, found, k)
        rows, places = np.nonzero(found >= 0)
        expected = allowed[rows, found[rows, places]]
        assert scores[rows, places] == pytest.approx(expected, rel=1e-5)
        part = ItemToItem("any", form).score(histories).at(rows, found[rows, places])
        assert part == pytest.approx(expected)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 4]))
def test_a_list_is_filled_with_the_lowest_free_numbers(seed, k):
    rng = np.random.default_rng(seed)
    seen = csr_matrix((rng.random((5, 7)) < 0.5).astype(np.float32))
    lists = np.full((5, k), -1, dtype=np.int32)
    for row in range(4):
        free = np.setdiff1d(np.arange(7), seen[row].indices)
        lists[row, : row % k] = np.resize(rng.permutation(free), max(row % k, 1))[: row % k]
    started = lists.copy()
    kernels.fill(lists, seen.indptr, seen.indices, 7)
    for row in range(5):
        kept = [page for page in started[row] if page >= 0]
        rest = [p for p in range(7) if p not in seen[row].indices and p not in kept]
        expected = [*kept, *rest][:k]
        assert [page for page in lists[row] if page >= 0] == expected


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 20]), st.sampled_from([5, 700]))
def test_the_best_by_factors_are_those_of_a_full_sort(seed, k, pages):
    """Some users are far from all pages, some pages are twins, and one user has no factors."""
    rng = np.random.default_rng(seed)
    lengths = rng.pareto(1.5, size=(pages, 1)).astype(np.float32)
    places = rng.standard_normal((pages, 4), dtype=np.float32) * lengths
    places[pages // 2 :] = places[: pages - pages // 2]
    people = rng.standard_normal((6, 4), dtype=np.float32) * np.float32(
        [[0], [1], [1], [9], [9], [1]]
    )
    seen = csr_matrix((rng.random((6, pages)) < 0.2).astype(np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(factors, "_TILE", 60)
        patch.setattr(factors, "_NARROWEST", 3)
        found, scores = best(FactorScores(people, places, Ranked.of(places)), seen, k)
    exact = np.vectorize(lambda score: float(f"{score:.6g}"))(people.astype(float) @ places.T)
    exact[seen.nonzero()] = 0
    for row in range(6):
        order = sorted(range(pages), key=lambda page, row=row: (-exact[row, page], page))
        expected = [page for page in order if exact[row, page] > 0][:k]
        assert [page for page in found[row] if page >= 0] == expected
        assert scores[row, : len(expected)] == pytest.approx(exact[row, expected])


def test_few_pages_are_looked_at_where_their_norms_decide(monkeypatch):
    rng = np.random.default_rng(0)
    places = rng.standard_normal((50_000, 4), dtype=np.float32) / np.arange(1, 50_001)[:, None]
    looked_at = []
    monkeypatch.setattr(
        factors,
        "_k_highest",
        lambda known, v, do=factors._k_highest: looked_at.append(v.size) or do(known, v),
    )
    people = rng.standard_normal((4096, 4), dtype=np.float32)
    best(FactorScores(people, places, Ranked.of(places)), csr_matrix((4096, 50_000)), 3)
    assert sum(looked_at) < 0.02 * 4096 * 50_000
