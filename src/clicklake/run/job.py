"""A run: list, parse, compute, audit, commit. The wiring of everything else."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from clicklake import buckets, engines, publish, report
from clicklake.buckets import ALL, Part
from clicklake.config import Config
from clicklake.errors import AccessError, ClicklakeError, InputError
from clicklake.lake import (
    OURS,
    Change,
    Lake,
    LedgerFile,
    LiveFile,
    Manifest,
    Month,
    Snapshot,
    lease,
    privacy,
    snapshot,
    sql,
)
from clicklake.lake.tables import Staged, Tables, joined
from clicklake.logs import inputs, sources
from clicklake.logs.inputs import REPLAYED, Work
from clicklake.logs.sources import LogSource, SplitSummary
from clicklake.parse import rows
from clicklake.progress import Reporter
from clicklake.publish.tables import committed_runs
from clicklake.rules import bots, distinct, page_views, users
from clicklake.rules.visits import Rules
from clicklake.run.clickstream import Months, New, Rewrite
from clicklake.schemas import (
    CLICKSTREAM,
    PAGE_RECOMMENDATIONS,
    PAGE_VIEWS,
    QUARANTINE,
    SESSIONS,
    TABLES,
    USER_PAGE_VIEWS,
    USER_UPDATES,
    USERS,
    Table,
)
from clicklake.storage import Storage, open_storage

Metrics = dict[str, Any]

MEMORY_MB = 1024  # for a question to the lake, beside the engine
RECOMMENDER = f"{OURS}/recommender.json"  # the choice of a model, for later runs

_FEW_NEW = 0.1  # new rows for each row of a table, up to which the others' results are kept
_BUCKET_BYTES = 64 << 20  # of text, whose rows are put into a bucket of users
_BUCKETS = 64  # of users, at most
_PACKED = 4  # bytes of text in a byte of the lake's tables, about


@dataclass(frozen=True)
class Options:
    """What a single run is told beside its configuration."""

    engine: str = "auto"
    as_of: date | None = None
    rebuild: bool = False
    forget_missing: bool = False
    replay: Collection[str] = ()  # sources whose refused rows are parsed again, and no others
    publish: bool = True  # report, SQL database and CSV after the commit


def run(
    config: Config,
    options: Options,
    reporter: Reporter,
    running: engines.Engine | None = None,
) -> Metrics:
    """Bring the lake up to date with its inputs; the run's metrics.

    `running`: an engine to use and to leave running; without one, one is started.
    Raises a ClicklakeError of the kind that fits; the lake is then as it was.
    """
    engines.use_keys(config.aws)
    began = time.monotonic()
    storage = open_storage(config.datalake.output_data)
    with lease.held(storage) as taken_over:
        lake = Lake(storage)
        finished = lake.open(fence=taken_over)
        if finished:
            reporter.say(f"finished run {finished}, which had been cut off while it was published")
        with reporter.stage("list inputs"):
            works = _works(config, options, lake)
        _tell(works, reporter)
        if _is_idle(works, options, lake, config):
            metrics = _nothing_new(options, lake, works, began)
        else:
            work_mb = _work_bytes(works, lake) >> 20
            starting = (
                nullcontext(running) if running else _started(config, options, reporter, work_mb)
            )
            with starting as started:
                metrics = Run(config, options, lake, works, started, reporter, began).run()
        if options.publish:
            metrics["published"] = publish_newest(config, storage, metrics, reporter)
        return metrics | {"seconds": round(time.monotonic() - began, 3)}


def publish_newest(
    config: Config, storage: Storage, metrics: Metrics, reporter: Reporter
) -> dict[str, Any]:
    """Report and publish the lake's newest run; what is up to date already is left alone."""
    if metrics["status"] == "committed":
        with reporter.stage("write report"):
            report.write(storage, metrics, reporter.warn)
    current = snapshot(storage)
    if not current.run_id:
        return {}
    with reporter.stage("publish"):
        published = publish.publish(current, config, committed_runs(storage))
    for outcome in published.values():
        for warning in outcome.get("warnings", []):
            reporter.warn(f"{outcome['to']}: {warning}")
    return published


def settings(config: Config) -> dict[str, Any]:
    """What the clickstream's labels and sessions depend on beside the input."""
    names = "\n".join(bots.names())
    return {
        "session_gap_minutes": config.job.session_gap_minutes,
        "bot_views_per_minute": config.job.bot_views_per_minute,
        "crawlers": hashlib.sha256(names.encode()).hexdigest()[:16],
    }


