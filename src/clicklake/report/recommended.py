"""How good the recommendations are, from what the run measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clicklake.lake.metrics import RunMetrics
from clicklake.report import charts
from clicklake.report.layout import data_table, section
from clicklake.report.markup import Child, Markup, tag

METRIC = "hit_rate@3"
HEADS = ("lists by", "hit rate at 3", "of all users", "NDCG at 3")
MODELS = {
    "als": "ALS",
    "ease": "EASE",
    "rp3beta": "RP3beta",
    "popular": "popularity",
    "blend": "a blend of two models",
}


def recommendations_of(metrics: RunMetrics) -> Markup | None:
    """The chosen model against popularity, by the last pages of users, hidden from both."""
    told = metrics.recommendation
    if not told.get("quality") or not told.get("popularity"):
        return None
    rates = [("the model that is published", told["quality"]), ("popularity", told["popularity"])]
    rows = [_row(name, quality) for name, quality in rates]
    model = MODELS.get(told["model"], told["model"])
    tried = f"{len(told.get('candidates', ())):,} were tried."
    chosen = "The choice of an earlier run holds." if told.get("remembered") else tried
    return section(
        "Recommendations",
        tag("p", _sentence(rates[0][1], rates[1][1])),
        data_table(HEADS, rows, "Lists of three, judged"),
        [tag("p", warning, class_="note") for warning in told.get("warnings", ())],
        note=f"The model is {model}, of {told['users']:,} users and {told['pages']:,} pages. "
        f"{chosen} It was judged by the last pages of {told['judged_users']:,} users, which were "
        "hidden from it: a hit is a list of three that has one of them.",
    )


def _sentence(model: Mapping[str, Any], popular: Mapping[str, Any]) -> str:
    return (
        f"Of 100 people {_of_100(model)} found their next page among the three; "
        f"had all been shown the most popular pages: {_of_100(popular)}."
    )


def _of_100(quality: Mapping[str, Any]) -> str:
    """How many, and between which numbers it is in 95 of 100 such judgements."""
    rate, error = quality[METRIC]["mean"], 1.96 * quality[METRIC]["standard_error"]
    least, most = max(rate - error, 0), min(rate + error, 1)
    return f"{100 * rate:.0f} ({100 * least:.0f} to {100 * most:.0f})"


def _row(name: str, quality: Mapping[str, Any]) -> list[Child]:
    rate, error = quality[METRIC]["mean"], quality[METRIC]["standard_error"]
    shown = f"{rate:.1%} ± {error:.1%}"
    return [name, shown, charts.bar(rate), f"{quality['ndcg@3']['mean']:.3f}"]
