"""`etl.py forget-user`: take a person out of the lake, and keep them out of it."""

from __future__ import annotations

import hashlib
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clicklake import engines
from clicklake.config import Config
from clicklake.errors import ConfigError, InputError
from clicklake.lake import (
    RUNS,
    STAGING,
    Change,
    Lake,
    Ledger,
    LedgerFile,
    LiveFile,
    Manifest,
    Snapshot,
    lease,
    partition_values,
    privacy,
    sql,
)
from clicklake.lake.privacy import (
    EMAIL,
    FORGOTTEN,
    HAS_AT,
    USER,
    VISITOR,
    Forgotten,
    Person,
    addresses,
)
from clicklake.lake.tables import audit_file, open_parquet
from clicklake.logs.inputs import REPLAYED
from clicklake.logs.sources import compression
from clicklake.progress import Reporter
from clicklake.run import job
from clicklake.schemas import TABLES, Table
from clicklake.storage import Storage, open_storage

Metrics = dict[str, Any]

MEMORY_MB = 1024
DONE = (
    "The person is out of the lake, its databases and CSV files, and is left out from now on. "
    "The raw input was not altered: delete their lines there as well."
)

_USERS_OF = "select distinct user_id from user_updates where lower(email) = ?"
_EMAILS_OF = "select distinct lower(email) from user_updates where list_contains(?, user_id)"
_SHARED = """
select distinct lower(email) from user_updates
where list_contains(?, lower(email)) and not list_contains(?, user_id)
"""
_URLS = f"""
select distinct anonymous_user_id, url from clickstream where regexp_matches(url, '{HAS_AT}')
"""  # noqa: S608


@dataclass(frozen=True)
class Plan:
    """What forgetting a person does to the lake, staged and not yet committed."""

    person: Person
    shared: int  # addresses of theirs that other users have, too
    rows: dict[str, int]  # of each table, how many go
    adds: list[tuple[str, LiveFile]]
    removes: list[LiveFile]


def run(
    config: Config,
    name: str,
    kind: str | None,
    reporter: Reporter,
    confirm: Callable[[Plan], bool],
) -> Metrics:
    """Forget whom `name` names: a user id, an e-mail address or a visitor id (see `kind_of`).

    `confirm` is shown the plan, and nothing happens unless it agrees. The tables are written anew
    without the person's rows, in one commit; databases and CSV files follow; later runs and
    rebuilds leave the person out. The raw input is not altered.
    Returns the run's metrics, with `forgotten`: rows by table.
    """
    name = name.strip()
    if not name:
        raise ConfigError("WHO is empty: give a user id, an e-mail address or a visitor id.")
    engines.use_keys(config.aws)
    began = time.monotonic()
    storage = open_storage(config.datalake.output_data)
    with lease.held(storage) as taken_over:
        lake = Lake(storage)
        lake.open(fence=taken_over)
        if not lake.manifest.run_id:
            raise InputError(f"{storage.root}: there is no lake. Make one: python scripts/etl.py")
        now = datetime.now(UTC)
        run_id = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
        known = privacy.load(storage)
        with reporter.stage("find the person"):
            person, shared = find(lake, name, kind or kind_of(name))
            forgotten = known.with_person(person)
        with reporter.stage("write tables without them"):
            plan = _stage(lake, forgotten, run_id, person, shared)
        metrics = _metrics(lake.manifest, plan, run_id, now)
        agreed = confirm(plan)
        if not agreed or (not plan.removes and forgotten == known):
            lake.discard(run_id)
            metrics |= {"status": "nothing_new", "run_id": lake.manifest.run_id}
            if agreed:  # a run that was killed may have left the databases behind
                metrics["published"] = job.publish_newest(config, storage, metrics, reporter)
            return metrics
        _mask_reports(storage, person)
        manifest = _manifest(lake, plan, run_id)
        metrics |= {
            "tables": job.table_facts(manifest),
            "seq": manifest.seq,
            "seconds": round(time.monotonic() - began, 3),
            "stages": [vars(stage) for stage in reporter.stages],
        }
        adds = [(path, file.path) for path, file in plan.adds]
        removes = [file.path for file in plan.removes]
        replayed = _replayed(lake, forgotten)
        documents = {FORGOTTEN: forgotten.to_json(), **replayed}
        ledger = _ledger(lake.ledger, replayed, run_id)
        lake.commit(Change(manifest, ledger, adds, removes, metrics, documents))
        metrics["published"] = job.publish_newest(config, storage, metrics, reporter)
        return metrics | {"seconds": round(time.monotonic() - began, 3)}


