"""A run that has something to do, from its plan to the commit."""

from __future__ import annotations

import secrets
import tempfile
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from clicklake import buckets
from clicklake.config import Config
from clicklake.engines import Engine
from clicklake.engines.words import is_disk_full
from clicklake.errors import ClicklakeError
from clicklake.lake import Change, Lake, Month, privacy
from clicklake.lake.metrics import Books, RunMetrics
from clicklake.lake.tables import Tables
from clicklake.logs.files import text_bytes
from clicklake.logs.inputs import SourcePlan
from clicklake.logs.source import LogSource
from clicklake.parse.sources import configured
from clicklake.progress import WORK, Reporter
from clicklake.run import bad_files, steps, summary, trust
from clicklake.run.causes import Looking
from clicklake.run.context import Context
from clicklake.run.draft import Draft
from clicklake.run.landing import Landed, Reading
from clicklake.run.options import Options
from clicklake.run.plan import RunPlan
from clicklake.schemas import CLICKSTREAM, QUARANTINE, TABLES
from clicklake.shown import listed
from clicklake.storage import LocalStorage


class Execution:
    """One run. `began`: by the monotonic clock."""

    def __init__(
        self,
        config: Config,
        options: Options,
        lake: Lake,
        plan: RunPlan,
        engine: Engine,
        reporter: Reporter,
        began: float,
    ) -> None:
        now = datetime.now(UTC)
        self.options = options
        self.began = began
        self.started_at = now
        self.as_of = options.as_of or _today(now, lake)
        self.looking = Looking(self.as_of, config.sources.csv_multiline, configured(config))
        run_id = new_run_id(now)
        engine.session.dataSource.register(LogSource)
        target = config.job.target_file_mb << 20
        tables = Tables(engine.session, lake.storage, run_id, target)
        self.context = Context(
            config=config,
            lake=lake,
            plan=plan,
            engine=engine,
            reporter=reporter,
            tables=tables,
            draft=Draft(lake, tables, plan),
            run_id=run_id,
            partitioning=_partitioning(lake, plan, engine),
            bad_before=bad_files.known(lake),
        )

    def run(self) -> RunMetrics:
        """Everything up to the commit. Raises a ClicklakeError, the lake being as it was."""
        lake, run_id = self.context.lake, self.context.run_id
        try:
            books = self._stage()
        except BaseException as error:
            lake.discard(run_id)
            # What failed may have done so because the other run swept this one's staged files.
            lake.refuse_if_overtaken()
            if is_disk_full(error):
                raise ClicklakeError(_disk_is_full(lake)) from error
            raise
        if (self.options.replay and not self._has_news()) or self._has_only_bad_files():
            lake.discard(run_id)
            done = summary.nothing_new(self.options, lake, self.context.plan, self.began)
            return replace(done, bad_files=summary.bad_files_of(self.context))
        return self._commit(books)

    def _stage(self) -> dict[str, Books]:
        context = self.context
        for planned in context.plan.sources:
            if planned.read or planned.rebuild:
                context.landed[planned.source] = self._land(planned)
        limit = context.config.job.max_bad_ratio
        trust.refuse_what_cannot_be_trusted(context.landed.values(), limit, context.causes)
        self._note()
        steps.compute(context)
        return {
            source: trust.books(landed, context.draft.gained(source))
            for source, landed in context.landed.items()
        }

    def _land(self, planned: SourcePlan) -> Landed:
        context = self.context
        with context.reporter.stage(f"read {planned.source}") as stage:
            WORK.expect(sum(info.size for info in planned.read), "bytes")
            how = self._options_of_readers(planned.source)
            reading = Reading(planned, context.tables, context.engine, how, context.partitioning)
            landed = reading.landed()
            context.causes |= self.looking.causes(landed)
            landed = self._without_bad_files(reading, landed)
            stage.rows = landed.total("read")
        self._warn_of_unknown_columns(landed)
        return landed

    def _without_bad_files(self, reading: Reading, landed: Landed) -> Landed:
        """What was read, if need be once more without the files that are set aside."""
        context = self.context
        settings, before = context.config.sources, context.bad_before
        bad = bad_files.bad_files_in(landed, context.run_id, before, context.causes)
        is_refused = settings.on_bad_file == "refuse" or not bad_files.may_be_set_aside(
            bad, landed.planned, before, settings.max_bad_files
        )
        if not bad or is_refused:
            return landed
        context.bad += bad
        for each in bad:
            context.reporter.warn(
                f"{each.source}: {each.file} is set aside and tried again next time: {each.reason}"
            )
        planned = bad_files.without(landed.planned, bad)
        return replace(reading, planned=planned, folder="landing-without-bad-files").landed()

    def _note(self) -> None:
        """Say what is worth a look, now that the run goes on."""
        context = self.context
        for landed in context.landed.values():
            context.notes += self.looking.notes(landed, context.causes)
        for note in context.notes:
            context.reporter.warn(note)

    def _options_of_readers(self, source: str) -> dict[str, Any]:
        config = self.context.config
        return {
            "as_of": self.as_of,
            "shape": getattr(config, source),
            "multiline": config.sources.csv_multiline,
            "forgotten": privacy.load(self.context.lake),
        }

    def _warn_of_unknown_columns(self, landed: Landed) -> None:
        names = {name for split in landed.summaries for name in split.unknown_columns}
        if names:
            shown = listed(names, max(split.unknown_count for split in landed.summaries))
            source = landed.planned.source
            self.context.reporter.warn(f"{source}: unknown columns are ignored: {shown}")

    def _has_news(self) -> bool:
        """Whether a row came in, or is refused for another reason than before."""
        draft, landed = self.context.draft, self.context.landed.values()
        tables = (table for table in TABLES.values() if table is not QUARANTINE)
        return any(map(draft.changes, tables)) or any(
            each.reasons_by_file != each.planned.refused for each in landed
        )

    def _has_only_bad_files(self) -> bool:
        """Whether there was nothing to read but files that are as bad as they were."""
        context = self.context
        before = dict(context.bad_before)
        is_same = len(context.bad) == len(before) and all(
            each.is_as(before.get((each.source, each.file))) for each in context.bad
        )
        others = any(each.planned.read or each.planned.rebuild for each in context.landed.values())
        is_due = context.plan.outdated or context.plan.resettled
        return bool(context.bad) and is_same and not others and not is_due

    def _commit(self, books: dict[str, Books]) -> RunMetrics:
        context = self.context
        draft = context.draft
        with context.reporter.stage("commit"):
            manifest = draft.state(context.run_id)
            metrics = summary.of_commit(
                context,
                manifest,
                books,
                started_at=self.started_at,
                as_of=self.as_of,
                seconds=time.monotonic() - self.began,
            )
            context.lake.commit(
                Change(
                    manifest,
                    draft.ledger(context.landed, context.run_id),
                    draft.adds,
                    draft.removes,
                    metrics.to_json(),
                    context.documents,
                )
            )
        return metrics


