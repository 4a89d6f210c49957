"""Crawlers by name: the project's list in `crawlers.txt`."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_ASCII_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


@cache
def names() -> tuple[str, ...]:
    """The names, lower case; a text that contains one names a crawler."""
    lines = (
        files("clicklake.rules").joinpath("crawlers.txt").read_text(encoding="utf-8").splitlines()
    )
    stripped = (line.partition("#")[0].strip() for line in lines)
    return tuple(name for name in stripped if name)


@cache
def _pattern() -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, names())))


def names_crawler(value: str) -> bool:
    """Whether a text contains a crawler's name, in whatever case (ASCII)."""
    return _pattern().search(value.translate(_ASCII_LOWER)) is not None