def _works(config: Config, options: Options, lake: Lake) -> list[Work]:
    found = inputs.folders(config, known=[source for source in lake.ledger if lake.ledger[source]])
    if options.replay:
        refused = _refused(lake)
        wanted = {source: refused.get(source, {}) for source in options.replay}
        return [inputs.again(f, lake.ledger, wanted.get(f.source, {})) for f in found]
    if not options.rebuild:
        return [inputs.compare(folder, lake.ledger) for folder in found]
    gone = {folder.source: inputs.missing(folder, lake.ledger) for folder in found}
    lost = [f"{source}/{path}" for source, paths in gone.items() for path in paths]
    if lost and not options.forget_missing:
        shown = ", ".join(lost[:5]) + (" …" if len(lost) > 5 else "")
        raise InputError(
            f"--rebuild would lose the rows of {len(lost)} files that are gone: {shown}. "
            "Bring them back, or add --forget-missing to give up their rows."
        )
    return [inputs.rebuild(folder) for folder in found]


def _refused(lake: Lake) -> dict[str, dict[str, dict[str, int]]]:
    """How many quarantined rows there are, by source, file and reason."""
    query = "select source, file, reason, count(*) from quarantine group by all"
    refused: dict[str, dict[str, dict[str, int]]] = {}
    with sql.connect(Snapshot(lake.storage, lake.manifest), MEMORY_MB) as connection:
        for source, file, reason, count in connection.execute(query).fetchall():
            refused.setdefault(source, {}).setdefault(file, {})[reason] = count
    return refused


def _tell(works: Sequence[Work], reporter: Reporter) -> None:
    for work in works:
        if work.vanished:
            reporter.say(
                f"{work.source}: {len(work.vanished)} files that were read are gone "
                f"({work.vanished[0]} …); their rows stay"
            )
        if work.changed:
            reporter.say(
                f"{work.source}: {', '.join(work.changed[:3])} changed after it was read; "
                "the source is rebuilt from all its files"
            )


def _is_idle(works: Sequence[Work], options: Options, lake: Lake, config: Config) -> bool:
    settled = not lake.manifest.files(CLICKSTREAM.name) or lake.manifest.settings == settings(
        config
    )
    return not options.rebuild and settled and not any(w.read or w.rebuild for w in works)


def _nothing_new(options: Options, lake: Lake, works: Sequence[Work], began: float) -> Metrics:
    nothing = dict.fromkeys(("read", "kept", "duplicate", "filtered", "quarantined"), 0)
    return {
        "run_id": lake.manifest.run_id,
        "status": "nothing_new",
        "engine": engines.choose(options.engine),
        "seconds": round(time.monotonic() - began, 3),
        "books": {work.source: dict(nothing) for work in works},
        "reasons": {work.source: {} for work in works},
        "tables": table_facts(lake.manifest),
        "months": {},
    }


def table_facts(manifest: Manifest) -> dict[str, dict[str, int]]:
    """Rows, bytes and files of each table, as a run's metrics have them."""
    return {
        name: {
            "rows": sum(file.rows for file in files),
            "bytes": sum(file.bytes for file in files),
            "files": len(files),
        }
        for name in TABLES
        if (files := manifest.files(name)) or name in manifest.tables
    }


def _work_bytes(works: Sequence[Work], lake: Lake) -> int:
    """About how many bytes of text the new files and the lake's tables hold."""
    new = [sources.text_bytes(info.path, info.size) for work in works for info in work.read]
    live = [file.bytes for name in TABLES for file in lake.manifest.files(name)]
    return sum(new) + _PACKED * sum(live)


@contextmanager
def _started(
    config: Config, options: Options, reporter: Reporter, work_mb: int
) -> Iterator[engines.Engine]:
    with reporter.stage("start engine"):
        name = engines.choose(options.engine)
        running = engines.start(
            name,
            memory_mb=config.job.memory_mb,
            work_mb=work_mb,
            uses_s3=inputs.is_remote(config),
        )
    try:
        yield running
    finally:
        running.stop()


