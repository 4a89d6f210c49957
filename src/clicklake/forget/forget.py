"""`etl.py forget-user`: take a person out of the lake, and keep them out of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from clicklake.config import Config
from clicklake.errors import AccessError, ConfigError, InputError
from clicklake.forget import rewriting
from clicklake.forget.find import find, kind_of
from clicklake.lake import Change, privacy
from clicklake.lake.draft import StateDraft
from clicklake.lake.metrics import (
    COMMITTED,
    NOTHING_NEW,
    RunMetrics,
    StageTime,
    table_facts,
)
from clicklake.lake.places import FORGOTTEN
from clicklake.lake.privacy import Forgotten, Person
from clicklake.progress import Reporter
from clicklake.run.execution import new_run_id
from clicklake.run.opening import held, refuse_if_none
from clicklake.run.publication import publish_newest
from clicklake.storage import Storage
from clicklake.streaming import forgetting

NOBODY = (
    "Nobody was found: no row of the lake is about them. Later runs will leave them out. If the "
    "name is wrong, take it back: etl.py forget-user --undo WHO"
)
DONE = (
    "The person is out of the lake, its databases and CSV files, and is left out from now on. "
    "The raw input was not altered: delete their lines there as well."
)


@dataclass(frozen=True)
class Removal:
    """What forgetting a person does to the lake. `rows`: how many go, by table.

    `shared`: addresses of theirs that other users have, too.
    """

    person: Person
    shared: int
    rows: dict[str, int]


def run(
    config: Config,
    name: str,
    kind: str | None,
    reporter: Reporter,
    confirm: Callable[[Removal], bool],
) -> RunMetrics:
    """Forget whom `name` names: a user id, an e-mail address or a visitor id (see `kind_of`).

    `confirm` is shown what would go, and nothing happens unless it agrees. The tables are written
    anew without the person's rows, in one commit, and all earlier states go; databases and CSV
    files follow; later runs and rebuilds leave the person out. The raw input is not altered.
    Returns the run's metrics, with `forgotten`: rows by table.
    """
    name = name.strip()
    if not name:
        raise ConfigError("WHO is empty: give a user id, an e-mail address or a visitor id.")
    began = time.monotonic()
    with held(config, reporter) as lake:
        refuse_if_none(lake)
        storage = lake.storage
        now = datetime.now(UTC)
        known = privacy.load(lake)
        with reporter.stage("find the person"):
            person, shared = find(lake, name, kind or kind_of(name))
            forgotten = known.with_person(person)
        run_id, draft = new_run_id(now), StateDraft(lake)
        with reporter.stage("write tables without them"):
            rows = rewriting.stage(draft, forgotten, run_id)
        metrics = _metrics(draft, rows, run_id, now)
        agreed = confirm(Removal(person, shared, rows))
        if agreed:
            forgetting.note(config, person.visitors)
        if agreed and (rows or forgotten != known):
            rewriting.mask_reports(storage, person)
            metrics = _committed(draft, forgotten, metrics, reporter, began)
        else:
            lake.discard(run_id)
            metrics = replace(metrics, status=NOTHING_NEW, run_id=lake.manifest.run_id)
        if agreed:  # also if nothing was done: a run that was killed may have left databases behind
            metrics = publish_newest(config, storage, metrics, reporter, began)
            for left in _beside(config, storage, person, forgotten):
                reporter.warn(left)
        return replace(metrics, seconds=round(time.monotonic() - began, 3))


def _beside(config: Config, storage: Storage, person: Person, forgotten: Forgotten) -> list[str]:
    """Take a person out of what lies beside the lake; what is left to do, in words."""
    left = forgetting.take_back(config, person.visitors, partial(forgotten.in_raw, "clickstream"))
    try:
        storage.delete_old_versions()
    except AccessError as error:
        left.append(f"Old versions of the lake's objects, if its bucket keeps such, stay: {error}")
    return left


def undo(config: Config, name: str, kind: str | None, reporter: Reporter) -> RunMetrics:
    """Take an order to forget `name` back, and that name alone: later runs let it in again.

    Rows that are gone come back by a rebuild from the raw logs. Raises InputError if there is no
    such order.
    """
    name = name.strip()
    began = time.monotonic()
    with held(config, reporter) as lake:
        known = privacy.load(lake)
        forgotten = known.without_name(kind or kind_of(name), name)
        if forgotten == known:
            raise InputError(f"{lake.storage.root}: nobody of that name was forgotten.")
        now = datetime.now(UTC)
        draft = StateDraft(lake)
        metrics = _metrics(draft, {}, new_run_id(now), now)
        return _committed(draft, forgotten, metrics, reporter, began)


def _committed(
    draft: StateDraft, forgotten: Forgotten, metrics: RunMetrics, reporter: Reporter, began: float
) -> RunMetrics:
    """Make it the lake; the metrics of the run."""
    lake, run_id = draft.lake, metrics.run_id
    manifest = draft.manifest(run_id, lake.manifest.settings, lake.manifest.definitions)
    metrics = replace(
        metrics,
        tables=table_facts(manifest),
        seq=manifest.seq,
        seconds=round(time.monotonic() - began, 3),
        stages=tuple(StageTime(stage.name, stage.seconds, stage.rows) for stage in reporter.stages),
    )
    replayed = rewriting.replayed(lake, forgotten)
    ledger = rewriting.ledger(lake.ledger, replayed, run_id)
    documents = {FORGOTTEN: forgotten.to_json()}
    lake.commit(
        Change(
            manifest,
            ledger,
            draft.adds,
            draft.removes,
            metrics.to_json(),
            documents,
            replayed,
            purges=True,
        )
    )
    return metrics


def _metrics(draft: StateDraft, rows: dict[str, int], run_id: str, now: datetime) -> RunMetrics:
    return RunMetrics(
        run_id=run_id,
        status=COMMITTED,
        engine="duckdb",
        seconds=0.0,
        started_at=now.isoformat(timespec="seconds"),
        as_of=now.date().isoformat(),
        months=draft.months,
        settings=dict(draft.lake.manifest.settings),
        forgotten=dict(rows),
    )


def told(removal: Removal) -> str:
    """What goes, in words, without naming anybody."""
    person = removal.person
    lines = [
        f"the person: {len(person.users)} user ids, {len(person.emails)} e-mail addresses, "
        f"{len(person.visitors)} visitor ids",
        *(f"  {table}: {rows:,} rows go" for table, rows in removal.rows.items()),
    ]
    if not removal.rows:
        lines.append("  no row of the lake is about them; later runs will leave them out")
    if removal.shared:
        lines.append(f"  {removal.shared} of their addresses stay, as other users have them, too")
    return "\n".join(lines)
