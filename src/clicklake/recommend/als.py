"""Implicit alternating least squares (iALS) with regularisation that grows with activity.

Hu, Koren and Volinsky 2008 with the loss and regulariser of Rendle et al. 2021, "Revisiting
the Performance of iALS on Item Recommendation Benchmarks": every page counts `alpha0`, a seen
one its weight besides, and a user of n pages is regularised by `ridge * (n + alpha0 * |pages|)`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_matrix

from clicklake.recommend.factors import FactorScores, Ranked
from clicklake.recommend.scores import Scores

# Floats gathered at once: they stay in a core's cache.
_CHUNK = 1_000_000
# Steps of conjugate gradients in training; with more of them no list gets better.
_STEPS = 3
# Rows of fewer entries are solved exactly, which is faster.
_FEW = 6
_TINY = np.finfo(np.float32).tiny
# Users that are scored at once.
_USERS = 4096
# With fewer pairs, handing work to threads takes longer than the work.
_WORTH_THREADS = 100_000


@dataclass(frozen=True)
class Side:
    """The factors of one side, turned so that their Gram matrix is diagonal.

    The turn changes no product of factors, and makes what all rows of the other side share,
    alpha0 * F'F + ridge, a diagonal that costs nothing to invert.
    """

    factors: np.ndarray
    gram: np.ndarray
    alpha0: float
    ridge: float
    background: float

    @classmethod
    def of(
        cls, factors: np.ndarray, alpha0: float, ridge: float, background: float | None = None
    ) -> Side:
        """`background`: what `ridge` multiplies besides n; without it alpha0 * |factors|."""
        gram, turn = np.linalg.eigh((factors.T @ factors).astype(np.float64))
        turned = factors @ turn.astype(np.float32)
        if background is None:
            background = alpha0 * len(factors)
        return cls(turned, np.maximum(gram, 0).astype(np.float32), alpha0, ridge, background)

    def diagonal(self, n: int) -> np.ndarray:
        """What a row of `n` entries has before any of its entries is looked at."""
        penalty = self.ridge * (n + self.background)
        return (self.alpha0 * self.gram + np.float32(penalty)).astype(np.float32)

    def solve(self, matrix: csr_matrix) -> np.ndarray:
        """The other side's factors, given its weights for each of this side's rows."""
        return self._each_length(matrix, self._solve_exactly, map)

    def approach(
        self, matrix: csr_matrix, run: Callable[[Callable, Iterable], Iterable]
    ) -> np.ndarray:
        """As `solve`, within a percent or so, which is what training needs.

        `run` is `map` or a pool's `map`; neither it nor the other rows change a row's result.
        """
        return self._each_length(matrix, self._solve_nearly, run)

    def _each_length(self, matrix: csr_matrix, solve: Callable, run: Callable) -> np.ndarray:
        solved = np.zeros((matrix.shape[0], self.factors.shape[1]), dtype=np.float32)

        def step(rows: np.ndarray) -> None:
            n = matrix.indptr[rows[0] + 1] - matrix.indptr[rows[0]]
            entries = matrix.indptr[rows][:, None] + np.arange(n)
            factors = np.take(self.factors, matrix.indices[entries], axis=0)
            solved[rows] = solve(factors, matrix.data[entries], self.diagonal(n))

        for _ in run(step, _equally_long(matrix, self.factors.shape[1])):
            pass
        return solved

    def _solve_exactly(
        self, factors: np.ndarray, weights: np.ndarray, diagonal: np.ndarray
    ) -> np.ndarray:
        is_dual = weights.shape[1] < len(diagonal)
        return (_solve_dual if is_dual else _solve_primal)(factors, weights, diagonal)

    def _solve_nearly(
        self, factors: np.ndarray, weights: np.ndarray, diagonal: np.ndarray
    ) -> np.ndarray:
        is_dual = weights.shape[1] < min(_FEW, len(diagonal))
        return (_solve_dual if is_dual else _descend)(factors, weights, diagonal)


def _solve_primal(factors: np.ndarray, weights: np.ndarray, diagonal: np.ndarray) -> np.ndarray:
    weighted = (factors * weights[:, :, None]).transpose(0, 2, 1)
    normal = weighted @ factors
    d = np.arange(len(diagonal))
    normal[:, d, d] += diagonal
    return np.linalg.solve(normal, weighted.sum(axis=2)[:, :, None])[:, :, 0]


def _solve_dual(factors: np.ndarray, weights: np.ndarray, diagonal: np.ndarray) -> np.ndarray:
    """By Woodbury's identity: an n by n system where n is less than the number of factors."""
    scaled = factors / diagonal
    kernel = scaled @ factors.transpose(0, 2, 1)
    n = np.arange(kernel.shape[1])
    kernel[:, n, n] += 1 / weights
    dual = np.linalg.solve(kernel, np.ones((*weights.shape, 1), dtype=np.float32))
    return (scaled.transpose(0, 2, 1) @ dual)[:, :, 0]


