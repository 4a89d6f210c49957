"""Pictures of numbers: bars of HTML and SVG, without scripts, for pages of any width."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from clicklake.report.markup import Markup, tag

MAX_BARS = 120
_HEIGHT = 100  # of a chart's own coordinates


@dataclass(frozen=True)
class Series:
    """A named line of numbers; `kind` is its colour's class in the style sheet."""

    name: str
    kind: str
    values: Mapping[date, int]


def stacked(parts: Iterable[tuple[str, str, int]], label: str) -> Markup:
    """One bar of parts (kind, name, count), each as wide as its share; small ones stay visible."""
    shown = [(kind, name, count) for kind, name, count in parts if count]
    total = sum(count for *_, count in shown)
    bars = [
        tag("span", class_=kind, style=f"flex:{count / total:.6f}", title=f"{name}: {count:,}")
        for kind, name, count in shown
    ]
    return tag("div", bars, class_="stack", role="img", aria_label=label)


def bar(share: float, kind: str = "main") -> Markup:
    """A horizontal bar of a share of its cell's width. It only repeats a number beside it."""
    width = f"width:{100 * max(share, 0.004):.2f}%"
    return tag("span", tag("span", class_=kind, style=width), class_="bar", aria_hidden="true")


def legend(items: Iterable[tuple[str, str]]) -> Markup:
    """Colours and what they stand for: (kind, name)."""
    return tag(
        "ul",
        [
            tag("li", tag("span", class_=f"key {kind}", aria_hidden="true"), name)
            for kind, name in items
        ],
        class_="legend",
    )


def by_day(series: Sequence[Series], label: str) -> Markup:
    """Stacked bars over days, or over as many days together as make at most MAX_BARS bars."""
    days = [day for each in series for day in each.values]
    first, span = min(days), (max(days) - min(days)).days + 1
    step = -(-span // MAX_BARS)
    columns = list(zip(*(_sums(each, first, step, span) for each in series), strict=True))
    starts = [first + timedelta(days=step * at) for at in range(len(columns))]
    top = _round_up(max(map(sum, columns)))
    bars = [
        tag("g", tag("title", _told(starts[at], step, series, column)), _bars(at, series, column))
        for at, column in enumerate(columns)
    ]
    drawing = tag(
        "svg",
        bars,
        viewBox=f"0 0 {len(columns)} {top}",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
    )
    scale = [tag("span", f"{value:,}") for value in (top, top // 2, 0)]
    ticks = [
        tag("span", f"{day:%-d %b %Y}") for day in (first, starts[len(starts) // 2], max(days))
    ]
    return tag(
        "div",
        tag("div", scale, class_="scale", aria_hidden="true"),
        tag("div", drawing, class_="plot"),
        tag("div", ticks, class_="ticks"),
        class_="chart",
    )


def _sums(series: Series, first: date, step: int, span: int) -> list[int]:
    sums = [0] * -(-span // step)
    for day, value in series.values.items():
        sums[(day - first).days // step] += value
    return sums


def _bars(at: int, series: Sequence[Series], column: Sequence[int]) -> list[Markup]:
    """The rectangles of one column, the first series at the bottom; the drawing is flipped."""
    below = 0
    drawn = []
    for each, value in zip(series, column, strict=True):
        if value:
            drawn.append(
                tag("rect", class_=each.kind, x=at + 0.1, y=below, width=0.8, height=value)
            )
        below += value
    return drawn


def _told(start: date, step: int, series: Sequence[Series], column: Sequence[int]) -> str:
    when = f"{start:%-d %b %Y}"
    if step > 1:
        when += f" to {start + timedelta(days=step - 1):%-d %b %Y}"
    counts = ", ".join(f"{value:,} {each.name}" for each, value in zip(series, column, strict=True))
    return f"{when}: {counts}"


def _round_up(number: int) -> int:
    """The next number of the kind 2, 4, 6, 8, 10, 20, 40, …; its half is whole."""
    unit = 10 ** (len(str(number)) - 1)
    return next((unit * digit for digit in (2, 4, 6, 8, 10) if unit * digit >= number), 2 * number)
