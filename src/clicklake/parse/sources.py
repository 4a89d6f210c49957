"""The sources, in the shape that `dl.cfg` tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from clicklake.config import SHAPES, Config, Shape
from clicklake.config.mapping import path_of
from clicklake.parse import csv, fields, jsonl, rows
from clicklake.parse.rows import Source
from clicklake.schemas import CLICKSTREAM, PAGE_VIEWS, USER_UPDATES

_UNSHAPED = (
    Source(USER_UPDATES.name, rows.nullable(USER_UPDATES.schema), rows.user_updates, "user_id"),
    Source(PAGE_VIEWS.name, rows.nullable(PAGE_VIEWS.schema), rows.page_views, "user_id"),
    Source(CLICKSTREAM.name, rows.CLICKS, rows.clickstream, "anonymous_user_id"),
)

# Columns of which a JSON number stands for its digits; so does a time in numbers.
_NUMBERS = ("user_id", "anonymous_user_id")
# Columns in which JSON usually has escapes.
_ESCAPED = ("url", "name", "browser", "os")


@cache
def shaped(name: str, shape: Shape) -> Source:
    """A source whose files look as a section of `dl.cfg` says."""
    bare = next(source for source in _UNSHAPED if source.name == name)
    source = replace(
        bare,
        columns=tuple(shape.names),
        format=shape.format,
        clock=fields.Clock(shape.time_format, shape.zone),
        environment=shape.environment_kept,
        nulls=shape.null_texts,
        dialect=csv.Dialect(shape.delimiter, shape.quote, shape.comment),
    )
    if shape.format == "json":
        return replace(source, keys=_keys(source, shape))
    if shape.header:
        names = {column: place.strip(" \t").lower() for column, place in shape.places.items()}
        return replace(source, header=names)
    return replace(source, layout=_layout(shape, source.dialect))


def _keys(source: Source, shape: Shape) -> tuple[jsonl.Key, ...]:
    numbers = (*_NUMBERS, source.time) if shape.time_format != "iso" else _NUMBERS
    return tuple(
        jsonl.Key(column, path_of(place), column in _ESCAPED, column in numbers)
        for column, place in shape.places.items()
    )


def _layout(shape: Shape, dialect: csv.Dialect) -> csv.Layout:
    found = {column: shape.position(column) for column in shape.places}
    positions = {column: at for column, at in found.items() if at is not None}
    return csv.Layout(shape.columns or max(positions.values()) + 1, positions, dialect)


# Those of docs/data.md.
SOURCES = {name: shaped(name, shape()) for name, shape in SHAPES.items()}


def configured(config: Config) -> Mapping[str, Source]:
    """The sources as a configuration tells their shapes."""
    return {name: shaped(name, getattr(config, name)) for name in SHAPES}
