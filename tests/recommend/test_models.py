"""The models against plain definitions of them, and what is hidden from them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from clicklake.recommend.als import Side, fit_als
from clicklake.recommend.interactions import Interactions, Weighting, places
from clicklake.recommend.lists import Lists, top_lists
from clicklake.recommend.models import fit_ease, fit_rp3beta
from clicklake.recommend.quality import compare


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As in the job: threads of BLAS would make small tasks slow."""
    with threadpool_limits(1):
        yield


DAY = 86_400_000_000


@pytest.fixture(scope="module")
def weights() -> csr_matrix:
    rng = np.random.default_rng(3)
    dense = (rng.random((50, 30)) < 0.25) * rng.choice([1.0, 1.5, 2.0], (50, 30))
    dense[7] = 0  # a user without views
    return csr_matrix(dense.astype(np.float32))


def test_ease_is_the_ridge_regression_of_each_page_on_all_others(weights):
    dense = weights.toarray().astype(float)
    penalty = 0.3 * weights.nnz / 30
    similar = fit_ease(weights, ridge=0.3).similar
    for page in range(30):
        others = np.delete(np.arange(30), page)
        x, y = dense[:, others], dense[:, page]
        solution = np.linalg.solve(x.T @ x + penalty * np.eye(29), x.T @ y)
        assert similar[others, page] == pytest.approx(solution, abs=1e-5)
        assert similar[page, page] == 0


def test_rp3beta_counts_walks_from_page_to_user_to_page(weights):
    similar = fit_rp3beta(weights, alpha=0.7, beta=0.2, gamma=0.5, neighbours=30).similar
    dense = weights.toarray()
    viewed = dense > 0
    pages, users = viewed.sum(axis=0), viewed.sum(axis=1)
    for i in range(30):
        for j in range(30):
            walks = sum(
                dense[u, i] * dense[u, j] / users[u] ** 0.5
                for u in np.flatnonzero(viewed[:, i] & viewed[:, j])
            )
            expected = 0 if i == j else walks / pages[i] ** 0.7 / pages[j] ** 0.2
            assert similar[i, j] == pytest.approx(expected, rel=1e-4)


def test_rp3beta_keeps_the_strongest_neighbours(weights):
    every = fit_rp3beta(weights, 0.7, 0.2, 0.5, neighbours=30).similar.toarray()
    few = fit_rp3beta(weights, 0.7, 0.2, 0.5, neighbours=4).similar.toarray()
    for row in range(30):
        assert (few[row] > 0).sum() == 4
        assert sorted(few[row][few[row] > 0]) == sorted(every[row])[-4:]


def test_als_solves_the_normal_equations_of_each_user(weights):
    """Long rows are solved by d by d systems and short ones by n by n: both must hold."""
    rng = np.random.default_rng(0)
    for factors in (4, 12):
        side = Side.of(rng.standard_normal((30, factors)).astype(np.float32), 0.2, 0.3)
        solved = side.solve(weights)
        f = side.factors.astype(float)
        for user in range(50):
            row = weights[user]
            seen, w = row.indices, row.data
            penalty = 0.3 * (len(seen) + 0.2 * 30)
            normal = 0.2 * f.T @ f + (f[seen].T * w) @ f[seen] + penalty * np.eye(factors)
            expected = np.linalg.solve(normal, f[seen].T @ w)
            assert solved[user] == pytest.approx(expected, abs=1e-4)


def test_training_solves_them_nearly():
    """Of rows that have many pages and of rows that have few."""
    rng = np.random.default_rng(5)
    weights = csr_matrix((rng.random((40, 300)) < rng.random((40, 1)) ** 3).astype(np.float32))
    side = Side.of(rng.standard_normal((300, 16)).astype(np.float32), 0.1, 0.3)
    exact, near = side.solve(weights), side.approach(weights, map)
    assert np.linalg.norm(near - exact) < 0.01 * np.linalg.norm(exact)
    assert not np.array_equal(near, exact)


def test_als_finds_two_groups_of_pages():
    """Users of each group view some of its pages: what they miss is of the same group."""
    rng = np.random.default_rng(1)
    group = np.arange(40)[:, None] % 2 == np.arange(20)[None, :] % 2
    weights = csr_matrix((group & (rng.random((40, 20)) < 0.7)).astype(np.float32))
    lists = top_lists(fit_als(weights, factors=4, alpha0=0.1, strength=1.0), weights, 1)
    found = lists.from_model[:, 0]
    assert found.sum() >= 35
    assert (lists.pages[found, 0] % 2 == np.flatnonzero(found) % 2).all()


