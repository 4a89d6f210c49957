"""How good lists are, measured on pages that were hidden from the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from clicklake.recommend.lists import Lists, top_lists
from clicklake.recommend.models import Model
from clicklake.recommend.scores import entries

LENGTHS = (3, 10, 20)


@dataclass(frozen=True)
class Quality:
    """Per user: hit rate, recall and NDCG at each of `LENGTHS`, as `values["ndcg@3"]`.

    Of the first three places: the share of the catalogue that somebody is shown (`coverage`),
    the mean share of users who know the shown pages (`popularity`), and the share of places
    that popularity filled (`popular_fill`). `top_score` is the mean score of the model's first
    places.
    """

    values: dict[str, np.ndarray]
    coverage: float
    popularity: float
    popular_fill: float
    top_score: float

    def mean(self, metric: str) -> float:
        return float(self.values[metric].mean())

    def error(self, metric: str) -> float:
        """The mean's standard error."""
        return _error(self.values[metric])

    def against(self, other: Quality, metric: str) -> tuple[float, float]:
        """The mean difference to `other` over the same users, and its standard error."""
        difference = self.values[metric] - other.values[metric]
        return float(difference.mean()), _error(difference)

    def as_dict(self) -> dict[str, Any]:
        metrics: dict[str, Any] = {
            name: {"mean": round(self.mean(name), 6), "standard_error": round(self.error(name), 6)}
            for name in self.values
        }
        return metrics | {
            "coverage": round(self.coverage, 6),
            "mean_popularity": round(self.popularity, 6),
            "popular_fill": round(self.popular_fill, 6),
        }


def measure(
    model: Model, histories: csr_matrix, hidden: csr_matrix, places: int = max(LENGTHS)
) -> Quality:
    """Compare the lists of `places` that `model` makes with the hidden pages.

    `histories` holds the weights of the pages that are left, `hidden` the hidden ones, one
    row for each user in both. Users without hidden pages are left out.
    """
    users = np.flatnonzero(np.diff(hidden.indptr))
    lists = top_lists(model, histories[users], places)
    return compare(lists, hidden[users], histories)


def compare(lists: Lists, hidden: csr_matrix, histories: csr_matrix) -> Quality:
    """The quality of lists, up to their own length, given the hidden pages of their users."""
    n_users, n_pages = histories.shape
    support = np.bincount(histories.indices, minlength=n_pages)
    first = lists.pages[:, : LENGTHS[0]]
    shown = first[first >= 0]
    return Quality(
        values=_values(lists, hidden),
        coverage=len(np.unique(shown)) / n_pages,
        popularity=float(support[shown].mean() / n_users) if len(shown) else 0.0,
        popular_fill=float(1 - lists.from_model[:, : LENGTHS[0]].mean()),
        top_score=float(lists.scores[lists.from_model[:, 0], 0].sum() / len(lists.pages)),
    )


def _values(lists: Lists, hidden: csr_matrix) -> dict[str, np.ndarray]:
    listed = lists.pages.shape[1]
    rows = np.repeat(np.arange(hidden.shape[0]), listed)
    found = entries(hidden, rows, np.maximum(lists.pages, 0).ravel()).reshape(lists.pages.shape)
    hits = (found > 0) & (lists.pages >= 0)
    count = np.diff(hidden.indptr)
    gains = 1 / np.log2(np.arange(listed) + 2)
    ideal = np.cumsum(gains)
    values = {}
    for k in LENGTHS:
        if k > listed:
            break
        values[f"hit_rate@{k}"] = hits[:, :k].any(axis=1).astype(float)
        values[f"recall@{k}"] = hits[:, :k].sum(axis=1) / count
        values[f"ndcg@{k}"] = hits[:, :k] @ gains[:k] / ideal[np.minimum(count, k) - 1]
    return values


def _error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
