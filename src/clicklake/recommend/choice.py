"""Which model to publish: tuned and chosen on each user's last page, hidden from the models."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from clicklake.config import Recommend
from clicklake.recommend.families import POPULAR, Shape, Spec, seconds
from clicklake.recommend.interactions import Interactions
from clicklake.recommend.quality import Quality
from clicklake.recommend.tuning import METRIC, Judge, Trial, tune

# A remembered choice holds while users, pages and pairs stay within this ratio of then.
_MUCH_CHANGED = 1.25
_VERSION = 2


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
    remembered = best is not None and (best is floor or best.gains(floor))
    if not remembered:
        best = _cheapest(tune(judge), Shape.of(data)) or floor
    assert best is not None
    found = Choice(
        best.spec,
        judge.measure(best.spec),
        judge.measure(POPULAR),
        tuple(judge.trials),
        tuple(judge.skipped),
        remembered=remembered,
    )
    return above_popularity(found)


def _cheapest(found: list[Trial], shape: Shape) -> Trial | None:
    """The cheapest of those that the best does not beat by more than one standard error."""
    everybody = replace(shape, judged=shape.users)
    alike = [trial for trial in found if trial is found[0] or not found[0].gains(trial)]
    return min(alike, key=lambda trial: seconds(trial.spec, everybody), default=None)


def above_popularity(choice: Choice) -> Choice:
    """The same choice, or popularity with a warning where the chosen model is not above it.

    Above is what gains more than one standard error.
    """
    assert choice.chosen is not None and choice.popularity is not None
    gain, error = choice.chosen.against(choice.popularity, METRIC)
    if choice.spec == POPULAR or gain > error:
        return choice
    mark, floor = choice.chosen.mean(METRIC), choice.popularity.mean(METRIC)
    warning = (
        f"Popularity is published: the best model, {choice.spec.model}, is not above it "
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
    if (
        not previous
        or previous.get("version") != _VERSION
        or previous.get("settings") != _key(settings)
    ):
        return None
    now, then = _extent(data), previous["shape"]
    ratios = [max(now[name], then[name]) / max(min(now[name], then[name]), 1) for name in now]
    return Spec.from_dict(previous["spec"]) if max(ratios) <= _MUCH_CHANGED else None


def _key(settings: Recommend) -> str:
    return repr(settings)


def _extent(data: Interactions) -> dict[str, int]:
    users, pages = data.views.shape
    return {"users": users, "pages": pages, "pairs": data.views.nnz}
