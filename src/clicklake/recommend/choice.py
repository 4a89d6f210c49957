"""Which model to publish: tuned and chosen on each user's last page, hidden from the models."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from clicklake.config import Recommend
from clicklake.recommend.families import FAMILIES, Shape, Spec, fit, seconds
from clicklake.recommend.interactions import Interactions, Weighting
from clicklake.recommend.models import Blend, Model
from clicklake.recommend.quality import Quality, measure

log = logging.getLogger(__name__)

# What is published is lists of three: their order is what counts.
METRIC = "ndcg@3"
# Tuning looks at this many pairs at most, and hides a page of this many users at most.
_TUNED_PAIRS = 2_000_000
_JUDGED_USERS = 20_000
_SHARES = (0.25, 0.5)  # of a blend
# A remembered choice holds while users, pages and pairs stay within this ratio of then.
_MUCH_CHANGED = 1.25
# Data of fewer pairs are tuned in every run: their table then depends on the data alone.
_REMEMBERED_PAIRS = 1_000_000
_VERSION = 1

POPULAR = Spec("popular", {})


@dataclass(frozen=True)
class Trial:
    """A model as it was judged; `seconds` is what that took by the clock."""

    spec: Spec
    quality: Quality
    seconds: float

    @property
    def mark(self) -> float:
        return self.quality.mean(METRIC)


@dataclass(frozen=True)
class Choice:
    """The model to publish, and how every candidate did.

    `chosen` is None where nothing could be judged: popularity is published then. `fitted_by`
    is `spark` where its ALS fitted the model.
    """

    spec: Spec
    chosen: Quality | None = None
    popularity: Quality | None = None
    trials: tuple[Trial, ...] = ()
    skipped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    remembered: bool = False
    fitted_by: str = "clicklake"


@dataclass
class Judge:
    """Fits models on what is left of the data and measures them on what was hidden."""

    data: Interactions
    settings: Recommend
    trials: list[Trial] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    models: dict[str, Model] = field(default_factory=dict)  # the best of each family
    spent: float = 0.0

    def __post_init__(self) -> None:
        self.left, self.hidden = hide(self.data)
        self.shape = Shape.of(self.left, judged=int((np.diff(self.hidden.indptr) > 0).sum()))

    def try_out(self, spec: Spec, must: bool = False) -> Trial | None:
        """Judge `spec` unless it was or would pass the time budget; `must` ignores the budget."""
        known = next((trial for trial in self.trials if trial.spec == spec), None)
        if known:
            return known
        cost = seconds(spec, self.shape)
        if self.spent + cost > self.settings.tune_seconds and not must:
            self.skipped.append(f"{spec.model} {spec.params}: over the time budget")
            return None
        self.spent += cost
        started = time.perf_counter()
        weights = self.left.weights(weighting(spec.weights, self.settings, self.data))
        model: Model = self._blend(spec) if spec.parts else fit(spec, weights)
        quality = measure(model, weights, self.hidden)
        trial = Trial(spec, quality, time.perf_counter() - started)
        log.info("recommend: %s %s %s %.4f", spec.model, spec.params, METRIC, trial.mark)
        if all(trial.mark > other.mark for other in self.trials if other.spec.model == spec.model):
            self.models[spec.model] = model
        self.trials.append(trial)
        return trial

    def _blend(self, spec: Spec) -> Blend:
        """Of models that were fitted already."""
        return Blend(tuple((factor, self.models[part.model]) for factor, part in spec.parts))


def hide(data: Interactions) -> tuple[Interactions, csr_matrix]:
    """A sample of the data without some users' last pages, and these: what models are judged by."""
    return data.sample(_TUNED_PAIRS).hold_out(_JUDGED_USERS)


def weighting(kind: str, settings: Recommend, data: Interactions) -> Weighting:
    """The weights of `kind` under the settings; ages are counted from the newest view."""
    newest = int(data.times.max()) if data.times is not None and len(data.times) else 0
    return Weighting(kind, settings.max_views, settings.half_life_days, newest)


def choose(data: Interactions, settings: Recommend, previous: dict[str, Any] | None) -> Choice:
    """Choose by `settings.model`, or do as the remembered choice `previous` says."""
    judge = Judge(data, settings)
    if not judge.hidden.nnz:
        reason = "No user has viewed two pages: there is nothing to judge a model by."
        return Choice(POPULAR, warnings=(reason,))
    floor = judge.try_out(POPULAR, must=True)
    assert floor is not None
    spec = _remembered(previous, data, settings)
    best = judge.try_out(spec, must=True) if spec else None
    remembered = best is not None and best.mark >= floor.mark
    if not remembered:
        best = _tune(judge, settings) or floor
    assert best is not None
    found = Choice(
        best.spec,
        best.quality,
        floor.quality,
        tuple(judge.trials),
        tuple(judge.skipped),
        remembered=remembered,
    )
    return above_popularity(found)


