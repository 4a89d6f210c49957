"""Who viewed what, as sparse matrices: weights, samples and the hold-out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_matrix

DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True)
class Weighting:
    """How much one page in a user's history counts.

    `kind`: `binary` (1) or `log` (log2(1 + views), which is 1 for one view).
    `cap`: views beyond it do not count. `half_life_days`: the weight halves with each such
    span before `now` (microseconds); 0 leaves time out. `decay`: in a history that is scored, a
    page counts so much less for each page that was viewed after it.
    """

    kind: str = "binary"
    cap: int = 20
    half_life_days: int = 0
    now: int = 0
    decay: float = 1.0
    # A page of long ago still was viewed: its weight never reaches zero.
    least: float = 1e-3

    @property
    def half_life(self) -> int:
        """In microseconds."""
        return DAY * self.half_life_days

    def __call__(self, views: np.ndarray, times: np.ndarray | None) -> np.ndarray:
        weights = np.ones(len(views))
        if self.kind == "log":
            weights = np.log2(1.0 + np.minimum(views, self.cap))
        if self.half_life_days and times is not None:
            age = np.maximum(self.now - times, 0) / self.half_life
            weights = np.maximum(weights * 0.5**age, self.least)
        return weights.astype(np.float32)

    def of_histories(
        self, views: np.ndarray, times: np.ndarray | None, bounds: np.ndarray
    ) -> np.ndarray:
        """The weights with `decay`; `bounds`: where each user's history begins and ends."""
        weights = self(views, times)
        if self.decay == 1 or times is None:
            return weights
        later = np.power(self.decay, places(times, bounds))
        return np.maximum(weights * later, self.least).astype(np.float32)


