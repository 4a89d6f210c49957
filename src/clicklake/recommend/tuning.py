"""Models are tried on pages that were hidden from them, from usual parameters on.

A change is kept only if it gains more than one standard error over the same users: what the data
do not refute stays.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.sparse import csr_matrix

from clicklake.config import Recommend
from clicklake.progress import WORK
from clicklake.recommend.families import DECAYS, FAMILIES, Shape, Spec, fit, seconds
from clicklake.recommend.interactions import Interactions, Weighting
from clicklake.recommend.models import Model, blend
from clicklake.recommend.quality import Quality, measure

log = logging.getLogger(__name__)

# What is published is lists of three: their order is what counts.
METRIC = "ndcg@3"
PLACES = 3
# Tuning looks at this many pairs at most, and hides a page of this many users at most.
_TUNED_PAIRS = 300_000
_JUDGED_USERS = 20_000
# Tuning may cost a share of the run, and the run's cost grows with the pairs.
_SECONDS_PER_PAIR = 2.5e-6
_LEAST_SECONDS = 4.0
_SHARES = (0.25, 0.5)  # of a blend
# A family whose start is further than this below the best one's is not tuned.
_IN_REACH = 0.9
# Shares of the budget that are spent once the best family, and the others, are tuned.
_SHARE_OF_LEADER = 0.5
_SHARE_OF_CLIMBS = 0.65


@dataclass(frozen=True)
class Trial:
    """A model as it was judged; `seconds` is what that took by the clock."""

    spec: Spec
    quality: Quality
    seconds: float

    @property
    def mark(self) -> float:
        return self.quality.mean(METRIC)

    def gains(self, other: Trial) -> bool:
        """Whether it is better than `other` by more than one standard error."""
        difference, error = self.quality.against(other.quality, METRIC)
        return difference > error


def weighting(spec: Spec, settings: Recommend, data: Interactions) -> Weighting:
    """The weights that `spec` has under the settings; ages are counted from the newest view."""
    newest = int(data.times.max()) if data.times is not None and len(data.times) else 0
    return Weighting(
        spec.weights, settings.max_views, settings.half_life_days, newest, decay=spec.decay
    )


def hide(data: Interactions) -> tuple[Interactions, csr_matrix]:
    """A sample of the data without some users' last pages, and these: what models are judged by."""
    return data.sample(_TUNED_PAIRS).hold_out(_JUDGED_USERS)


@dataclass
class Judge:
    """Fits models on what is left of the data and measures them on what was hidden."""

    data: Interactions
    settings: Recommend
    trials: list[Trial] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    best: dict[str, tuple[Spec, Model]] = field(default_factory=dict)  # of each family
    last: dict[str, tuple[Spec, Model]] = field(default_factory=dict)
    spent: float = 0.0

    def __post_init__(self) -> None:
        self.left, hidden = hide(self.data)
        self.users = np.flatnonzero(np.diff(hidden.indptr))
        self.hidden = hidden[self.users]
        self.judged = self.left.of_users(self.users)
        self.shape = Shape.of(self.left, judged=len(self.users))
        share = max(_LEAST_SECONDS, _SECONDS_PER_PAIR * self.data.views.nnz)
        self.budget = min(self.settings.tune_seconds, share)

    def try_out(self, spec: Spec, share: float = 1.0, must: bool = False) -> Trial | None:
        """Judge `spec` unless it was, or would pass `share` of the budget; `must` ignores that."""
        known = next((trial for trial in self.trials if trial.spec == spec), None)
        if known:
            return known
        cost = seconds(spec, self.shape, is_fitted=self._known(spec) is not None)
        if self.spent + cost > share * self.budget and not must:
            self.skipped.append(f"{spec.model} {spec.params}: over the time budget")
            return None
        self.spent += cost
        started = time.perf_counter()
        model = self._model(spec)
        trial = Trial(spec, self.measure(spec, model, PLACES), time.perf_counter() - started)
        log.info("recommend: %s %s %s %.4f", spec.model, spec.params, METRIC, trial.mark)
        self.trials.append(trial)
        WORK.add()
        self.last = {spec.model: (spec.fitted, model)}
        if all(trial.mark >= t.mark for t in self.trials if t.spec.model == spec.model):
            self.best |= self.last
        return trial

    def measure(self, spec: Spec, model: Model | None = None, places: int = 20) -> Quality:
        """The quality of lists of `places` by `spec` on the hidden pages."""
        histories = self.judged.histories(weighting(spec, self.settings, self.data))
        return measure(model or self._model(spec), histories, self.hidden, places)

    def _known(self, spec: Spec) -> Model | None:
        """The model, if it is one of those that are at hand."""
        for models in (self.best, self.last):
            known, model = models.get(spec.model, (None, None))
            if known == spec.fitted:
                return model
        return None

    def _model(self, spec: Spec) -> Model:
        if known := self._known(spec):
            return known
        if spec.parts:
            return blend([(factor, self._model(part)) for factor, part in spec.parts])
        return fit(spec, self.left.weights(weighting(spec, self.settings, self.data)))


