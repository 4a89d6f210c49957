"""What became of the rows that a run read."""

from __future__ import annotations

from collections.abc import Sequence

from clicklake.lake.metrics import Books, RunMetrics
from clicklake.report import charts
from clicklake.report.facts import Sample
from clicklake.report.layout import (
    FATES,
    data_table,
    percent,
    section,
)
from clicklake.report.markup import Markup, tag

REASONS = {
    "record_too_long": "longer than 1 MiB",
    "invalid_utf8": "not UTF-8 text",
    "unclosed_quote": "a quote is not closed",
    "wrong_field_count": "too few or too many fields",
    "malformed_json": "no valid JSON",
    "not_an_object": "JSON, but no object",
    "missing_environment": "no environment",
    "invalid_user_id": "the user's id is no whole number",
    "missing_visitor": "no visitor's id",
    "missing_url": "no URL",
    "invalid_time": "no time that exists",
    "time_out_of_range": "a time before 2000 or in the future",
    "invalid_email": "no e-mail address",
}


def books_of(metrics: RunMetrics) -> Markup:
    pictures = [_fates(source, books) for source, books in metrics.books.items()]
    rows = [
        [source, f"{books.read:,}", *(f"{getattr(books, fate):,}" for fate in FATES)]
        for source, books in (*metrics.books.items(), ("all", metrics.total))
    ]
    return section(
        "Every row has one fate",
        charts.legend((fate, f"{fate}: {meaning}") for fate, meaning in FATES.items()),
        pictures,
        data_table(
            ("source", "read", *FATES),
            rows,
            "Read = kept + duplicate + filtered + quarantined, for each source",
        ),
        note="A row that was read is kept, or there is a reason why not. Nothing is lost silently."
        + _rebuilt(metrics),
    )


def _rebuilt(metrics: RunMetrics) -> str:
    if not metrics.rebuilt:
        return ""
    names = ", ".join(metrics.rebuilt)
    return (
        f" Rebuilt from all files: {names}. What is kept of them is all of it, not only new rows."
    )


def _fates(source: str, books: Books) -> Markup:
    parts = [(fate, fate, getattr(books, fate)) for fate in FATES]
    told = ", ".join(f"{percent(count, books.read)} {name}" for _, name, count in parts if count)
    return tag(
        "div",
        tag("p", tag("strong", source), tag("span", f"{books.read:,} rows"), class_="named"),
        charts.stacked(parts, f"{source}: {told}") if books.read else None,
        tag("p", told or "nothing new", class_="note"),
        class_="book",
    )


def quarantine_of(metrics: RunMetrics, samples: Sequence[Sample]) -> Markup:
    sources = {source: counts for source, counts in metrics.reasons.items() if counts}
    if not sources:
        return section("Refused rows", tag("p", "None: every row of this run was understood."))
    most = max(count for counts in sources.values() for count in counts.values())
    blocks = []
    for source, counts in sources.items():
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        rows = [
            _reason(
                reason,
                count,
                count / most,
                [each for each in samples if (each.source, each.reason) == (source, reason)],
            )
            for reason, count in ordered
        ]
        blocks.append(tag("div", tag("h3", source), rows))
    return section(
        "Refused rows",
        tag("div", blocks, class_="columns"),
        note="Open a reason to see rows that were refused for it. Addresses, names and ids are "
        "masked here; the table quarantine has the rows as they came.",
    )


def _reason(reason: str, count: int, share: float, samples: Sequence[Sample]) -> Markup:
    name = tag("span", tag("strong", reason), tag("span", REASONS.get(reason), class_="note"))
    line = [name, tag("span", f"{count:,}", class_="count"), charts.bar(share, "bad")]
    if not samples:
        return tag("div", line, class_="row")
    shown = [
        tag("li", tag("code", each.text), tag("span", f"{each.file}, line {each.line:,}"))
        for each in samples
    ]
    return tag("details", tag("summary", tag("span", line, class_="row")), tag("ul", shown))
