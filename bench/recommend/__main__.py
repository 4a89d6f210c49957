"""How good are the recommendations, and how fast? `python -m bench.recommend FILE …`

Hides pages from every model, lets each recommend from the full catalogue without the pages
that the user has seen, and prints how often the hidden ones come up, beside popularity and
the ALS of the `implicit` library. What `auto` chooses, it chooses without the hidden pages.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import numpy as np
from bench.recommend.reading import Columns, Split, read, split
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from clicklake.config import Recommend
from clicklake.recommend.choice import Choice, choose
from clicklake.recommend.families import FAMILIES, POPULAR, Spec, fit
from clicklake.recommend.lists import Lists, top_lists
from clicklake.recommend.quality import LENGTHS, Quality, compare, measure
from clicklake.recommend.tuning import METRIC, weighting

SHOWN = ("hit_rate@3", "ndcg@3", "recall@20", "ndcg@20")
IMPLICIT_GRID = [(r, a) for r in (0.01, 10.0, 100.0) for a in (1.0, 4.0, 20.0)]


@dataclass(frozen=True)
class Row:
    """A line of the table; times are seconds by the clock, scoring is the top 3 of all users.

    `cpu`: seconds that all cores together computed for both.
    """

    name: str
    quality: Quality
    fit: float
    score: float
    cpu: float
    note: str = ""


def main() -> None:
    given = arguments()
    columns = Columns(given.user, given.page, given.time, given.count)
    test = read(given.test, columns) if given.test else None
    data = split(read(given.files, columns), test)
    print(describe(data), flush=True)
    settings = Recommend(model=given.model, tune_seconds=given.tune_seconds)
    with threadpool_limits(1):
        rows = ours(data, settings)
    if not given.no_implicit:
        rows += theirs(data, tuned=given.tune_implicit)
    print(table(rows))
    if given.json:
        given.json.write_text(json.dumps([as_dict(row) for row in rows], indent=1) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.recommend", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help=READABLE)
    parser.add_argument("--test", nargs="+", type=Path, help="the hidden pages; FILE is the rest")
    for role in ("user", "page", "time", "count"):
        parser.add_argument(f"--{role}", help=f"the name or number of the {role} column")
    parser.add_argument("--model", default="auto", choices=["auto", *FAMILIES])
    parser.add_argument("--tune-seconds", type=int, default=Recommend.tune_seconds)
    parser.add_argument("--tune-implicit", action="store_true", help="try its usual settings")
    parser.add_argument("--no-implicit", action="store_true")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


READABLE = (
    "CSV or Parquet with a column for the user, one for the page and, if you like, for time and "
    "count; the UCI log of microsoft.com (.data, .test); lines of a user and its pages (.txt)"
)


def describe(data: Split) -> str:
    users, pages = data.train.views.shape
    hidden = np.diff(data.hidden.indptr)
    return (
        f"{users:,} users, {pages:,} pages, {data.train.views.nnz:,} pairs to learn from; "
        f"{hidden.sum():,} hidden pages of {(hidden > 0).sum():,} users\n"
        f"Protocol: {data.protocol}; the full catalogue without seen pages; the models are tuned "
        "and chosen on pages hidden from what is left."
    )


def ours(data: Split, settings: Recommend) -> list[Row]:
    """The best of every family as it was tuned, with the one that was chosen marked."""
    began = time.perf_counter()
    choice = choose(data.train, settings, None)
    seconds = time.perf_counter() - began
    print(f"Chosen in {seconds:.1f} s: {json.dumps(choice.spec.as_dict())}")
    for warning in (*choice.warnings, *choice.skipped):
        print(f"  {warning}")
    return [_judged(data, spec, choice, settings) for spec in _leaders(choice)]


def _leaders(choice: Choice) -> list[Spec]:
    best: dict[str, Any] = {}
    for trial in choice.trials:
        name = trial.spec.model
        if name not in best or trial.mark > best[name].mark:
            best[name] = trial
    leaders = [POPULAR, *(trial.spec for name, trial in best.items() if name != POPULAR.model)]
    return leaders if choice.spec in leaders else [*leaders, choice.spec]


def _judged(data: Split, spec: Spec, choice: Choice, settings: Recommend) -> Row:
    weigh = weighting(spec, settings, data.train)
    cpu = time.process_time()
    model, fitted = _timed(lambda: fit(spec, data.train.weights(weigh)))
    histories = data.train.histories(weigh)
    _, scored = _timed(lambda: _score_all(lambda block: top_lists(model, block, 3), histories))
    cpu = time.process_time() - cpu
    quality = measure(model, histories, data.hidden)
    note = ", ".join(f"{name} {value:g}" for name, value in spec.params.items())
    note += f", decay {spec.decay:g}" if spec.decay != 1 else ""
    if spec == choice.spec:
        note = f"chosen; {note}"
    return Row(spec.model, quality, fitted, scored, cpu, note)


def _score_all(recommend: Callable[[csr_matrix], Lists], weights: csr_matrix) -> None:
    """As the job does it: chunks of users, as many at a time as there are cores."""
    chunks = [weights[at : at + 8192] for at in range(0, weights.shape[0], 8192)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(recommend, chunks):
            pass


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    return work(), time.perf_counter() - began


def theirs(data: Split, *, tuned: bool) -> list[Row]:
    """ALS by `implicit` with 64 factors and 10 iterations, on all cores."""
    rows = [_implicit(data.train.views, data.hidden, 0.01, 1.0, "implicit als")]
    if tuned:
        left, hidden = data.train.hold_out(20_000)
        tries = [(_implicit(left.views, hidden, r, a, ""), r, a) for r, a in IMPLICIT_GRID]
        _, ridge, alpha = max(tries, key=lambda found: found[0].quality.mean(METRIC))
        rows.append(_implicit(data.train.views, data.hidden, ridge, alpha, "implicit tuned"))
    return rows


def _implicit(views: csr_matrix, hidden: csr_matrix, ridge: float, alpha: float, name: str) -> Row:
    from implicit.als import AlternatingLeastSquares

    binary = views.copy()
    binary.data[:] = 1
    # BLAS threads would fight the library's own.
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=64, iterations=10, regularization=ridge, alpha=alpha, random_state=0
        )
        cpu = time.process_time()
        _, fitted = _timed(lambda: model.fit(binary, show_progress=False))
        everyone = np.arange(binary.shape[0])
        _, scored = _timed(lambda: model.recommend(everyone, binary, N=3))
        cpu = time.process_time() - cpu
        users = np.flatnonzero(np.diff(hidden.indptr))
        pages, scores = model.recommend(users, binary[users], N=max(LENGTHS))
    lists = Lists(pages, scores, np.ones(pages.shape, dtype=bool))
    note = f"regularization {ridge:g}, alpha {alpha:g}"
    return Row(name, compare(lists, hidden[users], binary), fitted, scored, cpu, note)


def table(rows: list[Row]) -> str:
    header = ["model", *SHOWN, "se", "coverage", "fit s", "top 3 s", "cpu s", ""]
    lines = [
        [
            row.name,
            *(f"{row.quality.mean(metric):.4f}" for metric in SHOWN),
            f"{row.quality.error(METRIC):.4f}",
            f"{row.quality.coverage:.3f}",
            f"{row.fit:.1f}",
            f"{row.score:.1f}",
            f"{row.cpu:.1f}",
            row.note,
        ]
        for row in rows
    ]
    widths = [max(len(line[at]) for line in [header, *lines]) for at in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at in (0, len(header) - 1) else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in [header, *lines]
    )


def as_dict(row: Row) -> dict[str, Any]:
    figures = {"model": row.name, "note": row.note, "fit_seconds": row.fit}
    figures |= {"score_seconds": row.score, "cpu_seconds": row.cpu}
    return figures | row.quality.as_dict()


if __name__ == "__main__":
    main()