def told(plan: Plan) -> str:
    """A plan in words, without naming anybody."""
    person = plan.person
    lines = [
        f"the person: {len(person.users)} user ids, {len(person.emails)} e-mail addresses, "
        f"{len(person.visitors)} visitor ids",
        *(f"  {table}: {rows:,} rows go" for table, rows in plan.rows.items()),
    ]
    if not plan.rows:
        lines.append("  no row of the lake is about them; later runs will leave them out")
    if plan.shared:
        lines.append(f"  {plan.shared} of their addresses stay, as other users have them, too")
    return "\n".join(lines)


def kind_of(name: str) -> str:
    """What a name names: a whole number a user, text with an @ an address, else a visitor."""
    if name.lstrip("+-").isdecimal():
        return USER
    return EMAIL if "@" in name else VISITOR


def find(lake: Lake, name: str, kind: str) -> tuple[Person, int]:
    """All that names a person, and how many of their addresses other users have, too.

    An address means every user who ever had it. A user id means that user's addresses, except
    those of other users. Visitors are those whose URLs carry one of the addresses.
    """
    if kind == VISITOR:
        return Person(visitors=frozenset([name])), 0
    with sql.connect(Snapshot(lake.storage, lake.manifest), MEMORY_MB) as connection:

        def ask(query: str, *values: Any) -> list[Any]:
            return connection.execute(query, values).fetchall()

        if kind == USER:
            users, emails = [int(name)], set()
        else:
            users = [user for (user,) in ask(_USERS_OF, name.lower())]
            emails = {name.lower()}
        emails |= {email for (email,) in ask(_EMAILS_OF, users)}
        shared = {email for (email,) in ask(_SHARED, sorted(emails), users)}
        emails -= shared
        urls = ask(_URLS) if emails else []
        visitors = {visitor for visitor, url in urls if addresses(url) & emails}
    return Person(frozenset(users), frozenset(emails), frozenset(visitors)), len(shared)


def _stage(lake: Lake, forgotten: Forgotten, run_id: str, person: Person, shared: int) -> Plan:
    """Write every file that has rows of forgotten persons anew, without them, into staging."""
    plan = Plan(person, shared, {}, [], [])
    for table in TABLES.values():
        infos = {info.path: info for info in lake.storage.list(table.name)}
        for file in lake.manifest.files(table.name):
            content = open_parquet(lake.storage, infos[file.path])
            is_gone = partial(_is_gone, forgotten, partition_values(file.path).get("source"))
            gone = sum(pc.sum(is_gone(rows)).as_py() for rows in content.iter_batches())
            if not gone:
                continue
            plan.rows[table.name] = plan.rows.get(table.name, 0) + gone
            plan.removes.append(file)
            if gone < file.rows:
                folder = file.path.rpartition("/")[0]
                live = f"{folder}/{run_id}-{len(plan.adds):05d}.parquet"
                plan.adds.append(_rewrite(lake.storage, table, content, is_gone, run_id, live))
    return plan


def _is_gone(forgotten: Forgotten, source: str | None, rows: pa.RecordBatch) -> pa.Array:
    """Which rows go: of quarantined ones, of which `source` tells, those whose text says so."""
    if source is None:
        return forgotten.in_rows(rows)
    return pa.array([forgotten.in_raw(source, raw) for raw in rows["raw"].to_pylist()])


