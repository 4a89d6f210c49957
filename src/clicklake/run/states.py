"""Earlier states of a lake: which there are, going back to one, and removing them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from clicklake.config import Config
from clicklake.errors import DamagedError
from clicklake.lake import Change, Lake, Manifest, open_snapshot, places, retention
from clicklake.lake.commits import read_document, read_ledger
from clicklake.lake.metrics import COMMITTED, RunMetrics, table_facts
from clicklake.lake.places import DATA, RECOMMENDER
from clicklake.progress import Reporter
from clicklake.run.execution import new_run_id
from clicklake.run.opening import held, refuse_if_none
from clicklake.run.publication import publish_newest
from clicklake.schemas import SOURCES


@dataclass(frozen=True)
class State:
    """A state that can be read. `until`: when another took its place; None for the present one."""

    run_id: str
    seq: int
    committed_at: datetime
    until: datetime | None
    rows: dict[str, int]


def history(config: Config) -> list[State]:
    """The present state of the lake and the earlier ones that are kept, newest first."""
    found = open_snapshot(config.datalake.output_data)
    storage, present = found.storage, found.manifest
    states = [_state(present, None)]
    for past in reversed(present.history):
        states += [_state(m, past.until) for m in retention.readable(storage, [past])]
    return states


def _state(manifest: Manifest, until: datetime | None) -> State:
    rows = {name: sum(f.rows for f in manifest.files(name)) for name in SOURCES}
    return State(manifest.run_id, manifest.seq, manifest.committed_at, until, rows)


def rollback(config: Config, run_id: str, reporter: Reporter) -> RunMetrics:
    """Make an earlier state the lake's present one, by a new commit.

    What was read is as it was then, so that the next run reads anew what has come in since. Who
    was forgotten stays so. Raises InputError if the state is not kept any more.
    """
    began = time.monotonic()
    with held(config, reporter) as lake:
        refuse_if_none(lake)
        with reporter.stage("go back"):
            past = retention.find(lake.manifest, run_id)
            then = retention.read_state(lake.storage, past)
            _refuse_if_incomplete(lake, then)
            change, metrics = _change(lake, then)
            lake.commit(change)
        metrics = replace(metrics, seconds=round(time.monotonic() - began, 3))
        return publish_newest(config, lake.storage, metrics, reporter, began)


def _refuse_if_incomplete(lake: Lake, then: Manifest) -> None:
    there = {info.path: info.size for info in lake.storage.list(DATA)}
    for file in then.all_files:
        if there.get(places.data(file.path)) != file.bytes:
            place = lake.storage.uri(places.data(file.path))
            raise DamagedError(f"{place}: is not there as it was; run {then.run_id} is lost.")


def _change(lake: Lake, then: Manifest) -> tuple[Change, RunMetrics]:
    now = datetime.now(UTC)
    run_id = new_run_id(now)
    present = {file.path for file in lake.manifest.all_files}
    wanted = {file.path for file in then.all_files}
    months: dict[str, set[str]] = {}
    for file in (*lake.manifest.all_files, *then.all_files):
        if file.month and file.path in present ^ wanted:
            months.setdefault(file.table, set()).add(f"{file.month[0]:04d}-{file.month[1]:02d}")
    metrics = RunMetrics(
        run_id=run_id,
        status=COMMITTED,
        engine="none",
        seconds=0.0,
        seq=lake.head + 1,
        started_at=now.isoformat(timespec="seconds"),
        as_of=now.date().isoformat(),
        tables=table_facts(then),
        months={table: sorted(each) for table, each in months.items()},
        settings=dict(then.settings),
        rolled_back_to=then.seq,
    )
    choice = read_document(lake.storage, then, RECOMMENDER)
    change = Change(
        replace(then, run_id=run_id),
        read_ledger(lake.storage, then),
        adds=[],
        removes=sorted(present - wanted),
        metrics=metrics.to_json(),
        documents={RECOMMENDER: choice} if choice else {},
        restores=sorted(wanted - present),
    )
    return change, metrics


@dataclass(frozen=True)
class Swept:
    """What a vacuum removes, or would."""

    states: Sequence[str]  # runs
    files: int
    bytes: int


def vacuum(config: Config, reporter: Reporter, *, everything: bool, dry_run: bool) -> Swept:
    """Remove earlier states that are kept no longer, and files that no state needs.

    `everything`: all earlier states go. The rows of the lake stay as they are.
    """
    with held(config, reporter) as lake:
        refuse_if_none(lake)
        now = datetime.now(UTC)
        rule = retention.NOTHING if everything else lake.retention
        history = lake.manifest.history
        kept = rule.kept(history, now)
        states = [lake.manifest, *retention.readable(lake.storage, kept)]
        paths = retention.outdated(lake.storage, states, lake.manifest.seq)
        sizes = {info.path: info.size for info in lake.storage.list(DATA)}
        if not dry_run:
            lake.storage.delete(paths)
        gone = [past.run_id for past in history if past not in kept]
        return Swept(gone, len(paths), sum(sizes.get(path, 0) for path in paths))
