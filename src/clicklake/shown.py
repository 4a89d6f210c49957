"""What is shown to a person, whatever names and texts came in from outside."""

from __future__ import annotations

import re
from collections.abc import Iterable

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
LISTED, LONGEST = 10, 80


def harmless(text: str) -> str:
    r"""A message whose lines after the first are indented, without what a terminal would obey.

    So no name of a file or a column that it holds can pass for a message of its own.

    >>> harmless("a\x1b[2J.csv\nerror: all is lost")
    'a\\x1b[2J.csv\n  error: all is lost'
    """
    first, *others = _CONTROL.sub(_escape, text).split("\n")
    if any(line and not line.startswith(" ") for line in others):
        others = [f"  {line}" if line else "" for line in others]
    return "\n".join([first, *others])


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def listed(names: Iterable[str], total: int = 0) -> str:
    """Some names, in order, and how many there are more of `total`, or of them."""
    given = sorted(names)
    shown = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in given[:LISTED]]
    more = max(total, len(given)) - len(shown)
    told = ", ".join(name or "(no name)" for name in shown)
    return f"{told} and {more:,} more" if more else told
