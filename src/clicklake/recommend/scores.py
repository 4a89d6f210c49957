"""The scores of all pages for a block of users, and the best pages among them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Protocol

import numpy as np
from scipy.sparse import csr_matrix

from clicklake.recommend import kernels

Near = tuple[np.ndarray, np.ndarray, np.ndarray]  # rows, pages, scores

# Scores are compared and published with this many significant digits, so that the last bits
# of floating-point arithmetic decide nothing.
_DIGITS = 6
_TOLERANCE = 10.0 ** (1 - _DIGITS)
# Scores below it are none.
LEAST = float(np.finfo(np.float32).tiny)
_GROUP = 64  # columns whose greatest value is looked at first


class Scores(Protocol):
    """`values`: users by pages, dense or sparse, right within `slack` for each user.

    `near_best(seen, k)`: row, page and score of everything unseen that could be among a row's
    `k` best. `at(rows, pages)` gives single scores. These scores, unlike `values`, do not depend
    on who shares the block.
    """

    @property
    def values(self) -> np.ndarray | csr_matrix: ...

    @property
    def slack(self) -> np.ndarray: ...

    def near_best(self, seen: csr_matrix, k: int) -> Near: ...

    def at(self, rows: np.ndarray, pages: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class ExactScores:
    """Scores that are given, and the same in every block already."""

    values: np.ndarray

    @property
    def slack(self) -> np.ndarray:
        return np.zeros(self.values.shape[0])

    def near_best(self, seen: csr_matrix, k: int) -> Near:
        rows, pages = _near_best(self.values, self.slack, seen, k)
        return rows, pages, self.at(rows, pages)

    def at(self, rows: np.ndarray, pages: np.ndarray) -> np.ndarray:
        return self.values[rows, pages].astype(np.float64)


@dataclass(frozen=True)
class PopularScores:
    """The same for every user: `share` of each page."""

    share: np.ndarray
    users: int

    @property
    def values(self) -> np.ndarray:
        return np.tile(self.share, (self.users, 1))

    @property
    def slack(self) -> np.ndarray:
        return np.zeros(self.users)

    def near_best(self, seen: csr_matrix, k: int) -> Near:
        order = np.argsort(-self.share, kind="stable")
        place = np.argsort(order)
        lists = np.full((self.users, k), -1, dtype=np.int32)
        kernels.fill(lists, seen.indptr, place[seen.indices], len(order))
        rows, places = np.nonzero(lists >= 0)
        pages = order[lists[rows, places]]
        return rows, pages, self.at(rows, pages)

    def at(self, rows: np.ndarray, pages: np.ndarray) -> np.ndarray:
        return self.share[pages].astype(np.float64)


@dataclass(frozen=True)
class SimilarScores:
    """What each user's pages say of other pages: products of `histories` and `similar`.

    `near_best` takes the histories for what was seen.
    """

    histories: csr_matrix
    similar: csr_matrix | np.ndarray
    greatest: float  # of `similar`, by amount

    @property
    def values(self) -> np.ndarray | csr_matrix:
        is_dense = isinstance(self.similar, np.ndarray)
        return (self.histories if is_dense else self.histories.astype(np.float64)) @ self.similar

    @property
    def slack(self) -> np.ndarray:
        lengths = np.diff(self.histories.indptr)
        if not isinstance(self.similar, np.ndarray):
            return np.zeros(len(lengths))
        # float32 rounds a sum of n terms by at most n * 2**-24 of their amounts.
        weight = np.asarray(self.histories.sum(axis=1)).ravel() * self.greatest
        return lengths * 2.0**-24 * weight

    def near_best(self, seen: csr_matrix, k: int) -> Near:
        history = (seen.indptr, seen.indices, self.histories.data)
        if isinstance(self.similar, np.ndarray):
            return kernels.near_best_dense(*history, self.similar, k, _TOLERANCE, LEAST)
        return kernels.near_best(*history, *parts(self.similar), k, _TOLERANCE, LEAST)

    def at(self, rows: np.ndarray, pages: np.ndarray) -> np.ndarray:
        own = self.histories
        if isinstance(self.similar, np.ndarray):
            return kernels.score_at_dense(*parts(own), self.similar, rows, pages)
        return kernels.score_at(*parts(own), *parts(self.similar), rows, pages)


@dataclass(frozen=True)
class SumOfScores:
    """A weighted sum."""

    parts: tuple[tuple[float, Scores], ...]

    @property
    def values(self) -> np.ndarray | csr_matrix:
        total = reduce(add, (factor * scores.values for factor, scores in self.parts))
        return np.asarray(total) if isinstance(total, np.matrix) else total

    @property
    def slack(self) -> np.ndarray:
        return np.sum([factor * scores.slack for factor, scores in self.parts], axis=0)

    def near_best(self, seen: csr_matrix, k: int) -> Near:
        rows, pages = _near_best(np.asarray(self.values), self.slack, seen, k)
        return rows, pages, self.at(rows, pages)

    def at(self, rows: np.ndarray, pages: np.ndarray) -> np.ndarray:
        return np.sum([factor * scores.at(rows, pages) for factor, scores in self.parts], axis=0)


def entries(matrix: np.ndarray | csr_matrix, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """matrix[rows, columns] as a flat array; a sparse matrix has its columns in order."""
    if isinstance(matrix, np.ndarray):
        return matrix[rows, columns]
    return kernels.look_up(*parts(matrix), rows, columns)


def parts(matrix: csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a sparse matrix is made of, for `kernels`."""
    return matrix.indptr, matrix.indices, matrix.data


