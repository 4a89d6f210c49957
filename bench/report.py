"""Measurements as tables of Markdown and a plot, put into docs/performance.md."""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

LABELS = {
    "clicklake-sail": "clicklake (Sail)",
    "clicklake-spark": "clicklake (Spark)",
    "duckdb": "DuckDB script",
    "polars": "Polars script",
}
COLOURS = {
    "clicklake-sail": "#0b6e99",
    "clicklake-spark": "#7fb3c8",
    "duckdb": "#d9a400",
    "polars": "#8a5aa8",
}
TITLES = {
    "rerun": "A run with nothing new",
    "day": "One more day on a year",
    "scaling": "Ten times the rows",
    "spark-settings": "Spark, the job's settings and Spark's own",
    "readers": "Our readers and the engines' own",
    "start": "From nothing to the first row",
}

Costs = Mapping[str, Sequence[Mapping[str, float]]]


def machine() -> dict[str, Any]:
    """What a reader needs to judge the figures; nothing that names the machine."""
    names = ("pysail", "pyspark", "duckdb", "polars", "pyarrow")
    return {
        "cores": os.cpu_count(),
        "memory": round(psutil.virtual_memory().total / 2**30),
        "processor": _processor(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in names},
        "load": round(os.getloadavg()[1], 1),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    return found[1].strip() if found else platform.machine()


def median(costs: Sequence[Mapping[str, float]], what: str) -> float:
    return statistics.median(cost[what] for cost in costs)


def ratio(ours: Sequence[Mapping[str, float]], other: Sequence[Mapping[str, float]], what: str):
    """The median of the rounds' ratios; each round compares what ran beside each other."""
    pairs = zip(ours, other, strict=True)
    return statistics.median(one[what] / two[what] for one, two in pairs)


def text(results: Mapping[str, Mapping[str, Any]]) -> str:
    """All results as Markdown."""
    parts = [_compare(size, result) for size, result in results.get("compare", {}).items()]
    for scenario, title in TITLES.items():
        for case, result in results.get(scenario, {}).items():
            parts.append(_scenario(f"{title}: {case}", result))
    return "\n".join(parts)


def _machine(result: Mapping[str, Any]) -> str:
    about = result["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    rounds = "1 round" if result["rounds"] == 1 else f"{result['rounds']} rounds"
    return (
        f"{about['cores']} cores ({about['processor']}), {about['memory']} GB of memory, Python "
        f"{about['python']}, {versions}. Medians of {rounds}; the machine's load average was "
        f"{about['load']} at the end."
    )


def _compare(size: str, result: Mapping[str, Any]) -> str:
    costs: Costs = result["costs"]
    ours = next(iter(costs))
    lines = [
        f"### Logs of {size} before compression ({result['input']:,.0f} MB on disk)",
        "",
        _machine(result),
        "",
        f"| | wall s | CPU s | peak memory MB | tables MB | written MB | {LABELS[ours]} takes, of "
        "its wall | of its CPU | of its memory |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, each in costs.items():
        ratios = ["", "", ""]
        if name != ours:
            ratios = [f"{ratio(costs[ours], each, w):.2f}x" for w in ("wall", "cpu", "memory")]
        lines.append(
            f"| {LABELS[name]} | {median(each, 'wall'):,.1f} | {median(each, 'cpu'):,.1f} | "
            f"{median(each, 'memory'):,.0f} | {result['tables'][name]:,.0f} | "
            f"{median(each, 'written'):,.0f} | " + " | ".join(ratios) + " |"
        )
    rows = ", ".join(f"{table} {count:,}" for table, count in result["rows"].items())
    equal = "All tables are equal, row for row"
    if result["unequal"]:
        wrong = "; ".join(f"{LABELS[n]}: {', '.join(t)}" for n, t in result["unequal"].items())
        equal = f"**Tables differ** ({wrong})"
    return "\n".join([*lines, "", f"{equal}: {rows}.", ""])


def _scenario(title: str, result: Mapping[str, Any]) -> str:
    costs: Costs = result["costs"]
    first = next(iter(costs))
    timed = result.get("seconds", {})
    lines = [
        f"### {title}",
        "",
        _machine(result),
        "",
        "| | wall s | CPU s | peak memory MB | of the first, wall | CPU |"
        + (" reading alone s |" if timed else ""),
        "|---|--:|--:|--:|--:|--:|" + ("--:|" if timed else ""),
    ]
    for name, each in costs.items():
        of_first = [
            f"{median(each, what) / median(costs[first], what):.3f}x" for what in ("wall", "cpu")
        ]
        extra = f" {statistics.median(timed[name]):.2f} |" if timed else ""
        lines.append(
            f"| {name} | {median(each, 'wall'):,.2f} | {median(each, 'cpu'):,.2f} | "
            f"{median(each, 'memory'):,.0f} | " + " | ".join(of_first) + f" |{extra}"
        )
    return "\n".join([*lines, ""])


def write(results: Mapping[str, Mapping[str, Any]], docs: Path) -> None:
    """Replace the measured part of docs/performance.md, and the plot."""
    page = docs / "performance.md"
    begin, end = "<!-- measured by bench/run.py -->", "<!-- end of what was measured -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    shown = f"{begin}\n\n{text(results)}\n{end}"
    page.write_text(before + shown + after, encoding="utf-8")
    if results.get("compare"):
        plot(results["compare"], docs / "performance.svg")


def plot(compared: Mapping[str, Mapping[str, Any]], target: Path) -> None:
    """Wall time, processor time and memory, one bar each, by size."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "clicklake"
    import matplotlib.pyplot as plt

    sizes = list(compared)
    names = [name for name in LABELS if any(name in compared[s]["costs"] for s in sizes)]
    panels = {"wall": "wall time, s", "cpu": "processor time, s", "memory": "peak memory, GB"}
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.6))
    for axis, (what, title) in zip(axes, panels.items(), strict=True):
        for at, name in enumerate(names):
            places = [p for p, size in enumerate(sizes) if name in compared[size]["costs"]]
            scale = 1000 if what == "memory" else 1
            heights = [median(compared[sizes[p]]["costs"][name], what) / scale for p in places]
            width = 0.8 / len(names)
            bars = axis.bar(
                [p + (at - (len(names) - 1) / 2) * width for p in places],
                heights,
                width,
                color=COLOURS[name],
                label=LABELS[name],
            )
            axis.bar_label(bars, fmt="%.1f" if what == "memory" else "%.0f", fontsize=7)
        axis.set_title(title, fontsize=10)
        axis.set_xticks(range(len(sizes)), sizes)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_ylim(bottom=0)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="lower center", ncols=len(names),
                  frameon=False, fontsize=9)  # fmt: skip
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    figure.savefig(target, metadata={"Date": None})
    plt.close(figure)