def tune(judge: Judge) -> list[Trial]:
    """The best trial of each family that the settings allow, and of the blends; best first."""
    settings = judge.settings
    names = list(FAMILIES) if settings.model == "auto" else [settings.model]
    if names == ["popularity"]:
        return []
    kind = "log" if settings.weights == "log" else "binary"
    starts = [trial for name in names if (trial := _start(judge, name, kind))]
    if not starts:
        return []
    starts.sort(key=lambda trial: -trial.mark)
    # What comes after needs its share of the budget.
    best = _climb(judge, starts[0], _SHARE_OF_LEADER)
    in_reach = [other for other in starts[1:] if other.mark >= _IN_REACH * best.mark]
    tuned = [best, *(_climb(judge, other, _SHARE_OF_CLIMBS) for other in in_reach)]
    tuned.sort(key=lambda trial: -trial.mark)
    best = _by_order(judge, _by_counts(judge, tuned[0]))
    others = [*tuned[1:], *(other for other in starts[1:] if other not in in_reach)]
    if settings.model != "auto":
        return [best]
    alike = [trial for other in others if (trial := _like(judge, other, best))]
    return sorted([best, *alike, *_blends(judge, best, alike)], key=lambda trial: -trial.mark)


def _start(judge: Judge, name: str, kind: str) -> Trial | None:
    family = FAMILIES[name]
    if family.most_pages and judge.shape.pages > family.most_pages:
        judge.skipped.append(f"{name}: the catalogue has more than {family.most_pages:,} pages")
        return None
    # One is always a candidate: the first, which costs least, or the one that was asked for.
    must = name in (next(iter(FAMILIES)), judge.settings.model)
    return judge.try_out(Spec(name, family.start, kind), must=must)


def _climb(judge: Judge, best: Trial, share: float) -> Trial:
    """Move along one axis at a time for as long as that gains, within a share of the budget."""
    axes = FAMILIES[best.spec.model].axes
    improved = True
    while improved:
        improved = False
        for name in axes:
            for step in (1, -1):
                while (trial := _neighbour(judge, best, name, step, share)) is not None:
                    if not trial.gains(best):
                        break
                    best, improved = trial, True
    return best


def _neighbour(judge: Judge, trial: Trial, name: str, step: int, share: float) -> Trial | None:
    values = FAMILIES[trial.spec.model].axes[name]
    place = values.index(trial.spec.params[name]) + step
    if not 0 <= place < len(values):
        return None
    params = {**trial.spec.params, name: values[place]}
    return judge.try_out(replace(trial.spec, params=params), share=share)


def _by_counts(judge: Judge, best: Trial) -> Trial:
    """With weights by counts of views, where there are any and that gains."""
    if judge.settings.weights != "auto" or judge.left.views.data.max() <= 1:
        return best
    trial = judge.try_out(replace(best.spec, weights="log"))
    return trial if trial and trial.gains(best) else best


def _by_order(judge: Judge, best: Trial) -> Trial:
    """With less weight for pages viewed before others, where there are times and that gains."""
    if judge.left.times is None:
        return best
    for decay in DECAYS:
        trial = judge.try_out(replace(best.spec, decay=decay))
        if not trial or not trial.gains(best):
            break
        best = trial
    return best


def _like(judge: Judge, other: Trial, best: Trial) -> Trial | None:
    """Another family with the weights of the best one."""
    alike = replace(other.spec, weights=best.spec.weights, decay=best.spec.decay)
    return judge.try_out(alike)


def _blends(judge: Judge, best: Trial, others: list[Trial]) -> list[Trial]:
    """Blends of the best family with each other one."""
    mixtures = [_mixture(best, other, share) for other in others for share in _SHARES]
    return [trial for mixed in mixtures if (trial := judge.try_out(mixed))]


def _mixture(best: Trial, other: Trial, share: float) -> Spec:
    """`share` of the other model, both scaled so that their first places score alike."""
    shares = ((1 - share, best), (share, other))
    parts = tuple(
        (
            float(f"{part / max(trial.quality.top_score, 1e-9):.6g}"),
            trial.spec.fitted,
        )
        for part, trial in shares
    )
    return Spec("blend", {"share": share}, best.spec.weights, best.spec.decay, parts)
