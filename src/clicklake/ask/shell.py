"""A shell for questions: history, completion, an answer after each semicolon."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from clicklake.ask import table
from clicklake.ask.query import TABLES, Target, ask, columns_of
from clicklake.errors import ClicklakeError
from clicklake.schemas import TABLES as SCHEMAS

HELP = r"""  \d  tables and columns        \d TABLE  what its columns mean
  \x  one value a line, or tables again        \w  all columns, or those that fit
  \q  leave
A question ends with a semicolon and may have several lines; each is of the lake's latest state."""

WORDS = """
select from where group by order limit join left using on with as distinct count sum avg min max
desc and or not in like between is null case when then else end union all having over partition
interval date_trunc year month daily_traffic runs
"""


@dataclass
class Shape:
    """How answers are shown, until the user says otherwise."""

    limit: int
    wide: bool
    vertical: bool


def run(target: Target, limit: int, *, wide: bool = False, vertical: bool = False) -> None:
    """Ask for questions and answer them until the user leaves (\\q, Ctrl-D).

    Raises InputError if there is no lake.
    """
    shape = Shape(limit, wide, vertical)
    ask(target, "select 1", lambda answer: answer.read_all())
    session: PromptSession[str] = PromptSession(
        history=_history(),
        completer=_completer(),
        complete_while_typing=False,
        multiline=Condition(lambda: not is_complete(session.default_buffer.document)),
        prompt_continuation="      … ",
    )
    print(f"{target.storage.root}; \\? for help, \\q to leave")
    while True:
        try:
            text = session.prompt("lake> ").strip()
        except KeyboardInterrupt:  # what was typed is dropped, as in other shells
            continue
        except EOFError:
            return
        if text in ("\\q", "exit", "quit"):
            return
        if text:
            _obey(text, target, shape)


def is_complete(document: Document) -> bool:
    """Whether Enter asks: after a semicolon, a command of the shell, or nothing."""
    text = document.text.strip()
    return not text or text.endswith(";") or text.startswith("\\") or text in ("exit", "quit")


def _obey(text: str, target: Target, shape: Shape) -> None:
    if text == "\\x":
        shape.vertical = not shape.vertical
    elif text == "\\w":
        shape.wide = not shape.wide
    elif text == "\\d":
        _answer(TABLES, target, Shape(0, wide=False, vertical=True))
    elif text.startswith("\\d "):
        _describe(text[3:].strip("; "), target)
    elif text.startswith("\\"):
        print(HELP)
    elif text.strip("; "):
        _answer(text, target, shape)


def _describe(name: str, target: Target) -> None:
    try:
        _answer(columns_of(name), target, Shape(0, wide=True, vertical=False))
    except ClicklakeError as error:
        print(f"error: {error}")


def _answer(question: str, target: Target, shape: Shape) -> None:
    try:
        found, more = ask(target, question, lambda a: table.first(a, shape.limit))
    except ClicklakeError as error:
        print(f"error: {error}")
        return
    table.show(found, more, wide=shape.wide, vertical=shape.vertical)


def _completer() -> WordCompleter:
    columns = {column for kind in SCHEMAS.values() for column in kind.columns}
    return WordCompleter(sorted({*WORDS.split(), *SCHEMAS, *columns}), ignore_case=True)


def _history() -> History:
    """The questions of earlier days, which only their user may read."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    file = state / "clicklake" / "query_history"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(file))