def _descend(factors: np.ndarray, weights: np.ndarray, diagonal: np.ndarray) -> np.ndarray:
    """By conjugate gradients from zero, with the diagonal as preconditioner."""
    transposed = factors.transpose(0, 2, 1)
    weights, diagonal = weights[:, :, None], diagonal[:, None]
    solved: np.ndarray | float = 0.0
    residual = transposed @ weights
    direction = residual / diagonal
    length = _products(residual, direction)
    for _ in range(_STEPS):
        image = transposed @ (weights * (factors @ direction)) + diagonal * direction
        step = length / np.maximum(_products(direction, image), _TINY)
        solved = solved + step * direction
        residual = residual - step * image
        before, preconditioned = length, residual / diagonal
        length = _products(residual, preconditioned)
        direction = preconditioned + length / np.maximum(before, _TINY) * direction
    return np.asarray(solved)[:, :, 0]


def _products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (left * right).sum(axis=1, keepdims=True)


def _equally_long(matrix: csr_matrix, factors: int) -> Iterator[np.ndarray]:
    """The rows that have entries, in chunks of equally long rows."""
    lengths = np.diff(matrix.indptr)
    order = np.argsort(lengths, kind="stable")
    order = order[np.searchsorted(lengths[order], 1) :]
    changes = np.flatnonzero(np.diff(lengths[order])) + 1
    for rows in np.split(order, changes):
        size = max(1, _CHUNK // (int(lengths[rows[0]]) * factors)) if len(rows) else 1
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


@dataclass(frozen=True)
class Als:
    """Pages' factors; a user's are solved from its history, so new users need no training."""

    pages: Side
    name: str = "als"

    @cached_property
    def ranked(self) -> Ranked:
        return Ranked.of(self.pages.factors)

    def block(self, n_pages: int) -> int:
        return _USERS

    def score(self, histories: csr_matrix) -> Scores:
        return FactorScores(self.pages.solve(histories), self.pages.factors, self.ranked)

    def contribution(self, weights: np.ndarray, seen: np.ndarray, pages: np.ndarray) -> np.ndarray:
        """How much a seen page alone would raise a page."""
        pull = self.pages.factors[seen] / self.pages.diagonal(1)
        return weights * (pull * self.pages.factors[pages]).sum(axis=1)


def fit_als(
    weights: csr_matrix,
    factors: int,
    alpha0: float,
    strength: float,
    iterations: int = 10,
    seed: int = 0,
) -> Als:
    """Train on users by pages.

    `strength`: the ridge of a user of average history, so that it means the same for every
    size of data. Expects BLAS to run on one thread; the steps themselves use all cores.
    """
    n_users, n_pages = weights.shape
    mean = weights.nnz / n_users
    ridge = strength / (mean + alpha0 * n_pages)
    rng = np.random.default_rng(seed)
    start = rng.standard_normal((n_pages, factors), dtype=np.float32) * (0.1 / factors**0.5)
    transposed = weights.T.tocsr()
    pages = Side.of(start, alpha0, ridge)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        run = pool.map if weights.nnz > _WORTH_THREADS else map
        for _ in range(iterations):
            users = Side.of(pages.approach(weights, run), alpha0, ridge)
            pages = Side.of(users.approach(transposed, run), alpha0, ridge)
    return Als(pages)
