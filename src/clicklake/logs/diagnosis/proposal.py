"""A mapping for a file whose rows are told in another shape, from its first rows.

Columns are known by usual names, and where those say nothing by their values. What is proposed
has been tried: most of the rows at the file's beginning are good by it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from clicklake.config import SHAPES, Shape
from clicklake.config.mapping import TIME_FORMATS, faults
from clicklake.logs.diagnosis.heads import Head, parsed
from clicklake.parse import csv, jsonl
from clicklake.parse.fields import Clock
from clicklake.parse.sources import shaped
from clicklake.parse.texts import TextColumn

Words = dict[str, Any]  # keys of a section and their values, beside the defaults
Columns = Mapping[str, Sequence[str]]  # texts of some rows, by place

_ROWS = 50  # that are looked at
_DELIMITERS = (",", "\t", ";", "|")
_TIME = "timestamp ts time eventtime at datetime date when createdat updatedat changed utime"
# What fields are called, letters and digits alone, the most usual first.
_NAMES = {
    "updated_at": "updatedat changedat modifiedat lastmodified changed modified " + _TIME,
    "ts": _TIME,
    "time": _TIME,
    "user_id": "userid uid user id accountid customerid memberid",
    "anonymous_user_id": "anonymoususerid anonymousid visitorid visitor clientid deviceid cookieid"
    " cid userpseudoid domainuserid sessionid",
    "email": "email mail emailaddress useremail",
    "name": "name fullname displayname username",
    "url": "url pageurl pagelocation page uri location href path requesturl request",
    "browser": "browser useragent agent ua browsername",
    "os": "os operatingsystem platform osname",
    "screen_resolution": "screenresolution screen resolution screensize viewport",
    "environment": "environment env stage deployment",
}
_LIVE = ("production", "prod", "live")
# What the values of a field are like that a name did not tell.
_LIKE = {
    "url": r"(https?://|/)\S*",
    "email": r"[^@\s]+@[^@\s]+",
    "user_id": r"[+-]?\d{1,18}",
    "anonymous_user_id": r"[\w.:-]{2,64}",  # last, as others look like that as well
}


def proposed(head: Head) -> Shape | None:
    """A shape in which most rows at a file's beginning are good; None if none was found."""
    if not head.lines:
        return None
    for words, columns in _readings(head):
        found = _mapped(head, words, columns)
        if found is None:
            continue
        shape = SHAPES[head.source.name](**found)
        if any(faults(shape)):
            continue
        seen = parsed(
            shaped(head.source.name, shape), head.path, head.stored, head.text, head.time_range
        )
        if seen.read and not seen.is_mostly_bad and not seen.is_all_filtered:
            return shape
    return None


def section(source: str, shape: Shape) -> str:
    """A section of `dl.cfg`: what of a shape is not the default."""
    default = type(shape)()
    lines = [f"[{source.upper()}]"]
    for each in fields(shape):
        value = getattr(shape, each.name)
        if value != getattr(default, each.name):
            shown = {True: "yes", False: "no", "\t": r"\t"}.get(value, value)
            lines.append(f"{each.name.upper()} = {shown}".rstrip())
    return "\n".join(lines) + "\n"


def _readings(head: Head) -> Iterator[tuple[Words, Columns]]:
    """Ways to take the lines apart, each with the columns that it finds."""
    lines = head.lines[:_ROWS]
    if lines[0].lstrip().startswith("{"):
        objects = [each for each in map(jsonl.loads, lines) if isinstance(each, dict)]
        flat = [dict(_leaves(each, ())) for each in objects]
        places = dict.fromkeys(place for each in flat for place in each)
        yield {"format": "json"}, {p: [each.get(p, "") for each in flat] for p in places}
        return
    dialects = [_dialect(lines, delimiter) for delimiter in _DELIMITERS]
    for dialect in sorted(dialects, key=lambda each: -_width(lines, each)):
        rows = [csv.split(line, dialect) or [] for line in lines]
        width = _width(lines, dialect)
        whole = [[value.strip(" \t") for value in row] for row in rows if len(row) == width]
        if width < 2 or not whole:
            continue
        words: Words = {"format": "csv", "delimiter": dialect.delimiter, "quote": dialect.quote}
        if all(re.fullmatch(r"[^\W\d][\w .()-]*", name) for name in whole[0]):
            columns = {name: [row[at] for row in whole[1:]] for at, name in enumerate(whole[0])}
            yield {**words, "header": True}, columns
        numbered = {str(at + 1): [row[at] for row in whole] for at in range(width)}
        yield {**words, "header": False, "columns": width}, numbered