def best(scores: Scores, seen: csr_matrix, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The `k` best pages of each user that it has not seen, and their scores.

    Only positive scores count. Equal scores go to the lower page number, which is the more
    popular page. Places without a page hold -1 and NaN.
    """
    rows, pages, exact = scores.near_best(seen, k)
    exact = _rounded(exact)
    rows, pages, exact = (part[exact > 0] for part in (rows, pages, exact))
    order = np.lexsort((pages, -exact, rows))
    return _first_places(rows[order], pages[order], exact[order], seen.shape[0], k)


def _near_best(
    values: np.ndarray, slack: np.ndarray, seen: csr_matrix, k: int
) -> tuple[np.ndarray, np.ndarray]:
    values[np.repeat(np.arange(len(values)), np.diff(seen.indptr)), seen.indices] = -np.inf
    # k groups have a peak of at least the k-th highest peak: so many values has the row.
    n_pages = values.shape[1]
    size = _GROUP if n_pages > k * _GROUP else 1
    width = -(-n_pages // size)
    highest = peaks(values, width)
    place = max(width - k, 0)
    least = tolerant(np.partition(highest, place, axis=1)[:, place], slack)
    rows, columns = np.nonzero(highest >= np.maximum(least, LEAST)[:, None])
    pages = columns[:, None] + width * np.arange(size)
    found = values[rows[:, None], np.minimum(pages, n_pages - 1)] >= least[rows][:, None]
    near, member = np.nonzero(found & (pages < n_pages))
    return rows[near], pages[near, member]


def peaks(values: np.ndarray, width: int) -> np.ndarray:
    """The greatest value of each group: columns c, c + width, c + 2 * width and so on."""
    highest = values[:, :width].copy()
    for start in range(width, values.shape[1], width):
        part = values[:, start : start + width]
        np.maximum(highest[:, : part.shape[1]], part, out=highest[:, : part.shape[1]])
    return highest


def tolerant(least: np.ndarray, slack: np.ndarray) -> np.ndarray:
    """A bound below everything that rounding could lift to `least`."""
    return least - 2 * slack - np.abs(least) * _TOLERANCE


def _rounded(values: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        magnitude = np.floor(np.log10(np.abs(values)))
    scale = 10.0 ** (_DIGITS - 1 - np.where(np.isfinite(magnitude), magnitude, 0))
    return np.rint(values * scale) / scale


def _first_places(
    rows: np.ndarray, pages: np.ndarray, values: np.ndarray, n_rows: int, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The first `k` of each row's entries, which are in order."""
    starts = np.searchsorted(rows, np.arange(n_rows))
    place = np.arange(len(rows)) - starts[rows]
    kept = place < k
    top = np.full((n_rows, k), -1, dtype=np.int32)
    top_values = np.full((n_rows, k), np.nan)
    top[rows[kept], place[kept]] = pages[kept]
    top_values[rows[kept], place[kept]] = values[kept]
    return top, top_values
