"""`query.py`'s arguments: what to ask, and in which shape the answer comes."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from clicklake import config as configuration
from clicklake import engines
from clicklake.ask import formats, table
from clicklake.ask.query import TABLES, Target, ask, columns_of
from clicklake.cli import outer
from clicklake.errors import ConfigError
from clicklake.storage import open_storage
from clicklake.storage.durable import replace_durably

ENDINGS = {"md": "markdown"}


def main(arguments: Sequence[str]) -> int:
    """Run `query.py` and return its exit code."""
    known = _parser()
    outer.refuse_misspelt(known, arguments)
    given = known.parse_args(arguments)

    def work() -> int:
        try:
            _run(given)
        except BrokenPipeError:  # as in `query.py … | head`
            sys.stderr.close()
        return 0

    return outer.guarded(work)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=outer.program("query"),
        description="Ask the lake in SQL (DuckDB's). Without a query, on a terminal: a shell.",
        epilog=outer.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sql", nargs="?", help='a query; "-" reads it from standard input')
    parser.add_argument("--tables", action="store_true", help="list the tables and their columns")
    parser.add_argument("--describe", metavar="TABLE", help="a table's columns and their meaning")
    parser.add_argument("--format", choices=("table", *formats.FORMATS), help="default: table")
    parser.add_argument("--to", metavar="FILE", type=Path, help="write a file instead of printing")
    parser.add_argument(
        "--limit", type=int, default=100, metavar="N", help="rows that a table shows (0: all)"
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--wide", action="store_true", help="all columns, however many they are")
    shape.add_argument("--vertical", action="store_true", help="a table with one value a line")
    moment = parser.add_mutually_exclusive_group()
    moment.add_argument("--run", metavar="RUN_ID", help="the lake as that run left it")
    moment.add_argument(
        "--as-of",
        type=_moment,
        metavar="TIME",
        help="the lake as of then (UTC; a day: its end)",
    )
    parser.add_argument("--config", metavar="FILE", help="a dl.cfg")
    parser.add_argument("--output", metavar="PLACE", help="the lake; beats OUTPUT_DATA")
    parser.add_argument("--lake", dest="output", help=argparse.SUPPRESS)  # its former name
    return parser


def _run(given: argparse.Namespace) -> None:
    question, format_ = _question(given), _format(given)
    overrides = {"DATALAKE.OUTPUT_DATA": given.output} if given.output else {}
    loaded = configuration.load(given.config, overrides)
    engines.use_keys(loaded.aws)
    storage = open_storage(loaded.datalake.output_data)
    target = Target(storage, loaded, given.run, given.as_of)
    if question is None:
        from clicklake.ask import shell

        shell.run(target, given.limit, wide=given.wide, vertical=given.vertical)
    elif format_ == "table":
        found, more = ask(target, question, lambda a: table.first(a, given.limit))
        table.show(found, more, wide=given.wide, vertical=given.vertical)
    else:
        _write(target, question, format_, given.to)


def _write(target: Target, question: str, format_: str, to: Path | None) -> None:
    """The answer in a file, which is there once it is complete, or on standard output."""
    if to and not to.absolute().parent.is_dir():
        raise ConfigError(f"--to {to}: there is no folder {to.absolute().parent}.")
    beside = to.absolute().parent if to else None
    try:
        with tempfile.TemporaryDirectory(prefix=".clicklake-", dir=beside) as folder:
            file = Path(folder) / "answer"
            ask(target, question, lambda a: formats.write(a, file, format_, target.config))
            if to:
                replace_durably(file, to)
                return
            with file.open("rb") as stream:
                shutil.copyfileobj(stream, sys.stdout.buffer)
            sys.stdout.flush()
    except (PermissionError, IsADirectoryError) as error:
        raise ConfigError(f"--to {to}: {error.strerror}.") from None


def _moment(text: str) -> datetime:
    """A time, or the end of a day; UTC unless it says otherwise."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time; write YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS"
        ) from None
    if len(text) == len("YYYY-MM-DD"):
        moment += timedelta(days=1)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _question(given: argparse.Namespace) -> str | None:
    """What is asked; None where a person is to be asked for it."""
    if given.tables:
        return TABLES
    if given.describe:
        return columns_of(given.describe)
    asks_for_rows = given.sql or given.to or given.format not in (None, "table")
    if not asks_for_rows and sys.stdin.isatty() and sys.stdout.isatty():
        return None
    question = sys.stdin.read() if given.sql == "-" else given.sql
    if not question or not question.strip():
        raise ConfigError(
            f'ask something: {outer.program("query")} "select …", or list the tables by --tables.'
        )
    return str(question)


def _format(given: argparse.Namespace) -> str:
    """As told, or as the file's ending says."""
    ending = given.to.suffix.removeprefix(".") if given.to else "table"
    format_ = given.format or ENDINGS.get(ending, ending)
    if given.to and format_ not in formats.FORMATS:
        raise ConfigError(
            f"--to {given.to}: add --format; a file is one of {', '.join(formats.FORMATS)}."
        )
    return str(format_)
