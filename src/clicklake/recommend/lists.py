"""Full lists of recommendations: the model's best pages, then popular ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from clicklake.recommend import kernels
from clicklake.recommend.models import Model
from clicklake.recommend.scores import best


@dataclass(frozen=True)
class Lists:
    """The pages of each user's list, -1 where the catalogue ends, and their scores.

    `from_model` tells what the model chose from what popularity filled in, which scores 0.
    """

    pages: np.ndarray
    scores: np.ndarray
    from_model: np.ndarray


def top_lists(model: Model, histories: csr_matrix, k: int) -> Lists:
    """The `k` best unseen pages for each row of weights.

    A list that the model cannot fill goes on with the most popular pages; a page's number is
    its place by popularity.
    """
    parts = [best(model.score(block), block, k) for block in _blocks(model, histories)]
    pages = np.concatenate([pages for pages, _ in parts])
    scores = np.nan_to_num(np.concatenate([scores for _, scores in parts]))
    from_model = pages >= 0
    kernels.fill(pages, histories.indptr, histories.indices, histories.shape[1])
    return Lists(pages, scores, from_model)


def _blocks(model: Model, histories: csr_matrix) -> Iterator[csr_matrix]:
    size = model.block(histories.shape[1])
    for start in range(0, max(histories.shape[0], 1), size):
        yield histories[start : start + size]


def reasons(model: Model, histories: csr_matrix, lists: Lists) -> np.ndarray:
    """For each place of each list, the seen page that weighs most in it; -1 where none does.

    Of equal pages the more popular one.
    """
    because = np.full(lists.pages.shape, -1, dtype=np.int32)
    lengths = np.diff(histories.indptr)
    for place in range(lists.pages.shape[1]):
        rows = np.flatnonzero(lists.from_model[:, place] & (lengths > 0))
        n = lengths[rows]
        starts = np.cumsum(n) - n
        entries = np.repeat(histories.indptr[rows] - starts, n) + np.arange(n.sum())
        seen = histories.indices[entries]
        pages = np.repeat(lists.pages[rows, place], n)
        weight = model.contribution(histories.data[entries], seen, pages)
        if not len(weight):
            continue
        greatest = np.repeat(np.maximum.reduceat(weight, starts), n)
        # Entries are in order of popularity, so the first of the greatest is the most popular.
        chosen = np.flatnonzero((weight == greatest) & (weight > 0))
        owner = np.repeat(np.arange(len(rows)), n)[chosen]
        first = np.unique(owner, return_index=True)[1]
        because[rows[owner[first]], place] = seen[chosen[first]]
    return because