def above_popularity(choice: Choice) -> Choice:
    """The same choice, or popularity with a warning where the chosen model is below it."""
    assert choice.chosen is not None and choice.popularity is not None
    mark, floor = choice.chosen.mean(METRIC), choice.popularity.mean(METRIC)
    if mark >= floor:
        return choice
    warning = (
        f"Popularity is published: the best model, {choice.spec.model}, is below it "
        f"({METRIC} {mark:.4f} against {floor:.4f})."
    )
    return replace(choice, spec=POPULAR, chosen=choice.popularity, warnings=(warning,))


def memory(choice: Choice, data: Interactions, settings: Recommend) -> dict[str, Any]:
    """What a later run must know to keep to this choice."""
    return {
        "version": _VERSION,
        "settings": _key(settings),
        "shape": _extent(data),
        "spec": choice.spec.as_dict(),
    }


def _remembered(
    previous: dict[str, Any] | None, data: Interactions, settings: Recommend
) -> Spec | None:
    if not previous or data.views.nnz < _REMEMBERED_PAIRS:
        return None
    if previous.get("version") != _VERSION or previous.get("settings") != _key(settings):
        return None
    now, then = _extent(data), previous["shape"]
    ratios = [max(now[name], then[name]) / max(min(now[name], then[name]), 1) for name in now]
    return Spec.from_dict(previous["spec"]) if max(ratios) <= _MUCH_CHANGED else None


def _key(settings: Recommend) -> str:
    return repr(settings)


def _extent(data: Interactions) -> dict[str, int]:
    users, pages = data.views.shape
    return {"users": users, "pages": pages, "pairs": data.views.nnz}


def _tune(judge: Judge, settings: Recommend) -> Trial | None:
    """The best trial among the families that the settings allow."""
    names = list(FAMILIES) if settings.model == "auto" else [settings.model]
    if names == ["popularity"]:
        return None
    kind = "log" if settings.weights == "log" else "binary"
    leaders = [_start(judge, name, kind) for name in names]
    ranked = sorted((t for t in leaders if t), key=lambda trial: -trial.mark)
    tuned = [_climb(judge, trial) for trial in ranked]
    if settings.weights == "auto" and judge.left.views.data.max() > 1:
        tuned = [_better_weights(judge, trial) for trial in tuned]
    tuned.sort(key=lambda trial: -trial.mark)
    best = tuned[0] if tuned else None
    if best and settings.model == "auto":
        best = _blend(judge, best, tuned[1:])
    return best


def _start(judge: Judge, name: str, kind: str) -> Trial | None:
    family = FAMILIES[name]
    if family.most_pages and judge.shape.pages > family.most_pages:
        judge.skipped.append(f"{name}: the catalogue has more than {family.most_pages:,} pages")
        return None
    # ALS is always a candidate, and a model that was asked for by name is always tried.
    must = name in ("als", judge.settings.model)
    return judge.try_out(Spec(name, family.start, kind), must=must)


def _climb(judge: Judge, best: Trial) -> Trial:
    """Move along one axis at a time for as long as that improves."""
    axes = FAMILIES[best.spec.model].axes
    improved = True
    while improved:
        improved = False
        for name, values in axes.items():
            for step in (1, -1):
                while (trial := _neighbour(judge, best, name, values, step)) is not None:
                    if trial.mark <= best.mark:
                        break
                    best, improved = trial, True
    return best


def _neighbour(
    judge: Judge, trial: Trial, name: str, values: tuple[float, ...], step: int
) -> Trial | None:
    place = values.index(trial.spec.params[name]) + step
    if not 0 <= place < len(values):
        return None
    params = {**trial.spec.params, name: values[place]}
    return judge.try_out(replace(trial.spec, params=params))


def _better_weights(judge: Judge, best: Trial) -> Trial:
    trial = judge.try_out(replace(best.spec, weights="log"))
    return trial if trial and trial.mark > best.mark else best


def _blend(judge: Judge, best: Trial, others: list[Trial]) -> Trial:
    """The best blend of the best family with another one, if that is better."""
    winner = best
    alike = [other for other in others if other.spec.weights == best.spec.weights]
    for other in alike:
        for share in _SHARES:
            # Its parts are fitted already, so that a blend is cheap: the budget leaves it room.
            trial = judge.try_out(_mixture(best, other, share), must=True)
            if trial and trial.mark > winner.mark:
                winner = trial
    return winner


def _mixture(best: Trial, other: Trial, share: float) -> Spec:
    """`share` of the other model, both scaled so that their first places score alike."""
    shares = ((1 - share, best), (share, other))
    parts = tuple(
        (float(f"{part / max(trial.quality.top_score, 1e-9):.6g}"), trial.spec)
        for part, trial in shares
    )
    return Spec("blend", {"share": share}, best.spec.weights, parts)
