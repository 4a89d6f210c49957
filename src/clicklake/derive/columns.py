"""The derived columns of `clickstream`: name, type, meaning, input and function, here alone.

Schema, comments, computation and `verify` follow from this list; docs/data.md is checked
against it. A new one is one more line (docs/changing.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from clicklake.derive import screens, urls
from clicklake.derive.fields import described

Function = Callable[[pa.Array], pa.Array]


@dataclass(frozen=True)
class DerivedColumn:
    """A column of which each value follows from one of another column.

    `source`: that column; `part`: the part of its URLs, where it is one of these.
    `function`: the values of the inputs given, each of which is there once.
    """

    name: str
    type: pa.DataType
    source: str
    meaning: str
    function: Function
    part: str | None = None
    nullable: bool = True

    @property
    def field(self) -> pa.Field:
        return described(self.name, self.type, self.meaning, self.nullable)


_text = partial(DerivedColumn, type=pa.string(), source="url")
_pixels = partial(
    DerivedColumn,
    type=pa.int64(),
    source="screen_resolution",
    meaning="of screen_resolution, in pixels; null where it is no size",
)


def _parameter(name: str) -> DerivedColumn:
    return _text(
        name,
        part=urls.QUERY,
        meaning="of the URL's query, decoded; the first value that is not empty",
        function=partial(urls.parameters, name=name),
    )


CLICKSTREAM_DERIVED: tuple[DerivedColumn, ...] = (
    _text(
        "host",
        part=urls.AUTHORITY,
        meaning="of the URL, lower case, without user, password and port; null where there is none",
        function=urls.hosts,
    ),
    _text(
        "path",
        part=urls.PATH,
        meaning="as it stands in the URL; / where empty",
        function=urls.paths,
        nullable=False,
    ),
    _parameter("utm_source"),
    _parameter("utm_medium"),
    _parameter("utm_campaign"),
    _pixels("screen_width", function=screens.widths),
    _pixels("screen_height", function=screens.heights),
)


def derived(source: str, values: pa.Array) -> Mapping[str, pa.Array]:
    """All columns that follow from one column, by name, for its distinct values without null."""
    columns = [column for column in CLICKSTREAM_DERIVED if column.source == source]
    parts = urls.split(values) if any(column.part for column in columns) else {}
    return {
        column.name: column.function(parts[column.part] if column.part else values)
        for column in columns
    }


SOURCES = tuple(dict.fromkeys(column.source for column in CLICKSTREAM_DERIVED))
