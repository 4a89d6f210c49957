"""Crawlers by name: the project's list in `crawlers.txt`."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

import pyarrow as pa
import pyarrow.compute as pc

from clicklake.parse.fields import by_distinct

_ASCII_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


@cache
def names() -> tuple[str, ...]:
    """The names, lower case; a text that contains one names a crawler."""
    lines = files("clicklake").joinpath("crawlers.txt").read_text(encoding="utf-8").splitlines()
    stripped = (line.partition("#")[0].strip() for line in lines)
    return tuple(name for name in stripped if name)


@cache
def pattern() -> str:
    """An expression that finds a crawler's name in a text in lower case (ASCII)."""
    return "|".join(map(re.escape, names()))


@cache
def _pattern() -> re.Pattern[str]:
    return re.compile(pattern())


def names_crawler(value: str) -> bool:
    return _pattern().search(value.translate(_ASCII_LOWER)) is not None


def is_crawler(browsers: pa.Array, systems: pa.Array) -> pa.Array:
    """Whether browser or operating system names a crawler."""
    named = [
        pc.fill_null(by_distinct(values, names_crawler, pa.bool_()), False)
        for values in (browsers, systems)
    ]
    return pc.or_(*named)
