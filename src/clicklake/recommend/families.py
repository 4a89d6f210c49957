"""The kinds of model: how each is fitted, what of it is tuned, and what that costs.

Costs are seconds on one core of a usual machine, estimated from the data's shape. Choices
are made by these estimates and never by the clock, so that a busy machine changes no table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from clicklake.recommend.als import fit_als
from clicklake.recommend.interactions import Interactions
from clicklake.recommend.models import Model, blend, fit_ease, fit_popularity, fit_rp3beta

# EASE inverts a matrix of pages by pages: 10,000 pages take 2 GB and a minute.
EASE_PAGES = 10_000
# What `Spec.decay` may be, beside 1.
DECAYS = (0.7, 0.5, 0.3)


@dataclass(frozen=True)
class Spec:
    """A model before it is fitted; a blend has `parts`, each with its factor.

    `decay`: what a page in a history counts for each page that was viewed after it.
    """

    model: str
    params: dict[str, float]
    weights: str = "binary"
    decay: float = 1.0
    parts: tuple[tuple[float, Spec], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        parts = [{"factor": factor, **part.as_dict()} for factor, part in self.parts]
        named = {"model": self.model, "params": self.params, "weights": self.weights}
        return named | {"decay": self.decay} | ({"parts": parts} if parts else {})

    @property
    def fitted(self) -> Spec:
        """What of it fitting depends on: the order of views counts in scoring alone."""
        return replace(self, decay=1.0)

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Spec:
        parts = tuple((part["factor"], cls.from_dict(part)) for part in saved.get("parts", ()))
        return cls(saved["model"], saved["params"], saved["weights"], saved["decay"], parts)


POPULAR = Spec("popular", {})


@dataclass(frozen=True)
class Shape:
    """What of the data the costs depend on; `co_views` counts pairs of pages within users."""

    users: int
    pages: int
    pairs: int
    co_views: int
    judged: int = 0

    @classmethod
    def of(cls, data: Interactions, judged: int = 0) -> Shape:
        lengths = data.lengths.astype(np.int64)
        users, pages = data.views.shape
        return cls(users, pages, data.views.nnz, int((lengths**2).sum()), judged)

    @property
    def mean(self) -> float:
        """Pages of a user."""
        return self.pairs / max(self.users, 1)


@dataclass(frozen=True)
class Family:
    """`axes`: the values that tuning may take for each parameter; `start`: the first try.

    `fit_seconds` and `judge_seconds` are costs, the latter of scoring the judged users.
    """

    fit: Callable[..., Model]
    start: dict[str, float]
    axes: dict[str, tuple[float, ...]]
    fit_seconds: Callable[[Shape, dict[str, float]], float]
    judge_seconds: Callable[[Shape, dict[str, float]], float]
    most_pages: int | None = None


def _fit_rp3beta_seconds(shape: Shape, params: dict[str, float]) -> float:
    return 6e-9 * shape.co_views + 1e-5 * shape.pages


def _judge_rp3beta_seconds(shape: Shape, params: dict[str, float]) -> float:
    return shape.judged * (2e-6 + 5e-7 * shape.mean)


def _fit_ease_seconds(shape: Shape, params: dict[str, float]) -> float:
    return 1e-8 * shape.co_views + 2.5e-11 * shape.pages**3


def _judge_ease_seconds(shape: Shape, params: dict[str, float]) -> float:
    return shape.judged * (2e-6 + 2e-10 * shape.pages * shape.mean)


def _fit_als_seconds(shape: Shape, params: dict[str, float]) -> float:
    size = params["factors"] / 64
    return 10 * (4e-7 * shape.pairs + 7e-7 * (shape.users + shape.pages)) * size


def _judge_als_seconds(shape: Shape, params: dict[str, float]) -> float:
    return shape.judged * (1e-5 + 2e-10 * shape.pages * params["factors"] / 64)


def _judge_blend_seconds(shape: Shape, parts: list[str]) -> float:
    """Two models of what a page says of others are one matrix; others are scored in full."""
    full = 1e-8 * shape.pages
    return shape.judged * full if "als" in parts else _judge_ease_seconds(shape, {})


# The cheapest first.
FAMILIES = {
    "rp3beta": Family(
        fit_rp3beta,
        start={"alpha": 1.0, "beta": 0.2, "gamma": 1.0},
        axes={
            "alpha": (0.4, 0.7, 1.0, 1.4),
            "beta": (0.0, 0.1, 0.2, 0.3, 0.4, 0.6),
            "gamma": (0.0, 0.5, 1.0, 1.5),
        },
        fit_seconds=_fit_rp3beta_seconds,
        judge_seconds=_judge_rp3beta_seconds,
    ),
    "ease": Family(
        fit_ease,
        start={"ridge": 0.3},
        axes={"ridge": (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)},
        fit_seconds=_fit_ease_seconds,
        judge_seconds=_judge_ease_seconds,
        most_pages=EASE_PAGES,
    ),
    "als": Family(
        fit_als,
        start={"factors": 64, "alpha0": 0.1, "strength": 2.0},
        axes={
            "strength": (0.1, 0.5, 2.0, 8.0, 30.0),
            "alpha0": (0.01, 0.03, 0.1, 0.3, 1.0),
            "factors": (32, 64, 128),
        },
        fit_seconds=_fit_als_seconds,
        judge_seconds=_judge_als_seconds,
    ),
}


def fit(spec: Spec, weights: csr_matrix) -> Model:
    """Train what `spec` says on users by pages. Expects BLAS to run on one thread."""
    if spec.parts:
        return blend([(factor, fit(part, weights)) for factor, part in spec.parts])
    if spec.model == POPULAR.model:
        return fit_popularity(weights)
    return FAMILIES[spec.model].fit(weights, **spec.params)


def seconds(spec: Spec, shape: Shape, is_fitted: bool = False) -> float:
    """The estimated cost of fitting `spec`, if it is not yet, and judging it.

    A blend's parts are fitted already.
    """
    if spec.parts:
        return _judge_blend_seconds(shape, [part.model for _, part in spec.parts])
    if spec.model not in FAMILIES:
        return 0.0
    family = FAMILIES[spec.model]
    fitting = 0.0 if is_fitted else family.fit_seconds(shape, spec.params)
    return fitting + family.judge_seconds(shape, spec.params)
