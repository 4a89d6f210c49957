"""Scores that are products of factors, whose best are found without looking at every page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from clicklake.recommend.scores import LEAST, Near, peaks, tolerant

# Scores that are held at once: they stay in a core's cache.
_TILE = 500_000
_NARROWEST = 128
_GROUP = 8
# More than rounding adds to a norm.
_MARGIN = 1e-6


@dataclass(frozen=True)
class Ranked:
    """Pages' factors in the order of falling norms.

    `numbers`: the number of each rank's page; `ranks`: the rank of each number.
    """

    factors: np.ndarray
    norms: np.ndarray
    numbers: np.ndarray
    ranks: np.ndarray

    @classmethod
    def of(cls, factors: np.ndarray) -> Ranked:
        norms = _norms(factors)
        numbers = np.argsort(-norms, kind="stable").astype(np.int32)
        return cls(factors[numbers], norms[numbers], numbers, np.argsort(numbers))


@dataclass(frozen=True)
class FactorScores:
    """Products of users' and pages' factors; BLAS may round them differently in each block."""

    users: np.ndarray
    pages: np.ndarray
    ranked: Ranked

    @property
    def values(self) -> np.ndarray:
        return self.users @ self.pages.T

    @property
    def slack(self) -> np.ndarray:
        # float32 rounds a product of d factors by at most d * 2**-24 of the norms' product.
        bound = _norms(self.users) * self.ranked.norms[0]
        return 2 * self.users.shape[1] * 2.0**-24 * bound

    def near_best(self, seen: csr_matrix, k: int) -> Near:
        """By tiles of users and pages, the pages with the greatest norms first.

        A score is at most the product of the norms, so that most users are done early.
        """
        ranked, slack = self.ranked, self.slack
        reach = _norms(self.users) * (1 + _MARGIN)
        hidden = _SeenByRank.of(seen, ranked.ranks)
        best = np.full((len(reach), k), LEAST, dtype=np.float32)
        nothing = np.zeros(0, dtype=np.int32)
        found: list[tuple[np.ndarray, ...]] = [(nothing, nothing, np.zeros(0, np.float32))]
        start, stop = 0, 0
        while (start := stop) < len(ranked.norms):
            rows = np.flatnonzero(reach * ranked.norms[start] >= tolerant(best[:, 0], slack))
            if not len(rows):
                break
            stop = start + max(_TILE // len(rows), _NARROWEST)
            values = self.users[rows] @ ranked.factors[start:stop].T
            hidden.hide(values, rows, start)
            best[rows] = _k_highest(best[rows], values)
            at, rank = np.nonzero(values >= tolerant(best[rows, 0], slack[rows])[:, None])
            found.append((rows[at], ranked.numbers[start + rank], values[at, rank]))
        rows, pages, values = (np.concatenate(part) for part in zip(*found, strict=True))
        near = values >= tolerant(best[:, 0], slack)[rows]
        rows, pages = rows[near], pages[near]
        return rows, pages, self.at(rows, pages)

    def at(self, rows: np.ndarray, pages: np.ndarray) -> np.ndarray:
        return (self.users[rows].astype(np.float64) * self.pages[pages]).sum(axis=1)


@dataclass(frozen=True)
class _SeenByRank:
    """Seen pages in the order of their ranks."""

    rows: np.ndarray
    ranks: np.ndarray
    n_rows: int

    @classmethod
    def of(cls, seen: csr_matrix, ranks: np.ndarray) -> _SeenByRank:
        found = ranks[seen.indices]
        order = np.argsort(found)
        rows = np.repeat(np.arange(seen.shape[0]), np.diff(seen.indptr))
        return cls(rows[order], found[order], seen.shape[0])

    def hide(self, values: np.ndarray, rows: np.ndarray, start: int) -> None:
        """Take the seen pages out of the scores of `rows` for the ranks from `start`."""
        here = slice(*np.searchsorted(self.ranks, [start, start + values.shape[1]]))
        place = np.full(self.n_rows, -1)
        place[rows] = np.arange(len(rows))
        at = place[self.rows[here]]
        values[at[at >= 0], self.ranks[here][at >= 0] - start] = -np.inf


def _k_highest(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """For each row `k` values that it has, the least first; `known` are those so far."""
    k = known.shape[1]
    highest = peaks(values, -(-values.shape[1] // _GROUP))
    return np.partition(np.hstack([known, highest]), -k, axis=1)[:, -k:]


def _norms(factors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(factors.astype(np.float64), axis=1)
