"""What a notebook needs: the lake, `%%sql`, and pictures of a few kinds."""

from __future__ import annotations

import os
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from cycler import cycler
from IPython import get_ipython

from clicklake.ask.reading import OpenLake, open_lake
from clicklake.lake.metrics import committed

BLUE, ORANGE, GREEN, RED, GREY = "#2f6fd0", "#c9822b", "#2a8a78", "#d6492f", "#8b95a5"
_CENTRED: Any = {"ha": "center", "va": "center", "fontsize": 8}
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_METRICS = {"hit_rate@3": "hit rate at 3", "ndcg@3": "NDCG at 3"}
_STYLE: Any = {
    "figure.figsize": (10, 3.6),
    "figure.dpi": 96,
    "date.converter": "concise",
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#e3e7ed",
    "axes.prop_cycle": cycler(color=[BLUE, ORANGE, GREEN, RED, "#7a5cc2", GREY]),
    "legend.frameon": False,
}


def start(place: str | None = None, engine: str | None = None) -> OpenLake:
    """Open a lake for this notebook, as `open_lake` does, with `%%sql` for cells of plain SQL.

    Without arguments: what LAKE and ENGINE of the environment say, else OUTPUT_DATA of `dl.cfg`
    and "duckdb". `%%sql` shows the rows of a query; `%%sql name` keeps them as `name`, too.
    """
    place, engine = place or os.environ.get("LAKE"), engine or os.environ.get("ENGINE", "duckdb")
    lake = open_lake(place, engine=engine)
    plt.rcParams.update(_STYLE)
    pd.options.display.max_rows = 15
    pd.options.display.min_rows = 6
    pd.options.display.max_colwidth = 100
    shell = get_ipython()

    def sql(name: str, query: str) -> pd.DataFrame:
        rows = lake.sql(query)
        if name:
            shell.user_ns[name] = rows
        return rows

    shell.register_magic_function(sql, "cell", "sql")
    return lake


def bars(names: Any, counts: Any, title: str, color: str = BLUE) -> None:
    """Horizontal bars, the first on top, each with its number."""
    _, axes = plt.subplots(figsize=(10, 0.6 + 0.32 * len(names)))
    drawn = axes.barh(names, counts, color=color)
    axes.bar_label(drawn, fmt="{:,.0f}", padding=4, color="#566072")
    axes.invert_yaxis()
    axes.set_title(title)
    axes.set_xticks([])
    axes.spines[["bottom", "left"]].set_visible(False)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.margins(x=0.1, y=0.02)


def heatmap(grid: pd.DataFrame, title: str, xlabel: str = "", fmt: str = "") -> None:
    """A grid in shades, the first row on top; `fmt`: how each number is written into its cell."""
    numbers = grid.to_numpy()
    most = pd.DataFrame(numbers).max().max()
    _, axes = plt.subplots(figsize=(10, 0.9 + 0.34 * len(grid)))
    mesh = axes.pcolormesh(numbers, cmap="Blues", edgecolor="white", linewidth=1.5, vmin=0)
    for (row, column), number in pd.DataFrame(numbers).stack().items() if fmt else ():
        color = "white" if number > 0.6 * most else "#1b2330"
        axes.text(column + 0.5, row + 0.5, fmt.format(number), color=color, **_CENTRED)
    axes.set_yticks([at + 0.5 for at in range(len(grid))], grid.index)
    axes.set_xticks([at + 0.5 for at in range(grid.shape[1])], grid.columns)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    axes.set_xlabel(xlabel)
    axes.set_title(title)
    if not fmt:
        axes.figure.colorbar(mesh, shrink=0.9).outline.set_visible(False)


def recommendation_quality(lake: OpenLake) -> pd.DataFrame:
    """The published model beside popularity, as the newest run judged them that recommended."""
    runs = [run for run in committed(lake.snapshot.storage) if run.seq <= lake.snapshot.seq]
    told = next((r.recommendation for r in reversed(runs) if r.recommendation.get("quality")), {})
    judged = {"the model": told["quality"], "popularity": told["popularity"]} if told else {}
    rows = [[quality[metric]["mean"] for metric in _METRICS] for quality in judged.values()]
    return pd.DataFrame(rows, index=list(judged), columns=list(_METRICS.values()))
