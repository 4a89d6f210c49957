r"""How the files of each source tell its facts: a section of `dl.cfg` for each source.

The defaults are the shapes of docs/data.md. A *place* is where a field is: in CSV the name of a
column, or its number (from 1) where there is no header; in JSON a key, or a path such as
`context.page.url`, in which `\.` is a dot of a key's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from itertools import combinations
from typing import Any

from clicklake.config.checks import (
    any_text,
    character,
    choice,
    clock_zone,
    flag,
    key,
    no_character_or_one,
    whole,
)

TIME_FORMATS = ("iso", "unix_s", "unix_ms", "unix_us")
MOST_COLUMNS = 9999
DEEPEST = 8  # keys in a path


def _place(default: str, *, optional: bool = False) -> Any:
    return field(default=default, metadata={"check": any_text, "optional": optional})


@dataclass(frozen=True)
class Shape:
    """What a source's files look like.

    `columns` of a record without a header, 0: as many as the last one that is named.
    `nulls`: texts that stand for none, between commas; `comment`: what a line that is no record
    begins with.
    `time_format`: ISO 8601, in `zone` where a time tells none, or a number since 1970.
    `keep_environment`: of which rows are kept; * or nothing keeps all.
    """

    format: str = key("csv", choice("csv", "json"))
    header: bool = key(True, flag)
    delimiter: str = key(",", character)
    quote: str = key('"', no_character_or_one)
    columns: int = key(0, whole(0))
    nulls: str = key("")
    comment: str = key("")
    time_format: str = key("iso", choice(*TIME_FORMATS))
    zone: str = key("UTC", clock_zone)
    keep_environment: str = key("production")

    @property
    def names(self) -> list[str]:
        """The fields, in the order of the columns of a file without a header."""
        return [each.name for each in fields(self) if "optional" in each.metadata]

    @property
    def places(self) -> dict[str, str]:
        """Where each field is, of those that the logs have."""
        given = {name: str(getattr(self, name)) for name in self.names}
        return {name: place for name, place in given.items() if place}

    @property
    def null_texts(self) -> tuple[str, ...]:
        """The texts that stand for none."""
        return tuple(text.strip() for text in self.nulls.split(",") if text.strip())

    @property
    def environment_kept(self) -> str | None:
        """The environment whose rows are kept; None where it is not asked for."""
        is_asked = "environment" in self.places and self.keep_environment not in ("", "*")
        return self.keep_environment if is_asked else None

    def position(self, name: str) -> int | None:
        """The column of a field, from 0, where there is no header; None if none is told."""
        place = self.places[name]
        if place == name:
            return self.names.index(name)
        return int(place) - 1 if re.fullmatch(r"[1-9]\d{0,3}", place, re.ASCII) else None


@dataclass(frozen=True)
class UserUpdates(Shape):
    header: bool = key(False, flag)
    updated_at: str = _place("updated_at")
    user_id: str = _place("user_id")
    email: str = _place("email")
    name: str = _place("name", optional=True)
    environment: str = _place("environment", optional=True)


@dataclass(frozen=True)
class PageViews(Shape):
    format: str = key("json", choice("csv", "json"))
    ts: str = _place("ts")
    url: str = _place("url")
    environment: str = _place("environment", optional=True)
    user_id: str = _place("user_id")


@dataclass(frozen=True)
class Clickstream(Shape):
    time_format: str = key("unix_s", choice(*TIME_FORMATS))
    anonymous_user_id: str = _place("anonymous_user_id")
    url: str = _place("url")
    time: str = _place("time")
    browser: str = _place("browser", optional=True)
    os: str = _place("os", optional=True)
    screen_resolution: str = _place("screen_resolution", optional=True)
    environment: str = _place("", optional=True)


SHAPES: dict[str, type[Shape]] = {
    "user_updates": UserUpdates,
    "page_views": PageViews,
    "clickstream": Clickstream,
}


def path_of(place: str) -> tuple[str, ...]:
    """The keys of a path into a JSON object."""
    return tuple(key.replace("\\.", ".") for key in re.split(r"(?<!\\)\.", place))


def faults(shape: Shape) -> Iterator[str]:
    """What is wrong with keys that are right by themselves, and what to do."""
    for each in fields(shape):
        if each.metadata.get("optional") is False and not getattr(shape, each.name):
            yield f"{each.name.upper()} is empty; say where it is, the source is no use without it"
    yield from _faults_of_json(shape) if shape.format == "json" else _faults_of_csv(shape)
    if shape.zone != "UTC" and shape.time_format != "iso":
        yield f"ZONE is for TIME_FORMAT = iso; a time in {shape.time_format} has none. Leave it out"


def _faults_of_csv(shape: Shape) -> Iterator[str]:
    if shape.delimiter == shape.quote:
        yield "DELIMITER and QUOTE are the same character; take another for one of them"
    if shape.header:
        found = {name: place.lower() for name, place in shape.places.items()}
        yield from _twice(shape, found)
        if shape.columns:
            yield "COLUMNS is for HEADER = no; a header says itself how many. Leave it out"
        return
    numbers = {name: shape.position(name) for name in shape.places}
    for name, number in numbers.items():
        if number is None:
            yield (
                f'{name.upper()} is "{shape.places[name]}"; without a header (HEADER = no) it must '
                f"be a column's number, from 1 to {MOST_COLUMNS}"
            )
        elif shape.columns and number >= shape.columns:
            yield f"{name.upper()} is column {number + 1} of COLUMNS = {shape.columns}; mend one"
    if shape.columns > MOST_COLUMNS:
        yield f"COLUMNS is {shape.columns}; it must be {MOST_COLUMNS} or less"
    yield from _twice(shape, {n: str(at) for n, at in numbers.items() if at is not None})


def _twice(shape: Shape, found: dict[str, str]) -> Iterator[str]:
    for one, other in combinations(found, 2):
        if found[one] == found[other]:
            yield (
                f'{one.upper()} and {other.upper()} are both "{shape.places[other]}"; each needs '
                "a column of its own"
            )


def _faults_of_json(shape: Shape) -> Iterator[str]:
    default = type(shape)()
    for name in ("header", "delimiter", "quote", "columns"):
        if getattr(shape, name) != getattr(default, name):
            yield f"{name.upper()} is for FORMAT = csv. Leave it out"
    paths = {name: path_of(place) for name, place in shape.places.items()}
    for name, path in paths.items():
        if not all(path):
            yield (
                f'{name.upper()} is "{shape.places[name]}", a path with an empty key; write '
                r"key.key, and \. for a dot of a key's own"
            )
        if len(path) > DEEPEST:
            yield f"{name.upper()} is a path of more than {DEEPEST} keys"
    for one, other in combinations(paths, 2):
        shorter = min(len(paths[one]), len(paths[other]))
        if paths[one][:shorter] == paths[other][:shorter]:
            yield (
                f"{one.upper()} = {shape.places[one]} and {other.upper()} = {shape.places[other]} "
                "are the same value, or one is a part of the other; each needs one of its own"
            )