def places(times: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """For each view, how many of its user's views are later."""
    rows = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    latest_first = np.lexsort((-times, rows))
    ordered = times[latest_first]
    at = np.arange(len(times))
    # The first of equal times stands for them all.
    is_first = np.ones(len(times), dtype=bool)
    is_first[1:] = (ordered[1:] != ordered[:-1]) | (rows[1:] != rows[:-1])
    first = np.maximum.accumulate(np.where(is_first, at, 0))
    found = np.empty(len(times), dtype=np.int64)
    found[latest_first] = first - bounds[:-1][rows]
    return found


@dataclass(frozen=True)
class Interactions:
    """One row for each user and one column for each page.

    `users`: the users' ids, ascending. `views`: views by user and page, columns sorted within
    a row; pages are numbered by falling popularity, then URL. `times`: when each entry of
    `views` was last viewed, in microseconds; None where there are no times.
    """

    users: np.ndarray
    views: csr_matrix
    times: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        users: np.ndarray,
        pages: np.ndarray,
        views: np.ndarray,
        times: np.ndarray | None,
        n_pages: int,
    ) -> Interactions:
        """From one entry for each user and page, in any order."""
        ids, rows = np.unique(users, return_inverse=True)
        return replace(cls.of_rows(rows, pages, views, times, (len(ids), n_pages)), users=ids)

    @classmethod
    def of_rows(
        cls,
        rows: np.ndarray,
        pages: np.ndarray,
        views: np.ndarray,
        times: np.ndarray | None,
        shape: tuple[int, int],
    ) -> Interactions:
        """Of users who are known by their rows; each row is in the order of the pages."""
        order = np.argsort(rows.astype(np.int64) * shape[1] + pages)
        bounds = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=shape[0]))])
        matrix = csr_matrix(
            (views[order].astype(np.float32), pages[order].astype(np.int32), bounds), shape=shape
        )
        return cls(np.arange(shape[0]), matrix, None if times is None else times[order])

    @property
    def rows(self) -> np.ndarray:
        """The row of each entry."""
        return np.repeat(np.arange(self.views.shape[0]), self.lengths)

    @property
    def lengths(self) -> np.ndarray:
        """Pages of each user."""
        return np.diff(self.views.indptr)

    @property
    def support(self) -> np.ndarray:
        """Users of each page."""
        return np.bincount(self.views.indices, minlength=self.views.shape[1])

    def weights(self, weighting: Weighting) -> csr_matrix:
        data = weighting(self.views.data, self.times)
        return csr_matrix((data, self.views.indices, self.views.indptr), shape=self.views.shape)

    def histories(self, weighting: Weighting) -> csr_matrix:
        """The weights as histories that are scored have them."""
        data = weighting.of_histories(self.views.data, self.times, self.views.indptr)
        return csr_matrix((data, self.views.indices, self.views.indptr), shape=self.views.shape)

    def without(self, entries: np.ndarray) -> Interactions:
        """These without the entries that the mask `entries` marks; every user stays."""
        kept = ~entries
        rows = np.bincount(self.rows[kept], minlength=self.views.shape[0])
        matrix = csr_matrix(
            (
                self.views.data[kept],
                self.views.indices[kept],
                np.concatenate([[0], np.cumsum(rows)]),
            ),
            shape=self.views.shape,
        )
        return Interactions(self.users, matrix, None if self.times is None else self.times[kept])

    def of_users(self, rows: np.ndarray) -> Interactions:
        """Those of the users at `rows` (ascending) alone."""
        chosen = np.zeros(len(self.users), dtype=bool)
        chosen[rows] = True
        entries = chosen[self.rows]
        return Interactions(
            self.users[rows], self.views[rows], None if self.times is None else self.times[entries]
        )

    def sample(self, entries: int) -> Interactions:
        """Whole users in an order given by their ids' hash, as many as make `entries`."""
        if self.views.nnz <= entries:
            return self
        order = np.argsort(_hash(self.users), kind="stable")
        enough = np.searchsorted(np.cumsum(self.lengths[order]), entries)
        return self.of_users(np.sort(order[:enough]))

    def capped(self, pages: int) -> Interactions:
        """At most the last `pages` pages of each user."""
        if self.lengths.max(initial=0) <= pages:
            return self
        return self.without(~self._last(np.full(len(self.users), pages)))

    def hold_out(self, users: int) -> tuple[Interactions, csr_matrix]:
        """Hide the last page, or the last tenth of the pages, of up to `users` users.

        Users of two or more pages are eligible. The last by time, equal times by a hash of user
        and page; where there are no times, by that hash alone. Returns what is left and the
        hidden pages, one row for each user.
        """
        eligible = np.flatnonzero(self.lengths >= 2)
        order = np.argsort(_hash(self.users[eligible]), kind="stable")
        count = np.zeros(len(self.users), dtype=np.int64)
        chosen = eligible[order[:users]]
        count[chosen] = np.maximum(self.lengths[chosen] // 10, 1)
        hidden = self._last(count)
        data = np.ones(hidden.sum(), dtype=np.float32)
        held = csr_matrix(
            (data, (self.rows[hidden], self.views.indices[hidden])), shape=self.views.shape
        )
        return self.without(hidden), held

    def _recency(self) -> np.ndarray:
        """A number for each entry that orders a user's pages by time, then hash."""
        tie = _hash(_hash(self.users)[self.rows] + self.views.indices.astype(np.uint64))
        if self.times is None:
            return tie
        # The rank of (time, hash): both together do not fit one integer.
        order = np.lexsort((tie, self.times))
        rank = np.empty(len(order), dtype=np.uint64)
        rank[order] = np.arange(len(order), dtype=np.uint64)
        return rank

    def _last(self, count: np.ndarray) -> np.ndarray:
        """Marks the last `count` entries of each user."""
        oldest_first = np.lexsort((self._recency(), self.rows))
        from_end = np.repeat(self.views.indptr[1:], self.lengths) - np.arange(self.views.nnz)
        marked = np.zeros(self.views.nnz, dtype=bool)
        marked[oldest_first] = from_end <= np.repeat(count, self.lengths)
        return marked


def _hash(values: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014): well-mixed 64-bit integers."""
    x = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