def _dialect(lines: Sequence[str], delimiter: str) -> csv.Dialect:
    """With the quote that most quoted fields begin with."""
    first = Counter(field[:1] for line in lines for field in line.split(delimiter))
    return csv.Dialect(delimiter, "'" if first["'"] > first['"'] else '"')


def _width(lines: Sequence[str], dialect: csv.Dialect) -> int:
    counts = Counter(len(csv.split(line, dialect) or ()) for line in lines)
    return counts.most_common(1)[0][0]


def _leaves(value: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The texts and numbers in objects within each other, by the paths that lead to them."""
    for key, inner in value.items():
        place = (*path, key.replace(".", r"\."))
        if isinstance(inner, dict):
            yield from _leaves(inner, place)
        elif isinstance(inner, str) or hasattr(inner, "digits"):
            yield ".".join(place), str(getattr(inner, "digits", inner))


def _mapped(head: Head, words: Words, columns: Columns) -> Words | None:
    """The same words with a place for each field; None if one that is needed was not found."""
    kind = SHAPES[head.source.name]
    time = head.source.time
    taken: dict[str, str] = {}
    asked = [each for each in fields(kind) if "optional" in each.metadata]
    order = [time, *_LIKE]
    for each in sorted(asked, key=lambda each: (*order, each.name).index(each.name)):
        free = {place: values for place, values in columns.items() if place not in taken.values()}
        place = _place(each.name, each.name == time, free, head)
        if not place and each.metadata["optional"] is False:
            return None
        taken[each.name] = place
    clock = _clock(columns[taken[time]], head)
    found: Words = {**words, **taken, "time_format": clock}
    if taken["environment"]:
        values = Counter(value for value in columns[taken["environment"]] if value)
        live = [each for each in _LIVE if each in values]
        found["keep_environment"] = (live or [value for value, _ in values.most_common(1)])[0]
    return found


def _place(name: str, is_time: bool, columns: Columns, head: Head) -> str:
    """The column that has a field: by its name, else by its values; "" for none."""

    def fits(place: str) -> bool:
        if is_time:
            return bool(_clock(columns[place], head))
        like = re.compile(_LIKE.get(name, ".*"))
        given = [value for value in columns[place] if value]
        return bool(given) and 2 * sum(1 for v in given if like.fullmatch(v)) > len(given)

    for known in (name.replace("_", ""), *_NAMES[name].split()):
        for place in columns:
            parts = re.split(r"(?<!\\)\.", place)
            whole = {re.sub(r"[\W_]", "", "".join(parts[at:])).lower() for at in (-1, -2)}
            if known in whole and fits(place):
                return place
    if not is_time and name not in ("url", "email", "user_id", "anonymous_user_id"):
        return ""
    return next(filter(fits, columns), "")


def _clock(values: Sequence[str], head: Head) -> str:
    """The format in which most of some times are in range; "" for none."""
    given = [value.encode() for value in values if value]
    edges = np.cumsum([0, *map(len, given)], dtype=np.int32)
    column = TextColumn(b"".join(given), edges[:-1], edges[1:])
    first, after = head.time_range
    for name in TIME_FORMATS:
        times = Clock(name).times(column)
        if 2 * int(((times >= first) & (times < after)).sum()) > len(given):
            return name
    return ""
