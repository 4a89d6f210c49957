"""`clicklake COMMAND …`: the commands by their names, each loaded when it is called."""

from __future__ import annotations

import atexit
import difflib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from clicklake import __version__
from clicklake.cli import outer

# The command's name: its module, and what it does.
COMMANDS = {
    "etl": (
        "main",
        "bring the lake up to date with its raw logs; check, verify, replay, forget-user",
    ),
    "check": ("main", "say what etl would do, from samples; writes nothing"),
    "query": ("query", "ask the lake in SQL"),
    "deploy": ("deploy", "run the job on Amazon EMR"),
    "stream": ("stream", "publish the clean events on a stream, and summarize it"),
    "generate": ("generate", "write sample logs"),
}

VERBS = {"check": ("check",)}  # commands that are a verb of their module


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    name, rest = (arguments[0], arguments[1:]) if arguments else ("--help", ())
    if name in ("-h", "--help", "help"):
        print(_help())
        return 0
    if name == "--version":
        print(f"clicklake {__version__}")
        return 0
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(COMMANDS)}."
        print(f"error: {name} is no command of clicklake; {hint}", file=sys.stderr)
        return 2
    return run(name, rest)


def run(name: str, arguments: Sequence[str]) -> int:
    """Run the command of that name; a package that it lacks is told in one line."""
    module, _ = COMMANDS[name]
    arguments = [*VERBS.get(name, ()), *arguments]
    return outer.guarded(lambda: import_module(f"clicklake.cli.{module}").main(arguments))


def leave(code: int) -> NoReturn:
    """End the process at once.

    To take itself apart costs Python half a second after a large run, for memory that goes anyway.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def entry() -> NoReturn:
    """What the installed `clicklake` starts."""
    code = main(sys.argv[1:])
    if sys.argv[1:2] == ["etl"]:
        leave(code)
    sys.exit(code)


def _help() -> str:
    commands = "\n".join(f"  {name:<10}{summary}" for name, (_, summary) in COMMANDS.items())
    return (
        "usage: clicklake COMMAND …\n\n"
        "Raw web logs in, a lake that people can query out.\n\n"
        f"commands:\n{commands}\n\n"
        "  clicklake COMMAND --help has the flags; clicklake --version the version.\n\n"
        f"{outer.EXIT_CODES}"
    )
