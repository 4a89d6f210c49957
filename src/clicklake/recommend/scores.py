"""The scores of all pages for a block of users, and the best pages among them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Protocol

import numpy as np
from scipy.sparse import csr_matrix

# Scores are compared and published with this many significant digits, so that the last bits
# of floating-point arithmetic decide nothing.
_DIGITS = 6
# Scores below it are none.
LEAST = np.finfo(np.float32).tiny
_GROUP = 64  # columns whose greatest value is looked at first


class Scores(Protocol):
    """`values`: users by pages, dense or sparse, right within `slack` for each user.

    `near_best(seen, k)`: row and page of everything unseen that could be among a row's `k` best.
    `at(rows, pages)` gives single scores that do not depend on who shares the block.
    """

    @property
    def values(self) -> np.ndarray | csr_matrix: ...

    @property
    def slack(self) -> np.ndarray: ...

    def near_best(self, seen: csr_matrix, k: int) -> tuple[np.ndarray, np.ndarray]: ...

    def at(self, rows: np.ndarray, pages: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class ExactScores:
    """Scores that are the same in every block already."""

    values: np.ndarray | csr_matrix

    @property
    def slack(self) -> np.ndarray:
        return np.zeros(self.values.shape[0])

    def near_best(self, seen: csr_matrix, k: int) -> tuple[np.ndarray, np.ndarray]:
        return _near_best(self.values, self.slack, seen, k)

    def at(self, rows: np.ndarray, pages: np.ndarray) -> np.ndarray:
        return entries(self.values, rows, pages).astype(np.float64)


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

    def near_best(self, seen: csr_matrix, k: int) -> tuple[np.ndarray, np.ndarray]:
        return _near_best(self.values, self.slack, seen, k)

    def at(self, rows: np.ndarray, pages: np.ndarray) -> np.ndarray:
        return np.sum([factor * scores.at(rows, pages) for factor, scores in self.parts], axis=0)


def entries(matrix: np.ndarray | csr_matrix, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """matrix[rows, columns] as a flat array, dense or sparse, also of no entries."""
    if isinstance(matrix, np.ndarray):
        return matrix[rows, columns]
    return np.asarray(matrix[rows, columns]).ravel() if len(rows) else np.zeros(0, matrix.dtype)


def best(scores: Scores, seen: csr_matrix, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The `k` best pages of each user that it has not seen, and their scores.

    Only positive scores count. Equal scores go to the lower page number, which is the more
    popular page. Places without a page hold -1 and NaN.
    """
    rows, pages = scores.near_best(seen, k)
    exact = _rounded(scores.at(rows, pages))
    rows, pages, exact = (part[exact > 0] for part in (rows, pages, exact))
    order = np.lexsort((pages, -exact, rows))
    return _first_places(rows[order], pages[order], exact[order], seen.shape[0], k)


def _near_best(
    values: np.ndarray | csr_matrix, slack: np.ndarray, seen: csr_matrix, k: int
) -> tuple[np.ndarray, np.ndarray]:
    find = _near_best_dense if isinstance(values, np.ndarray) else _near_best_sparse
    return find(values, slack, seen, k)


def _near_best_dense(
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


def _near_best_sparse(
    values: csr_matrix, slack: np.ndarray, seen: csr_matrix, k: int
) -> tuple[np.ndarray, np.ndarray]:
    rows, pages = [], []
    is_seen = np.zeros(values.shape[1], dtype=bool)
    bounds, seen_bounds = values.indptr, seen.indptr
    for row in range(values.shape[0]):
        columns = values.indices[bounds[row] : bounds[row + 1]]
        data = values.data[bounds[row] : bounds[row + 1]]
        own = seen.indices[seen_bounds[row] : seen_bounds[row + 1]]
        is_seen[own] = True
        unseen = ~is_seen[columns]
        is_seen[own] = False
        columns, data = columns[unseen], data[unseen]
        if len(data) > k:
            least = np.partition(data, len(data) - k)[len(data) - k]
            columns = columns[data >= tolerant(least, slack[row])]
        rows.append(np.full(len(columns), row))
        pages.append(columns)
    return np.concatenate(rows), np.concatenate(pages)


def tolerant(least: np.ndarray, slack: np.ndarray) -> np.ndarray:
    """A bound below everything that rounding could lift to `least`."""
    return least - 2 * slack - np.abs(least) * 10.0 ** (1 - _DIGITS)


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
