"""What the user sees: lines, one live line on a terminal, questions, and JSON for programs."""

from __future__ import annotations

import json
import sys
from typing import Any, TextIO

_CLEAR = "\r\x1b[K"


class Console:
    """Text for people goes to standard output; with `as_json` it makes room for one JSON object."""

    def __init__(self, *, as_json: bool = False) -> None:
        self._as_json = as_json
        self._text: TextIO = sys.stderr if as_json else sys.stdout
        self._terminal = self._text.isatty()

    def say(self, text: str = "") -> None:
        print(f"{_CLEAR if self._terminal else ''}{text}", file=self._text, flush=True)

    def live(self, text: str) -> None:
        """A line that the next one replaces; shown on a terminal only."""
        if self._terminal:
            print(f"{_CLEAR}{text}", end="", file=self._text, flush=True)

    def ask(self, question: str) -> str | None:
        """The user's answer; None where nobody can be asked."""
        if not sys.stdin.isatty():
            return None
        print(question, end=" ", file=self._text, flush=True)
        return sys.stdin.readline().strip()

    def error(self, text: str) -> None:
        print(f"{_CLEAR if sys.stderr.isatty() else ''}{text}", file=sys.stderr, flush=True)

    def result(self, facts: dict[str, Any]) -> None:
        """The one object of `--json`, as the last line of standard output."""
        if self._as_json:
            print(json.dumps(facts, default=str), flush=True)
