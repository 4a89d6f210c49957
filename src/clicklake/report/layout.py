"""The frame of a page, and how numbers are written on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files

from clicklake.lake.metrics import RunMetrics
from clicklake.report.markup import Child, Markup, tag

FATES = {
    "kept": "good rows that came into the lake",
    "duplicate": "rows that the lake has already",
    "filtered": "rows of other environments than production, and of people who are forgotten",
    "quarantined": "rows that cannot be understood; kept aside with the reason",
}

# Scripts, pictures, fonts and connections of any kind are refused by the browser itself.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def document(title: str, *body: Child) -> str:
    """A whole page that needs nothing from anywhere."""
    style = files("clicklake.report").joinpath("style.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(style)),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, tag('body', *body), lang='en')}\n"


def section(title: str, *children: Child, note: str | None = None) -> Markup:
    return tag(
        "section", tag("h2", title), tag("p", note, class_="note") if note else None, *children
    )


def figures(items: Sequence[tuple[str, str, str]]) -> Markup:
    """Large numbers: a name, the number, and more about it."""
    return tag(
        "dl",
        [
            tag("div", tag("dt", name), tag("dd", tag("strong", value), tag("span", more)))
            for name, value, more in items
        ],
        class_="figures",
    )


def data_table(heads: Sequence[str], rows: Sequence[Sequence[Child]], caption: str) -> Markup:
    """A table whose first column names the rows; on a narrow screen each row is a list."""
    body = [
        tag(
            "tr",
            tag("th", row[0], scope="row"),
            [
                tag("td", cell, data_head=head)
                for head, cell in zip(heads[1:], row[1:], strict=True)
            ],
        )
        for row in rows
    ]
    table = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", [tag("th", head, scope="col") for head in heads])),
        tag("tbody", body),
    )
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=caption)


def started(metrics: RunMetrics) -> str:
    """When a run began, as people write it."""
    return f"{datetime.fromisoformat(metrics.started_at):%-d %B %Y, %H:%M:%S} UTC"


def size(count: float) -> str:
    """Bytes in the unit that suits: 279 kB, 1.2 GB. A number and its unit stay on one line."""
    units = ("B", "kB", "MB", "GB", "TB")
    power = min(int(math.log(max(count, 1), 1000)), len(units) - 1)
    number = count / 1000**power
    return (
        f"{number:,.1f}\xa0{units[power]}"
        if power and number < 10
        else f"{number:,.0f}\xa0{units[power]}"
    )


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f}\xa0s" if seconds >= 0.1 else f"{1000 * seconds:.0f}\xa0ms"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    told = f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
    return told.replace(" ", "\xa0")


def percent(part: int, whole: int) -> str:
    """A share that never rounds something to nothing, nor nearly all to all."""
    if not whole or part in (0, whole):
        return "100\xa0%" if part and part == whole else "0\xa0%"
    share = 100 * part / whole
    if share < 0.1:
        return "<\xa00.1\xa0%"
    return f"{min(share, 99.9):.1f}\xa0%"