def interactions(*rows: tuple[int, int, int, int], pages: int = 20) -> Interactions:
    """From (user, page, views, day)."""
    users, numbers, views, days = np.array(rows).T
    return Interactions.of(users, numbers, views, days * DAY, pages)


def test_the_last_page_by_time_is_hidden():
    data = interactions((7, 3, 1, 10), (7, 5, 1, 30), (7, 4, 1, 20), (9, 1, 1, 1))
    left, hidden = data.hold_out(users=10)
    assert hidden.toarray()[0].nonzero()[0].tolist() == [5]
    assert hidden.toarray()[1].sum() == 0, "a user of one page keeps it"
    assert left.views[0].indices.tolist() == [3, 4]
    assert left.times.tolist() == [10 * DAY, 20 * DAY, DAY]


def test_long_histories_hide_their_last_tenth():
    rows = [(1, page, 1, 100 - page) for page in range(20)]
    _, hidden = interactions(*rows).hold_out(users=1)
    assert hidden.indices.tolist() == [0, 1]


def test_without_times_what_is_hidden_depends_on_the_user_and_is_the_same_every_time():
    users, pages = np.divmod(np.arange(2000), 20)
    data = Interactions.of(users, pages, np.ones(2000), None, 20)
    _, hidden = data.hold_out(users=100)
    assert len(set(hidden.indices)) == 20, "every page is hidden from somebody"
    order = np.random.default_rng(0).permutation(2000)
    shuffled = Interactions.of(users[order], pages[order], np.ones(2000), None, 20)
    assert (shuffled.hold_out(users=100)[1] != hidden).nnz == 0


def test_a_cap_keeps_the_last_pages():
    rows = [(1, page, 1, page) for page in range(10)] + [(2, 3, 1, 5)]
    assert interactions(*rows).capped(2).views.indices.tolist() == [8, 9, 3]


def test_a_sample_is_of_whole_users():
    users, pages = np.divmod(np.arange(1000), 10)
    data = Interactions.of(users, pages, np.ones(1000), None, 10)
    sample = data.sample(300)
    assert 250 <= sample.views.nnz <= 300
    assert (sample.lengths == 10).all()
    assert set(sample.users) < set(data.users)
    assert data.sample(1000) is data


def test_log_weights_grow_with_views_up_to_the_cap():
    weigh = Weighting("log", cap=7)
    assert weigh(np.array([1, 3, 7, 1000]), None).tolist() == [1, 2, 3, 3]
    assert Weighting("binary")(np.array([1, 50]), None).tolist() == [1, 1]


def test_a_weight_halves_with_each_half_life():
    weigh = Weighting("binary", half_life_days=10, now=100 * DAY)
    times = np.array([100, 90, 80, 101]) * DAY
    assert weigh(np.ones(4), times).tolist() == [1, 0.5, 0.25, 1]


def test_metrics_of_a_list_done_by_hand():
    """Two hidden pages, found at places 1 and 3 of 20; the third is not found."""
    pages = np.array([[4, 1, 6, *range(20, 37)]], dtype=np.int32)
    lists = Lists(pages, np.ones(pages.shape), np.ones(pages.shape, dtype=bool))
    hidden = csr_matrix(np.isin(np.arange(50), [4, 6, 49])[None].astype(np.float32))
    histories = csr_matrix(np.isin(np.arange(50), [0, 4])[None].astype(np.float32))
    quality = compare(lists, hidden, histories)
    assert quality.mean("hit_rate@3") == 1
    assert quality.mean("recall@3") == pytest.approx(2 / 3)
    gains = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert quality.mean("ndcg@3") == pytest.approx((1 + 1 / np.log2(4)) / gains)
    assert quality.coverage == pytest.approx(3 / 50)
    assert quality.popularity == pytest.approx(1 / 3)


def test_places_count_the_later_views_of_the_same_user():
    times = np.array([5, 9, 9, 1, 7, 7])
    assert places(times, np.array([0, 4, 4, 6])).tolist() == [2, 0, 0, 3, 0, 0]


def test_a_page_counts_less_for_each_page_that_was_viewed_after_it():
    data = interactions((7, 3, 1, 10), (7, 5, 3, 30), (7, 4, 1, 20), (9, 1, 1, 1))
    weigh = Weighting("log", decay=0.5)
    assert data.histories(weigh).data.tolist() == [0.25, 0.5, 2, 1]
    assert data.weights(weigh).data.tolist() == [1, 1, 2, 1], "models are fitted without order"
    timeless = Interactions(data.users, data.views)
    assert timeless.histories(weigh).data.tolist() == [1, 1, 2, 1]
