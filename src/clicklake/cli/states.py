"""`etl.py history`, `rollback` and `vacuum`: earlier states of the lake."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from clicklake.config import Config
from clicklake.progress import Reporter

if TYPE_CHECKING:
    from clicklake.run.states import State

Load = Callable[[argparse.Namespace, Reporter], Config]


def add_verbs(verbs: Any, add_common: Callable[..., None], load: Load) -> None:
    """Add the three verbs to `etl.py`'s."""
    history = verbs.add_parser("history", help="list the states of the lake that can be read")
    rollback = verbs.add_parser("rollback", help="make an earlier state the present one again")
    vacuum = verbs.add_parser("vacuum", help="remove earlier states that are kept no longer")
    for verb in (history, rollback, vacuum):
        add_common(verb, default=argparse.SUPPRESS)
    rollback.add_argument("run_id", metavar="RUN_ID", help="as history names it")
    vacuum.add_argument("--all", action="store_true", help="remove all but the present state")
    vacuum.add_argument("--dry-run", action="store_true", help="only show what would go")
    history.set_defaults(action=partial(_history, load))
    rollback.set_defaults(action=partial(_rollback, load))
    vacuum.set_defaults(action=partial(_vacuum, load))


def _history(load: Load, given: argparse.Namespace, reporter: Reporter) -> int:
    from clicklake.run import states

    found = states.history(load(given, reporter))
    if given.json:
        print(json.dumps([asdict(state) for state in found], default=str))
        return 0
    for state in found:
        reporter.say(_line(state))
    return 0


def _line(state: State) -> str:
    now = "present" if state.until is None else f"until {state.until:%Y-%m-%d %H:%M:%S}"
    rows = ", ".join(f"{name} {rows:,}" for name, rows in state.rows.items())
    return f"{state.run_id}  {state.committed_at:%Y-%m-%d %H:%M:%S} {now}\n    {rows}"


def _rollback(load: Load, given: argparse.Namespace, reporter: Reporter) -> int:
    from clicklake.run import states

    metrics = states.rollback(load(given, reporter), given.run_id, reporter)
    reporter.say(
        f"the lake is as run {given.run_id} left it; this is run {metrics.run_id}. "
        "The next run reads what has come in since."
    )
    if given.json:
        print(json.dumps(metrics.to_json(), ensure_ascii=False, default=str))
    return 0


def _vacuum(load: Load, given: argparse.Namespace, reporter: Reporter) -> int:
    from clicklake.run import states

    loaded = load(given, reporter)
    swept = states.vacuum(loaded, reporter, everything=given.all, dry_run=given.dry_run)
    would = "would go" if given.dry_run else "gone"
    reporter.say(
        f"{len(swept.states)} earlier states, {swept.files:,} files, "
        f"{swept.bytes / 1e6:,.1f} MB of table files: {would}"
    )
    if given.json:
        print(json.dumps(asdict(swept)))
    return 0