def _rewrite(
    storage: Storage,
    table: Table,
    content: pq.ParquetFile,
    is_gone: Callable[[pa.RecordBatch], pa.Array],
    run_id: str,
    live: str,
) -> tuple[str, LiveFile]:
    """Stage a copy of a file without the rows that go; where it is, and what it will be."""
    staged = f"{STAGING}/{run_id}/tables/{live}"
    with tempfile.TemporaryDirectory(prefix="clicklake-") as folder:
        local = Path(folder) / "part.parquet"
        with pq.ParquetWriter(local, content.schema_arrow, compression="zstd") as writer:
            for rows in content.iter_batches():
                writer.write_batch(rows.filter(pc.invert(is_gone(rows))))
        footer = pq.read_metadata(local)
        file = LiveFile(live, footer.num_rows, local.stat().st_size)
        audit_file(table, file, footer)
        storage.upload(staged, local)
    return staged, file


def _replayed(lake: Lake, forgotten: Forgotten) -> dict[str, bytes]:
    """Files of repaired rows that name forgotten persons, without those lines."""
    changed = {}
    for source in lake.ledger:
        for info in lake.storage.list(f"{REPLAYED}/{source}"):
            kind = compression(info.path)
            stored = b"".join(lake.storage.chunks(info))
            lines = pa.input_stream(pa.py_buffer(stored), kind).read().splitlines(keepends=True)
            stay = [
                line
                for line in lines
                if not forgotten.in_raw(source, line.decode(errors="replace"))
            ]
            if len(stay) < len(lines):
                sink = pa.BufferOutputStream()
                with pa.output_stream(sink, kind) as stream:
                    stream.write(b"".join(stay))
                changed[info.path] = sink.getvalue().to_pybytes()
    return changed


def _ledger(ledger: Ledger, replayed: Mapping[str, bytes], run_id: str) -> Ledger:
    """The ledger with the files as they are now, so that no run takes them for changed."""

    def entry(path: str, file: LedgerFile) -> LedgerFile:
        data = replayed.get(path)
        if data is None:
            return file
        digest = hashlib.sha256(data).hexdigest()
        return replace(file, size=len(data), digests=((0, len(data), digest),), run_id=run_id)

    return {
        source: {path: entry(path, file) for path, file in files.items()}
        for source, files in ledger.items()
    }


def _mask_reports(storage: Storage, person: Person) -> None:
    """Old reports show no addresses and no user ids; an odd visitor id may be in them."""
    names = [*person.emails, *(name for name in person.visitors if not name.isdecimal())]
    for info in storage.list(RUNS):
        if not info.path.endswith(".html"):
            continue
        page = (storage.read(info.path) or b"").decode()
        masked = privacy.masked(page, [*names, *map(escape, names)])
        if masked != page:
            storage.write(info.path, masked.encode())


def _manifest(lake: Lake, plan: Plan, run_id: str) -> Manifest:
    gone = {file.path for file in plan.removes}
    tables = {
        name: sorted(
            [
                *(file for file in files if file.path not in gone),
                *(file for _, file in plan.adds if file.path.startswith(f"{name}/")),
            ],
            key=lambda file: file.path,
        )
        for name, files in lake.manifest.tables.items()
    }
    settings = lake.manifest.settings
    return Manifest(run_id, lake.head + 1, settings, {n: tuple(f) for n, f in tables.items()})


def _metrics(manifest: Manifest, plan: Plan, run_id: str, now: datetime) -> Metrics:
    months: dict[str, set[str]] = {}
    for file in plan.removes:
        if file.month:
            year, month = file.month
            months.setdefault(file.path.split("/")[0], set()).add(f"{year:04d}-{month:02d}")
    return {
        "run_id": run_id,
        "status": "committed",
        "engine": "duckdb",
        "seconds": 0.0,
        "books": {},
        "reasons": {},
        "months": {name: sorted(found) for name, found in months.items()},
        "started_at": now.isoformat(timespec="seconds"),
        "as_of": now.date().isoformat(),
        "settings": dict(manifest.settings),
        "vanished": {},
        "rebuilt": [],
        "forgotten": dict(plan.rows),
    }
