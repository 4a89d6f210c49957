"""Models of what a user will view next: each scores all pages from a user's history."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import pairwise
from operator import add
from typing import Protocol

import numpy as np
from scipy.linalg import lapack
from scipy.sparse import csr_matrix, diags

from clicklake.recommend import kernels
from clicklake.recommend.scores import (
    PopularScores,
    Scores,
    SimilarScores,
    SumOfScores,
    entries,
    parts,
)

# Scores that are held at once, in a block of users.
_BLOCK = 16_000_000
# Pairs of pages within users that are counted at a time by one thread.
_CO_VIEWS = 20_000_000


class Model(Protocol):
    """`name` is what the table calls it."""

    @property
    def name(self) -> str: ...

    def block(self, n_pages: int) -> int:
        """How many users to score at once; bounds the memory."""
        ...

    def score(self, histories: csr_matrix) -> Scores:
        """Score all pages for each row of weights."""
        ...

    def contribution(self, weights: np.ndarray, seen: np.ndarray, pages: np.ndarray) -> np.ndarray:
        """What a seen page of a given weight adds to a page's score, for each triple."""
        ...


class _ByScores:
    """Models that hold the scores of all pages at once."""

    def block(self, n_pages: int) -> int:
        return max(1, _BLOCK // n_pages)


@dataclass(frozen=True)
class Popularity(_ByScores):
    """Scores a page by the share of users who viewed it, whoever asks."""

    share: np.ndarray
    name: str = "popular"

    def score(self, histories: csr_matrix) -> Scores:
        return PopularScores(self.share, histories.shape[0])

    def contribution(self, weights: np.ndarray, seen: np.ndarray, pages: np.ndarray) -> np.ndarray:
        return np.zeros(len(weights))


@dataclass(frozen=True)
class ItemToItem(_ByScores):
    """`similar[i, j]`: how much a view of page i speaks for page j."""

    name: str
    similar: csr_matrix | np.ndarray

    def score(self, histories: csr_matrix) -> Scores:
        return SimilarScores(histories, self.similar, self._greatest)

    @cached_property
    def _greatest(self) -> float:
        values = self.similar if isinstance(self.similar, np.ndarray) else self.similar.data
        return float(np.abs(values).max(initial=0))

    def contribution(self, weights: np.ndarray, seen: np.ndarray, pages: np.ndarray) -> np.ndarray:
        return weights * entries(self.similar, seen, pages)


@dataclass(frozen=True)
class Blend(_ByScores):
    """A weighted sum of models."""

    parts: tuple[tuple[float, Model], ...]
    name: str = "blend"

    def score(self, histories: csr_matrix) -> Scores:
        return SumOfScores(tuple((factor, m.score(histories)) for factor, m in self.parts))

    def contribution(self, weights: np.ndarray, seen: np.ndarray, pages: np.ndarray) -> np.ndarray:
        parts = [factor * m.contribution(weights, seen, pages) for factor, m in self.parts]
        return np.sum(parts, axis=0)


def blend(parts: list[tuple[float, Model]]) -> Model:
    """A weighted sum of models; of two that know what a page says of others one such model."""
    matrices = [(factor, model.similar) for factor, model in parts if isinstance(model, ItemToItem)]
    if len(matrices) < len(parts):
        return Blend(tuple(parts))
    total = reduce(add, (np.float32(factor) * similar for factor, similar in matrices))
    return ItemToItem(Blend.name, np.asarray(total, dtype=np.float32))


def fit_popularity(weights: csr_matrix) -> Popularity:
    users = np.bincount(weights.indices, minlength=weights.shape[1])
    return Popularity((users / weights.shape[0]).astype(np.float32))


def fit_ease(weights: csr_matrix, ridge: float) -> ItemToItem:
    """EASE (Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data").

    `ridge` is a multiple of the mean number of users of a page. Time grows with the cube of
    the number of pages, memory with its square.
    """
    n_pages = weights.shape[1]
    gram = (weights.T @ weights).toarray().astype(np.float64, order="F")
    diagonal = np.arange(n_pages)
    gram[diagonal, diagonal] += ridge * weights.nnz / n_pages
    lower, _ = lapack.dpotrf(gram, lower=1, overwrite_a=1)
    inverse, _ = lapack.dpotri(lower, lower=1, overwrite_c=1)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    similar = inverse / -inverse[diagonal, diagonal]
    similar[diagonal, diagonal] = 0
    return ItemToItem("ease", similar.astype(np.float32))


def fit_rp3beta(
    weights: csr_matrix, alpha: float, beta: float, gamma: float, neighbours: int = 200
) -> ItemToItem:
    """Three-step random walks page, user, page (Paudel et al. 2017, RP3beta).

    `alpha` and `gamma` are the exponents of the steps from a page and from a user (the paper
    has one for both), `beta` that of the popularity that divides the result; .5, .5, 0 is the
    cosine. Each page keeps its `neighbours` most similar pages.
    """
    users = np.maximum(np.diff(weights.indptr), 1)
    pages = np.maximum(np.bincount(weights.indices, minlength=weights.shape[1]), 1)
    by_user = (diags(users**-gamma) @ weights @ diags(pages**-beta)).tocsr().astype(np.float32)
    by_page = (diags(pages**-alpha) @ weights.T).tocsr().astype(np.float32)
    left, right = parts(by_page), parts(by_user)

    def step(rows: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return kernels.neighbours(*left, *right, *rows, neighbours)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts, columns, data = zip(
            *pool.map(step, _page_blocks(by_page, np.diff(by_user.indptr))), strict=True
        )
    bounds = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    similar = (np.concatenate(data), np.concatenate(columns), bounds)
    return ItemToItem("rp3beta", csr_matrix(similar, shape=by_page.shape[:1] * 2))


def _page_blocks(by_page: csr_matrix, lengths: np.ndarray) -> list[tuple[int, int]]:
    """Blocks of pages that take about equally long; `lengths`: pages of each user."""
    work = np.concatenate([[0], np.cumsum(lengths[by_page.indices])])[by_page.indptr]
    steps = np.arange(_CO_VIEWS, work[-1], _CO_VIEWS)
    cuts = np.unique(np.concatenate([[0], np.searchsorted(work, steps), [by_page.shape[0]]]))
    return [(int(a), int(b)) for a, b in pairwise(cuts)]
