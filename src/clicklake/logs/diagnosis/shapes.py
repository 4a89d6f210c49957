"""Text of another shape: JSON for CSV, arrays, other separators, headers, keys."""

from __future__ import annotations

import re
from collections import Counter
from json import JSONDecodeError, JSONDecoder

from clicklake.logs.diagnosis.cause import Cause, shortened
from clicklake.logs.diagnosis.heads import Head, parsed
from clicklake.parse import csv, jsonl
from clicklake.parse.rows import Source
from clicklake.parse.sources import SOURCES

_SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars"}
_LINES = 50  # that are looked at


def of_json(head: Head) -> Cause | None:
    """What is no JSON object on each line, or objects with other keys."""
    first = head.lines[0].lstrip()
    expected = "a JSON object on each line"
    if first.startswith("["):
        return Cause("a JSON array", expected, f"run: jq -c '.[]' {head.name} > NEW")
    if first.startswith("{"):
        if _goes_on(head):
            remedy = f"run: jq -c . {head.name} > NEW"
            return Cause("JSON objects over several lines", expected, remedy)
        return _other_keys(head)
    if any(first.count(separator) >= 2 for separator in _SEPARATORS):
        return of_another_source(head) or Cause("CSV", expected, "export it as JSON lines")
    return None


def of_csv(head: Head) -> Cause | None:
    """What is no CSV, or CSV of another shape."""
    if head.lines[0].lstrip().startswith(("{", "[")):
        return of_another_source(head) or Cause("JSON", _csv(head), "export it as CSV")
    return (
        _other_separator(head)
        or _broken_lines(head)
        or unwanted_header(head)
        or of_another_source(head)
        or (_other_names(head) if head.source.header else _other_width(head))
    )


def unwanted_header(head: Head) -> Cause | None:
    """A header in CSV that must have none."""
    if not has_header(head.source, head.text):
        return None
    return Cause(
        f"a header: {shortened(head.lines[0])}",
        _csv(head),
        "leave the header out; it is taken for a row of no use",
    )


def has_header(source: Source, text: bytes) -> bool:
    """Whether the first line has the names of the columns, of a source that has no header."""
    if source.layout is None:
        return False
    first = next((line for line in text.splitlines() if line.strip()), b"")
    fields = csv.split(first.decode("utf-8", errors="replace"), source.dialect) or []
    given = {field.strip(" \t").lower() for field in fields}
    return 2 * len(given & source.layout.positions.keys()) > len(source.layout.positions)


def _csv(head: Head) -> str:
    names = ",".join(head.columns)
    return f"a header {names}" if head.source.header else f"CSV without a header: {names}"


def _goes_on(head: Head) -> bool:
    """Whether the first object takes several lines."""
    try:
        _, end = JSONDecoder().raw_decode("\n".join(head.lines).lstrip())
    except JSONDecodeError:
        return False
    return end > len(head.lines[0].lstrip())


def _other_keys(head: Head) -> Cause | None:
    values = [jsonl.loads(line) for line in head.lines[:_LINES]]
    objects = [value for value in values if isinstance(value, dict)]
    wanted = {".".join(key.path): key.path for key in head.source.keys}
    lacking = [
        name
        for name, path in wanted.items()
        if all(jsonl.value_at(each, path) is None for each in objects)
    ]
    if not objects or not lacking:
        return None
    keys = shortened(", ".join(objects[0]))
    found = f"objects with the keys {keys}, without {', '.join(lacking)}"
    return Cause(found, f"the keys {', '.join(wanted)}", "write the log with these keys")


def _other_separator(head: Head) -> Cause | None:
    width = len(head.columns)
    delimiter = head.source.dialect.delimiter
    if _usual(head.lines, delimiter) >= width:
        return None
    expected = _SEPARATORS.get(delimiter, f'"{delimiter}"')
    for separator, name in _SEPARATORS.items():
        if separator != delimiter and _usual(head.lines, separator) >= width:
            return Cause(f"{name} between the fields", expected, f"export it with {expected}")
    return None


def _usual(lines: list[str], separator: str) -> int:
    """How many fields most of the lines have."""
    return Counter(line.count(separator) + 1 for line in lines[:_LINES]).most_common(1)[0][0]


def _broken_lines(head: Head) -> Cause | None:
    """Rows that are good once a quoted field may hold line breaks."""
    if head.multiline or "unclosed_quote" not in dict(head.rejects):
        return None
    given = (head.source, head.path, head.stored, head.text, head.time_range)
    if 2 * len(parsed(*given, multiline=True).rejects) >= len(head.rejects):
        return None
    return Cause(
        "line breaks in quoted fields",
        "a row on each line",
        "set [SOURCES] CSV_MULTILINE = true in dl.cfg",
    )


def of_another_source(head: Head) -> Cause | None:
    """Rows that another source understands."""
    for other in SOURCES.values():
        if other.name == head.source.name:
            continue
        seen = parsed(other, head.path, head.stored, head.text, head.time_range)
        if seen.read and not seen.is_mostly_bad and not seen.is_all_filtered:
            remedy = f"move it to the folder of {other.name}, or set [SOURCES] in dl.cfg"
            return Cause(f"rows of {other.name}", f"rows of {head.source.name}", remedy)
    return None


def _other_names(head: Head) -> Cause | None:
    if head.layout is not None:
        return None
    fields = [
        field.strip(" \t").lower() for field in csv.split(head.lines[0], head.source.dialect) or []
    ]
    if not all(re.fullmatch(r"[^\W\d][\w .-]*", field) for field in fields):
        return Cause("no header, but a row on the first line", _csv(head), "add the header")
    lacking = ", ".join(name for name in head.columns if name not in fields)
    without = f", without {lacking}" if lacking else ""
    found = f"a header {shortened(head.lines[0], 100)}{without}"
    return Cause(found, _csv(head), "name the columns so; their order does not matter")


def _other_width(head: Head) -> Cause | None:
    width = len(head.columns)
    dialect = head.source.dialect
    counts = Counter(len(csv.split(line, dialect) or ()) for line in head.lines[:_LINES])
    usual = counts.most_common(1)[0][0]
    if usual == width:
        return None
    return Cause(f"{usual} fields in a line", _csv(head), "export these columns, in this order")