@dataclass
class Parsed:
    """A source's parsed rows, in staging, and what was counted while they were parsed."""

    work: Work
    summaries: list[SplitSummary]
    landed: buckets.Buckets  # events by person, all else in `NONE`; see `Run._land`

    def paths_of(self, part: Part) -> list[str]:
        """The files with a part's rows, of as many parts as divide the number of buckets."""
        return [
            info.path
            for number, infos in self.landed.items()
            for info in infos
            if part == ALL or (number != buckets.NONE and number % part.of == part.number)
        ]

    @property
    def bytes(self) -> int:
        return sum(info.size for infos in self.landed.values() for info in infos)

    @property
    def months(self) -> set[Month]:
        return {(year, month) for split in self.summaries for year, month in split.months}

    def total(self, counter: str) -> int:
        return sum(getattr(split, counter) for split in self.summaries)

    @property
    def reasons(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for split in self.summaries:
            for reason, count in split.reasons.items():
                counts[reason] = counts.get(reason, 0) + count
        return dict(sorted(counts.items()))

    @property
    def reasons_by_file(self) -> dict[str, dict[str, int]]:
        """The quarantined rows of every file that has some, by reason."""
        counts: dict[str, dict[str, int]] = {}
        for split in self.summaries:
            for reason, count in split.reasons.items():
                reasons = counts.setdefault(split.file, {})
                reasons[reason] = reasons.get(reason, 0) + count
        return counts

    @property
    def refused_before(self) -> int:
        """How many of the rows were in the quarantine already."""
        return sum(sum(reasons.values()) for reasons in self.work.refused.values())

    @property
    def good(self) -> int:
        return self.total("read") - self.total("filtered") - self.total("quarantined")


@dataclass
class Run:
    """One run's state, from the parsed sources to the commit."""

    config: Config
    options: Options
    lake: Lake
    works: list[Work]
    engine: engines.Engine
    reporter: Reporter
    began: float
    parsed: dict[str, Parsed] = field(default_factory=dict)
    staged: dict[tuple[str, Part], Staged] = field(default_factory=dict)
    rewrites: dict[str, Rewrite] = field(default_factory=dict)
    documents: dict[str, bytes] = field(default_factory=dict)  # live path, content
    recommendation: Metrics = field(default_factory=dict)

    def __post_init__(self) -> None:
        now = datetime.now(UTC)
        self.run_id = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
        self.started_at = now
        self.as_of = self.options.as_of or _today(now, self.lake)
        self.engine.session.dataSource.register(LogSource)
        self.tables = Tables(
            self.engine.session,
            self.lake.storage,
            self.run_id,
            self.config.job.target_file_mb << 20,
        )

    def run(self) -> Metrics:
        try:
            books = self._stage()
        except BaseException:
            self.lake.discard(self.run_id)
            # What failed may have done so because the other run swept this one's staged files.
            self.lake.refuse_if_overtaken()
            raise
        if self.options.replay and not self._has_news():
            self.lake.discard(self.run_id)
            return _nothing_new(self.options, self.lake, self.works, self.began)
        return self._commit(books)

    def _stage(self) -> dict[str, dict[str, int]]:
        """Everything up to the commit; the books."""
        for work in self.works:
            if work.read or work.rebuild:
                self.parsed[work.source] = self._parse(work)
        self._refuse_what_cannot_be_trusted()
        self._clickstream()
        self._user_updates()
        self._page_views()
        self._recommendations()
        self._quarantine()
        return self._books()

    # Parsing

    def _parse(self, work: Work) -> Parsed:
        with self.reporter.stage(f"read {work.source}", sources.rows_read) as stage:
            sources.reset_rows_read()
            landed = self._land(work) if work.read else {}
            found = self._others(work.source, landed).where(F.col("_summary").isNotNull())
            summaries = [
                SplitSummary(**json.loads(row["_summary"]))
                for row in found.select("_summary").collect()
            ]
            parsed = Parsed(work, summaries, landed)
            stage.rows = parsed.total("read")
        self._warn_of_unknown_columns(parsed)
        return parsed

    def _land(self, work: Work) -> buckets.Buckets:
        """Write what is read, in buckets by person.

        Spark must bring the rows of a bucket together first, and does so for the clickstream
        alone; on one machine the readers put rows into their buckets themselves.
        """
        folder = f"landing/{work.source}"
        if not self._shares.exchange:
            into = f"{folder}-buckets"
            others = self.tables.write(self._read(work, into), folder)
            return {buckets.NONE: others, **buckets.found(self.tables, into)}
        if work.source == CLICKSTREAM.name:
            return buckets.write(self.tables, self._read(work), folder, self._shares)
        return {buckets.NONE: self.tables.write(self._read(work), folder)}

    def _read(self, work: Work, into: str | None = None) -> DataFrame:
        """What the readers yield of a source's files; `into`: as `sources.options` has it."""
        given = sources.options(
            work.source,
            work.folder.storage.root,
            work.read,
            as_of=self.as_of,
            multiline=self.config.sources.csv_multiline,
            tasks=self.engine.cores if self.engine.name == "sail" else 0,
            lake=self.lake.storage.root,
            into=(self.tables.folder(into), self._buckets(work)) if into else None,
            forgotten=privacy.load(self.lake.storage),
        )
        return self.engine.session.read.format(LogSource.name()).options(**given).load()

    def _buckets(self, work: Work) -> int:
        """How many buckets a source's rows are put into by their readers."""
        if work.source == CLICKSTREAM.name:
            return self._shares.buckets
        text = sum(sources.text_bytes(info.path, info.size) for info in work.read)
        return _power_of_two(min(text // _BUCKET_BYTES, _BUCKETS))

    @cached_property
    def _shares(self) -> buckets.Shares:
        """How the clickstream is shared out: by the new logs, and what is in the lake with them."""
        work = self._work(CLICKSTREAM.name)
        infos = work.read if work else ()
        months: dict[Month | None, int] = {}
        for file in self._known(CLICKSTREAM.name).files(CLICKSTREAM.name):
            months[file.month] = months.get(file.month, 0) + file.rows
        beside = sum(months.values()) if self._is_resettled else max(months.values(), default=0)
        return buckets.shares(
            sum(sources.text_bytes(info.path, info.size) for info in infos),
            beside,
            cores=self.engine.cores,
            exchange=self.engine.name == "spark",
        )

    @property
    def _is_resettled(self) -> bool:
        """Whether the settings are others than those that the clickstream was made by."""
        known = self._known(CLICKSTREAM.name)
        return bool(known.files(CLICKSTREAM.name)) and known.settings != settings(self.config)

    def _warn_of_unknown_columns(self, parsed: Parsed) -> None:
        names = {name for split in parsed.summaries for name in split.unknown_columns}
        if names:
            shown = ", ".join(sorted(name or "(no name)" for name in names))
            self.reporter.warn(f"{parsed.work.source}: unknown columns are ignored: {shown}")

    def _refuse_what_cannot_be_trusted(self) -> None:
        problems, denied = [], False
        for parsed in self.parsed.values():
            root = parsed.work.folder.storage.root
            for split in parsed.summaries:
                if split.refused:
                    problems.append(f"{root}/{split.file}: {split.refused}.")
                    denied = denied or split.denied
        if problems:
            kind = AccessError if denied else InputError
            advice = "Nothing was published. Mend or remove these files and run again."
            raise kind("\n".join([*sorted(set(problems)), advice]))
        for parsed in self.parsed.values():
            _check_every_byte_was_read(parsed)
            self._check_bad_ratio(parsed)

    def _check_bad_ratio(self, parsed: Parsed) -> None:
        bad, read = parsed.total("quarantined") - parsed.refused_before, parsed.total("read")
        limit = self.config.job.max_bad_ratio
        if not read or bad / read <= limit:
            return
        by_file = parsed.reasons_by_file.items()
        worst = sorted(by_file, key=lambda item: -sum(item[1].values()))
        lines = [
            f"  {path}: " + ", ".join(f"{reason} {count}" for reason, count in reasons.items())
            for path, reasons in worst[:10]
        ]
        more = [f"  … and {len(worst) - 10} more files"] if len(worst) > 10 else []
        raise InputError(
            "\n".join(
                [
                    f"{parsed.work.source}: {bad:,} of {read:,} rows ({bad / read:.1%}) are bad, "
                    f"more than [JOB] MAX_BAD_RATIO allows ({limit:.1%}). Nothing was published.",
                    *lines,
                    *more,
                    "Mend the files, or raise MAX_BAD_RATIO, and run again.",
                ]
            )
        )

    def _events(self, parsed: Parsed, part: Part = ALL) -> DataFrame:
        """The parsed rows of a source, quarantined ones and summaries left out."""
        schema = sources.landing_schema(parsed.work.source)
        landing = self.tables.read(schema, parsed.paths_of(part))
        is_event = F.col("_reason").isNull() & F.col("_summary").isNull()
        return landing.where(is_event).select(*rows.SOURCES[parsed.work.source].schema.names)

    def _others(self, source: str, landed: buckets.Buckets) -> DataFrame:
        """The files with what is no event: summaries and quarantined rows, and perhaps events."""
        paths = [info.path for info in landed.get(buckets.NONE, ())]
        return self.tables.read(sources.landing_schema(source), paths)

    # Tables

    def _known(self, source: str) -> Manifest:
        """The lake as a source's tables build upon it: nothing, if it is rebuilt."""
        work = self._work(source)
        return Manifest() if work and work.rebuild else self.lake.manifest

    def _work(self, source: str) -> Work | None:
        return next((work for work in self.works if work.source == source), None)

    def _removed(self, parsed: Parsed, table: Table, rewrite: Rewrite) -> Rewrite:
        """In a rebuild all of the table's files go."""
        if parsed.work.rebuild:
            return Rewrite(rewrite.staged, self.lake.manifest.files(table.name))
        return rewrite

    def _parts(self, table: Table) -> list[Part]:
        """A source's users in parts that are done one after the other, each in less memory.

        A month gets a file of each: they are no more than `Tables` lets stand.
        """
        parsed = self.parsed.get(table.name)
        if parsed is None or self._shares.exchange:
            return [ALL]
        files = 4 * max(1, self._month_bytes(parsed) // self.tables.target_bytes)
        count = min(_power_of_two(files), self._buckets(parsed.work))
        return [Part(number, count) for number in range(count)]

    def _month_bytes(self, parsed: Parsed) -> int:
        """About what a month of a source's table takes that has new rows."""
        table = TABLES[parsed.work.source]
        known = self._known(table.name).files(table.name, parsed.months)
        return (parsed.bytes + sum(file.bytes for file in known)) // max(1, len(parsed.months))

    def _stage_distinct(self, table: Table) -> None:
        """A table of distinct rows: the months that have new rows, computed anew."""
        parsed = self.parsed.get(table.name)
        if parsed is None:
            return
        with self.reporter.stage(f"write {table.name}") as stage:
            known = self._known(table.name).files(table.name, parsed.months)
            month_bytes = 0 if self._shares.exchange else self._month_bytes(parsed)
            parts = self._parts(table)
            for part in parts:
                events = self._events(parsed, part)
                if known:
                    events = events.unionByName(part.within(self.tables.live(table, known)))
                self.staged[table.name, part] = self.tables.stage(
                    distinct.distinct_rows(events, table),
                    table,
                    attempt=f"tables/{part.number}",
                    month_bytes=month_bytes // part.of,
                )
            staged = joined(table, [self.staged[table.name, part] for part in parts])
            rewrite = Rewrite(staged, known)
            rewrite = rewrite.of(rewrite.gaining)
            self.rewrites[table.name] = self._removed(parsed, table, rewrite)
            stage.rows = staged.rows

    def _user_updates(self) -> None:
        self._stage_distinct(USER_UPDATES)
        if not self._changes(USER_UPDATES):
            return
        with self.reporter.stage("write users") as stage:
            stage.rows = self._replace(USERS, self._latest_users())

    def _latest_users(self) -> Iterator[DataFrame]:
        known = self._known(USER_UPDATES.name).files(USERS.name)
        parsed = self.parsed[USER_UPDATES.name]
        if known and self._are_few(parsed, of=known):
            yield users.renewed(self.tables.live(USERS, known), self._events(parsed))
        else:
            for part in self._parts(USER_UPDATES):
                yield users.latest(self._after(USER_UPDATES, part))

    def _page_views(self) -> None:
        self._stage_distinct(PAGE_VIEWS)
        if not (self._changes(PAGE_VIEWS) or self._changes(USERS)):
            return
        with self.reporter.stage("write user_page_views") as stage:
            stage.rows = self._replace(USER_PAGE_VIEWS, self._viewed())

    def _viewed(self) -> Iterator[DataFrame]:
        people = self._after(USERS)
        touched = self._touched_users()
        if touched is not None:
            live = self.lake.manifest.files(USER_PAGE_VIEWS.name)
            before = self.tables.live(USER_PAGE_VIEWS, live)
            yield page_views.renewed(before, self._added_views(), people, touched)
        else:
            for part in self._parts(PAGE_VIEWS):
                views = self._after(PAGE_VIEWS, part)
                yield page_views.by_user_and_url(views, part.within(people))

    def _touched_users(self) -> DataFrame | None:
        """The users of the new rows; None if so many are new that all users are done anew."""
        new = [self.parsed[t.name] for t in (USER_UPDATES, PAGE_VIEWS) if t.name in self.parsed]
        live = self.lake.manifest.files(USER_PAGE_VIEWS.name)
        if any(parsed.work.rebuild for parsed in new) or not self._are_few(*new, of=live):
            return None
        return reduce(
            DataFrame.unionByName, [self._events(parsed).select("user_id") for parsed in new]
        ).distinct()

    def _added_views(self) -> DataFrame:
        """The page views that no run has seen before."""
        parsed = self.parsed.get(PAGE_VIEWS.name)
        if parsed is None:
            return self.tables.read(PAGE_VIEWS.schema, [])
        known = self.lake.manifest.files(PAGE_VIEWS.name, parsed.months)
        return distinct.added(self._events(parsed), self.tables.live(PAGE_VIEWS, known), PAGE_VIEWS)

    @staticmethod
    def _are_few(*new: Parsed, of: Sequence[LiveFile]) -> bool:
        """Whether the new rows are so few that a table is not computed anew for them."""
        return sum(parsed.good for parsed in new) <= _FEW_NEW * sum(file.rows for file in of)

    def _recommendations(self) -> None:
        wanted = self.config.recommend.model != "none"
        live = self.lake.manifest.files(PAGE_RECOMMENDATIONS.name)
        if not wanted and live:
            self.rewrites[PAGE_RECOMMENDATIONS.name] = Rewrite(
                Staged(PAGE_RECOMMENDATIONS, ()), live
            )
        if not wanted or not (self._changes(USER_PAGE_VIEWS) or self._changes(USERS)):
            return
        from clicklake import recommend  # SciPy takes a quarter of a second to import

        remembered = self.lake.storage.read(RECOMMENDER)
        with self.reporter.stage("recommend") as stage, TemporaryDirectory() as scratch:
            result = recommend.recommend(
                self.engine.session,
                self._after(USER_PAGE_VIEWS),
                self._after(USERS),
                self.config.recommend,
                json.loads(remembered) if remembered else None,
                Path(scratch),
            )
            stage.rows = self._replace(PAGE_RECOMMENDATIONS, [result.table])
        for warning in result.report.get("warnings", []):
            self.reporter.warn(warning)
        self.recommendation = result.report
        self.documents[RECOMMENDER] = json.dumps(result.choice).encode()

    def _clickstream(self) -> None:
        parsed = self.parsed.get(CLICKSTREAM.name)
        if parsed is None and not self._is_resettled:
            return
        known = self._known(CLICKSTREAM.name)
        touched = parsed.months if parsed else set()
        job = self.config.job
        rules = Rules(job.session_gap_minutes, job.bot_views_per_minute)
        months = Months(self.tables, known, rules, self._shares)
        with self.reporter.stage("write clickstream") as stage:
            new = New(self._events(parsed), parsed.landed) if parsed and touched else None
            everything = set(known.months(CLICKSTREAM.name)) if self._is_resettled else set()
            clicks = months.compute(new, touched | everything)
            if not self._is_resettled:
                clicks = months.only_changed(clicks)
            stage.rows = clicks.staged.rows
        with self.reporter.stage("write sessions") as stage:
            visits = months.summarize(clicks)
            stage.rows = visits.staged.rows
        for table, rewrite in ((CLICKSTREAM, clicks), (SESSIONS, visits)):
            final = self._removed(parsed, table, rewrite) if parsed else rewrite
            self.rewrites[table.name] = final

    def _quarantine(self) -> None:
        for source, parsed in self.parsed.items():
            again = set(parsed.work.grown)
            live = [
                file
                for file in self.lake.manifest.files(QUARANTINE.name)
                if f"/source={source}/" in file.path
            ]
            replaced = live if parsed.work.rebuild or again else []
            if not parsed.total("quarantined") and not replaced:
                continue
            with self.reporter.stage(f"quarantine {source}") as stage:
                bad = self._quarantined(parsed)
                if again and live and not parsed.work.rebuild:
                    old = self.tables.live(QUARANTINE, live)
                    kept = old.where(~F.col("file").isin(sorted(again)))
                    bad = bad.unionByName(kept)
                bad = bad.withColumn("source", F.lit(source))
                staged = self.tables.stage(bad, QUARANTINE, attempt=f"tables/{source}")
                stage.rows = staged.rows
                self._merge(QUARANTINE, Rewrite(staged, replaced))

    def _quarantined(self, parsed: Parsed) -> DataFrame:
        others = self._others(parsed.work.source, parsed.landed)
        bad = others.where(F.col("_reason").isNotNull())
        bases = [
            (path, start, base)
            for (path, start), base in sources.line_bases(parsed.summaries).items()
            if base
        ]
        base = F.lit(0)
        if bases:
            known = self.engine.session.createDataFrame(
                bases, "_file string, _start bigint, _base bigint"
            )
            bad = bad.join(F.broadcast(known), on=["_file", "_start"], how="left")
            base = F.coalesce(F.col("_base"), F.lit(0))
        return bad.select(
            F.col("_file").alias("file"),
            (F.col("_line") + base).alias("line"),
            F.col("_reason").alias("reason"),
            F.col("_raw").alias("raw"),
            F.lit(self.run_id).alias("run_id"),
        )

    def _changes(self, table: Table) -> bool:
        rewrite = self.rewrites.get(table.name)
        return rewrite is not None and bool(rewrite.staged.files or rewrite.removed)

    def _after(self, table: Table, part: Part = ALL) -> DataFrame:
        """A table as it will be after this run; `part`: of those that it was staged in."""
        rewrite = self.rewrites.get(table.name, Rewrite(Staged(table, ()), []))
        gone = {file.path for file in rewrite.removed}
        live = [f.path for f in self.lake.manifest.files(table.name) if f.path not in gone]
        staged = [path for path, _ in rewrite.staged.files]
        if part == ALL:
            return self.tables.read(table.schema, live + staged)
        theirs = {path for path, _ in self.staged[table.name, part].files}
        new = self.tables.read(table.schema, [path for path in staged if path in theirs])
        if not live:
            return new
        return new.unionByName(part.within(self.tables.read(table.schema, live)))

    def _has_news(self) -> bool:
        """Whether a row came in, or is refused for another reason than before."""
        tables = (table for table in TABLES.values() if table is not QUARANTINE)
        return any(map(self._changes, tables)) or any(
            parsed.reasons_by_file != parsed.work.refused for parsed in self.parsed.values()
        )

    def _replace(self, table: Table, parts: Iterable[DataFrame]) -> int:
        """Put other rows in the place of all; how many they are."""
        staged = joined(
            table,
            [
                self.tables.stage(rows, table, attempt=f"tables/{number}")
                for number, rows in enumerate(parts)
            ],
        )
        self.rewrites[table.name] = Rewrite(staged, self.lake.manifest.files(table.name))
        return staged.rows

    def _merge(self, table: Table, rewrite: Rewrite) -> None:
        before = self.rewrites.get(table.name, Rewrite(Staged(table, ()), []))
        files = before.staged.files + rewrite.staged.files
        self.rewrites[table.name] = Rewrite(Staged(table, files), before.removed + rewrite.removed)

    # Commit

    def _commit(self, books: dict[str, dict[str, int]]) -> Metrics:
        with self.reporter.stage("commit"):
            manifest = self._manifest()
            metrics = self._metrics(manifest, books)
            adds = [
                (path, file.path)
                for rewrite in self.rewrites.values()
                for path, file in rewrite.staged.files
            ]
            removes = [f.path for rewrite in self.rewrites.values() for f in rewrite.removed]
            self.lake.commit(
                Change(manifest, self._ledger(), adds, removes, metrics, self.documents)
            )
        return metrics

    def _books(self) -> dict[str, dict[str, int]]:
        """Read = kept + duplicate + filtered + quarantined, or an error."""
        books = {}
        for source, parsed in self.parsed.items():
            rewrite = self.rewrites[source]
            kept = rewrite.staged.rows if parsed.work.rebuild else rewrite.kept
            counts = {
                "read": parsed.total("read"),
                "kept": kept,
                "duplicate": parsed.good - kept,
                "filtered": parsed.total("filtered"),
                "quarantined": parsed.total("quarantined"),
            }
            if counts["duplicate"] < 0 or kept < 0:
                raise ClicklakeError(f"{source}: the books do not balance: {counts}.")
            if parsed.work.refused and kept > parsed.refused_before - counts["quarantined"]:
                raise InputError(
                    f"{source}: rows that had come in before are now read otherwise, so they "
                    "would be there twice. Nothing was published. Run etl.py --rebuild."
                )
            books[source] = counts
        nothing = dict.fromkeys(("read", "kept", "duplicate", "filtered", "quarantined"), 0)
        return {work.source: books.get(work.source, dict(nothing)) for work in self.works}

    def _manifest(self) -> Manifest:
        tables: dict[str, tuple[LiveFile, ...]] = dict(self.lake.manifest.tables)
        for name, rewrite in self.rewrites.items():
            gone = {file.path for file in rewrite.removed}
            stay = [file for file in tables.get(name, ()) if file.path not in gone]
            files = stay + [file for _, file in rewrite.staged.files]
            tables[name] = tuple(sorted(files, key=lambda file: file.path))
        return Manifest(self.run_id, self.lake.head + 1, settings(self.config), tables)

    def _ledger(self) -> dict[str, dict[str, LedgerFile]]:
        ledger = {source: dict(files) for source, files in self.lake.ledger.items()}
        if self.options.rebuild:
            ledger = {}
        for source, parsed in self.parsed.items():
            files = {} if parsed.work.rebuild else ledger.get(source, {})
            ledger[source] = files | _read_files(parsed, self.run_id)
        return ledger

    def _metrics(self, manifest: Manifest, books: dict[str, dict[str, int]]) -> Metrics:
        return {
            "run_id": self.run_id,
            "status": "committed",
            "engine": self.engine.name,
            "seconds": round(time.monotonic() - self.began, 3),
            "books": books,
            "reasons": {
                work.source: self.parsed[work.source].reasons if work.source in self.parsed else {}
                for work in self.works
            },
            "tables": table_facts(manifest),
            "months": {
                name: [f"{year:04d}-{month:02d}" for year, month in months]
                for name, rewrite in self.rewrites.items()
                if (months := sorted(rewrite.months))
            },
            "started_at": self.started_at.isoformat(timespec="seconds"),
            "as_of": self.as_of.isoformat(),
            "settings": dict(manifest.settings),
            "stages": [
                {"name": stage.name, "seconds": stage.seconds, "rows": stage.rows}
                for stage in self.reporter.stages
            ],
            "recommendation": self.recommendation,
            "seq": manifest.seq,
            "replayed": [work.source for work in self.works if _is_replay(work)],
            "rebuilt": [work.source for work in self.works if work.rebuild],
            "vanished": {work.source: list(work.vanished) for work in self.works if work.vanished},
        }


def _power_of_two(number: int) -> int:
    """The greatest one that is not more, or 1."""
    return 1 << max(0, number.bit_length() - 1)


def _is_replay(work: Work) -> bool:
    return bool(work.refused) or any(info.path.startswith(REPLAYED) for info in work.read)


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


def _check_every_byte_was_read(parsed: Parsed) -> None:
    """Raises ClicklakeError if the splits that were read are not all of the files."""
    reached: dict[str, int] = {}
    for split in sorted(parsed.summaries, key=lambda split: (split.file, split.start)):
        if split.start != reached.get(split.file, 0):
            raise ClicklakeError(f"{split.file}: bytes before {split.start} were not read once.")
        reached[split.file] = split.end
    for info in parsed.work.read:
        if reached.get(info.path) != info.size:
            raise ClicklakeError(f"{info.path}: not all of it was read.")


def _read_files(parsed: Parsed, run_id: str) -> dict[str, LedgerFile]:
    splits: dict[str, list[SplitSummary]] = {}
    for split in sorted(parsed.summaries, key=lambda split: split.start):
        splits.setdefault(split.file, []).append(split)
    return {
        info.path: LedgerFile(
            size=info.size,
            version=info.version,
            digests=tuple((s.start, s.end, s.digest) for s in splits[info.path]),
            ends_with_newline=splits[info.path][-1].ends_with_newline,
            run_id=run_id,
        )
        for info in parsed.work.read
    }