def _disk_is_full(lake: Lake) -> str:
    folders = [tempfile.gettempdir()]
    folders += [lake.storage.root] if isinstance(lake.storage, LocalStorage) else []
    return (
        f"No space left on the disk of {' or '.join(reversed(folders))}: the lake is as it was. "
        "Free some (etl.py vacuum --all removes the lake's earlier states; TMPDIR names another "
        "folder for what the engine spills), then run again."
    )


def new_run_id(now: datetime) -> str:
    return f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def _partitioning(lake: Lake, plan: RunPlan, engine: Engine) -> buckets.Partitioning:
    """How the clickstream is shared out: by the new logs, and what is in the lake with them."""
    planned = plan.source_plan(CLICKSTREAM.name)
    months: dict[Month | None, int] = {}
    if not plan.is_rebuilt(CLICKSTREAM.name):
        for file in lake.manifest.files(CLICKSTREAM.name):
            months[file.month] = months.get(file.month, 0) + file.rows
    everything = plan.is_outdated(CLICKSTREAM)
    beside = sum(months.values()) if everything else max(months.values(), default=0)
    text = sum(text_bytes(info.path, info.size) for info in (planned.read if planned else ()))
    return buckets.partitioning(text, beside, engine)


def _today(now: datetime, lake: Lake) -> date:
    """The run's date. On a date that is too early, good rows would be refused as too new."""
    last = lake.manifest.run_id[:8]
    if last and now.date() + timedelta(days=1) < datetime.strptime(last, "%Y%m%d").date():
        raise ClicklakeError(
            f"The clock of this machine says {now:%Y-%m-%d}, but the lake's last run was on "
            f"{last[:4]}-{last[4:6]}-{last[6:]}. Nothing was published. "
            "Set the clock, or give the date by --as-of."
        )
    return now.date()
