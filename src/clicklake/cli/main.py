"""`etl.py`'s arguments, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clicklake import __version__, config, progress
from clicklake.cli import outer, states
from clicklake.errors import ConfigError
from clicklake.schemas import SOURCES

if TYPE_CHECKING:
    from clicklake.lake.metrics import RunMetrics

FILES_SET_ASIDE = 6


def main(arguments: Sequence[str]) -> int:
    """Run `etl.py` and return its exit code."""
    known = parser()
    outer.refuse_misspelt(known, arguments)
    given = known.parse_args(arguments)
    reporter = progress.Reporter()

    def tell(failure: outer.Failure) -> None:
        style = None if failure.exit_code == outer.INTERRUPTED else "red"
        reporter.console.print(failure.text, style=style, markup=False, soft_wrap=True)

    state = "The lake is as the last complete run left it."
    return outer.guarded(
        lambda: int(given.action(given, reporter)),
        tell,
        interrupted="interrupted; the lake is as the last complete run left it",
        state=state,
    )


def parser() -> argparse.ArgumentParser:
    """The arguments of `etl.py`."""
    parser = argparse.ArgumentParser(
        prog=outer.program("etl"),
        description="Bring the lake up to date with its raw logs.",
        epilog=outer.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"clicklake {__version__}")
    _add_common(parser)
    parser.add_argument("--engine", choices=("auto", "sail", "spark"), default="auto")
    parser.add_argument("--as-of", type=_date, metavar="DATE", help="the run's date (UTC)")
    parser.add_argument("--rebuild", action="store_true", help="from all input files anew")
    parser.add_argument(
        "--forget-missing", action="store_true", help="rebuild though input files are gone"
    )
    parser.set_defaults(action=_run)
    verbs = parser.add_subparsers(title="other things to do", metavar="")
    verify = verbs.add_parser("verify", help="re-read the lake and prove it")
    _add_common(verify, default=argparse.SUPPRESS)
    verify.set_defaults(action=_verify)
    check = verbs.add_parser(
        "check",
        help="say what a run would do, from samples; writes nothing",
        epilog=outer.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_common(check, default=argparse.SUPPRESS)
    check.add_argument("--as-of", type=_date, metavar="DATE", default=argparse.SUPPRESS)
    check.add_argument(
        "--write", action="store_true", help="add the mapping that it proposes to dl.cfg"
    )
    check.set_defaults(action=_check)
    again = verbs.add_parser("replay", help="bring in repaired rows, or parse refused ones again")
    _add_common(again, default=argparse.SUPPRESS)
    again.add_argument(
        "source", nargs="?", choices=SOURCES, help="whose format the files have; none: every source"
    )
    again.add_argument(
        "files", nargs="*", metavar="FILE", help="repaired rows; none: parse refused rows again"
    )
    again.set_defaults(action=_replay)
    forget = verbs.add_parser("forget-user", help="take a person out of the lake for good")
    _add_common(forget, default=argparse.SUPPRESS)
    forget.add_argument("name", metavar="WHO", help="a user id, an e-mail address or a visitor id")
    forget.add_argument("--kind", choices=("user", "email", "visitor"), help="what WHO is")
    forget.add_argument("--dry-run", action="store_true", help="only show what would go")
    forget.add_argument("--yes", action="store_true", help="do not ask")
    forget.add_argument(
        "--undo", action="store_true", help="take an order back; rows return by --rebuild"
    )
    forget.set_defaults(action=_forget)
    states.add_verbs(verbs, _add_common, _load)
    return parser


def _add_common(parser: argparse.ArgumentParser, default: Any = None) -> None:
    parser.add_argument("--config", metavar="FILE", default=default, help="a dl.cfg")
    parser.add_argument("--input", metavar="PLACE", default=default, help="beats INPUT_DATA")
    parser.add_argument("--output", metavar="PLACE", default=default, help="beats OUTPUT_DATA")
    parser.add_argument(
        "--json",
        action="store_true",
        default=default or False,
        help="one JSON object as the last line of standard output",
    )


def _date(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date; write YYYY-MM-DD") from None
    if not 1970 <= day.year <= 9000:
        raise argparse.ArgumentTypeError(f"{text}: the year is to be from 1970 to 9000")
    return day


def _load(given: argparse.Namespace, reporter: progress.Reporter) -> config.Config:
    overrides = {"DATALAKE.INPUT_DATA": given.input, "DATALAKE.OUTPUT_DATA": given.output}
    loaded = config.load(given.config, {k: v for k, v in overrides.items() if v is not None})
    for warning in loaded.warnings:
        reporter.warn(warning)
    return loaded


def _quieten() -> None:
    for name in ("pyspark", "py4j", "boto3", "botocore"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _run(given: argparse.Namespace, reporter: progress.Reporter) -> int:
    loaded = _load(given, reporter)
    from clicklake.run import job

    _quieten()
    options = job.Options(
        engine=given.engine,
        as_of=given.as_of,
        rebuild=given.rebuild,
        forget_missing=given.forget_missing,
    )
    metrics = job.run(loaded, options, reporter)
    _finish(loaded, metrics, reporter)
    if given.json:
        print(json.dumps(metrics.to_json(), ensure_ascii=False, default=str))
    return FILES_SET_ASIDE if metrics.bad_files else 0


def _finish(loaded: config.Config, metrics: RunMetrics, reporter: progress.Reporter) -> None:
    place = loaded.datalake.output_data
    if not metrics.is_committed:
        news = "nothing new but lines that are pending" if metrics.pending else "nothing new"
        state = f"the lake is as run {metrics.run_id} left it"
        reporter.say(f"{news}; {state if metrics.run_id else 'there are no logs yet, and no lake'}")
        return
    from clicklake.cli import summary

    hint = f"ask it: {outer.command('query')} 'from user_page_views limit 5'"
    summary.show(reporter.console, metrics, place, hint)


def _verify(given: argparse.Namespace, reporter: progress.Reporter) -> int:
    loaded = _load(given, reporter)
    from clicklake.ask import verify

    _quieten()
    return verify.main(loaded, reporter, as_json=given.json)


def _check(given: argparse.Namespace, reporter: progress.Reporter) -> int:
    loaded = _load(given, reporter)
    from clicklake.cli import check as told
    from clicklake.run import check

    _quieten()
    found = check.run(loaded, given.as_of, reporter)
    told.show(reporter.console, found)
    if given.write:
        reporter.say(told.write(found, loaded.path or Path("dl.cfg")))
    if given.json:
        print(json.dumps(found.to_json(), ensure_ascii=False, default=str))
    return found.exit_code


def _replay(given: argparse.Namespace, reporter: progress.Reporter) -> int:
    loaded = _load(given, reporter)
    from clicklake.run import job, replay

    _quieten()
    options = job.Options(engine=given.engine, as_of=given.as_of)
    metrics = replay.run(loaded, options, given.source, given.files, reporter)
    _finish(loaded, metrics, reporter)
    if given.json:
        print(json.dumps(metrics.to_json(), ensure_ascii=False, default=str))
    return FILES_SET_ASIDE if metrics.bad_files else 0


def _forget(given: argparse.Namespace, reporter: progress.Reporter) -> int:
    loaded = _load(given, reporter)
    from clicklake.forget import forget

    _quieten()

    def confirm(removal: forget.Removal) -> bool:
        reporter.say(forget.told(removal))
        if given.dry_run or given.yes:
            return bool(given.yes and not given.dry_run)
        if not sys.stdin.isatty():
            raise ConfigError("Nobody can be asked here: add --yes to go on, or --dry-run.")
        return input("Forget this person? Type yes: ").strip() == "yes"

    if given.undo:
        metrics = forget.undo(loaded, given.name, given.kind, reporter)
        reporter.say("The order is taken back. etl.py --rebuild reads their rows again.")
    else:
        metrics = forget.run(loaded, given.name, given.kind, reporter, confirm)
        done = forget.DONE if metrics.forgotten else forget.NOBODY
        reporter.say(done if metrics.is_committed else "nothing was changed")
    if given.json:
        print(json.dumps(metrics.to_json(), ensure_ascii=False, default=str))
    return 0
