"""`etl.py verify`: re-read the lake and prove what it promises.

The tables that come from others are computed once more, in SQL on DuckDB, apart from the code
that made them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from clicklake import engines, lake
from clicklake.config import Config
from clicklake.derive import columns as derived_columns
from clicklake.derive.columns import CLICKSTREAM_DERIVED
from clicklake.errors import ClicklakeError
from clicklake.lake import sql
from clicklake.lake.metrics import committed
from clicklake.lake.parquet import audit_file, read_footer
from clicklake.progress import Reporter
from clicklake.schemas import CLICKSTREAM, SOURCES, TABLES, Table
from clicklake.storage import FileInfo, Storage

if TYPE_CHECKING:
    import duckdb

_USERS = """
select user_id, email, name, first_updated_at, last_updated_at from (
    select user_id, email, name,
        min(updated_at) over (partition by user_id) as first_updated_at,
        updated_at as last_updated_at,
        row_number() over (
            partition by user_id order by updated_at desc, email desc, name desc nulls last
        ) as rank
    from user_updates
) where rank = 1
"""

_USER_PAGE_VIEWS = """
select v.user_id, u.email, v.url, v.count, v.last_viewed
from (
    select user_id, url, count(*) as count, max(ts) as last_viewed from page_views group by all
) v left join users u using (user_id)
"""

_ORDER = "time, url, browser nulls first, os nulls first, screen_resolution nulls first"

_SESSIONS = f"""
select session_id, any_value(anonymous_user_id) as anonymous_user_id,
    min(time) as started_at, max(time) as ended_at, count(*) as events,
    max(path) filter (first = 1) as landing_path, max(path) filter (last = 1) as exit_path,
    max(utm_source) filter (first = 1) as utm_source,
    max(utm_medium) filter (first = 1) as utm_medium,
    max(utm_campaign) filter (first = 1) as utm_campaign,
    max(browser) filter (first = 1) as browser, max(os) filter (first = 1) as os,
    bool_or(is_bot) as is_bot
from (
    select *, row_number() over (partition by session_id order by {_ORDER}) as first,
        row_number() over (partition by session_id order by time desc, url desc) as last
    from clickstream
) group by session_id
"""  # noqa: S608 - names of our own tables

_PAGE_STEPS = f"""
select page, next_page, count(distinct session_id) as sessions,
    make_timestamp(year, month, 1, 0, 0, 0.0) at time zone 'UTC' as month_start
from (
    select session_id, year, month, coalesce(host, '') || path as next_page, is_bot,
        lag(coalesce(host, '') || path) over before as page, lag(is_bot) over before as was_bot
    from clickstream window before as (partition by session_id, year, month order by {_ORDER})
) where page != next_page and not is_bot and not was_bot
group by all having count(distinct session_id) >= 2
"""  # noqa: S608 - names of our own tables

_PAGE_FOLLOWS = """
with steps as (select page, next_page, sum(sessions) as n from page_steps group by all),
leaving as (select page, sum(n) as n from steps group by all),
arriving as (select next_page, sum(n) as n from steps group by all),
likely as (
    select s.page, s.next_page, s.n::bigint as sessions, a.n as arriving,
        s.n::double / l.n::double as share
    from steps s join leaving l using (page) join arriving a using (next_page)
)
select page, rank() over (
        partition by page order by sessions desc, arriving desc, next_page
    )::int as rank, next_page, sessions, share,
    share / (arriving::double / (select sum(n) from steps)::double) as lift
from likely qualify rank <= 3
"""

_SESSION_IDS = """
select anonymous_user_id, time, session_id from clickstream
except
select anonymous_user_id, time,
    anonymous_user_id || '-' || epoch_us(max(opens) over (
        partition by anonymous_user_id order by time range unbounded preceding
    ))
from (
    select anonymous_user_id, time, case when coalesce(
        epoch_us(time) - epoch_us(lag(time) over (partition by anonymous_user_id order by time))
            > {session_gap_minutes} * 60000000, true) then time end as opens
    from clickstream
)
"""

_RATES = """
select anonymous_user_id from (
    select *, count(*) over (
        partition by anonymous_user_id, epoch_us(time) // 60000000
    ) > {bot_views_per_minute} as fast
    from clickstream
) where coalesce(bot_reason, '') != 'agent'
    and (fast != (coalesce(bot_reason, '') = 'rate') or is_bot != (bot_reason is not null))
"""

_DERIVED = {
    "users": _USERS,
    "user_page_views": _USER_PAGE_VIEWS,
    "sessions": _SESSIONS,
    "page_steps": _PAGE_STEPS,
    "page_follows": _PAGE_FOLLOWS,
}


def main(config: Config, reporter: Reporter, *, as_json: bool = False) -> int:
    """Verify the lake of a configuration; 0 if everything holds, 1 otherwise."""
    engines.use_keys(config.aws)
    snapshot = lake.open_snapshot(config.datalake.output_data)
    storage = snapshot.storage
    checks = []
    for name, problems in _checks(storage, snapshot, config.job.memory_mb):
        checks.append({"check": name, "problems": problems})
        reporter.say(f"{'FAILED' if problems else 'ok':<8}{name}")
        for problem in problems[:5]:
            reporter.say(f"        {problem}")
    failed = [check for check in checks if check["problems"]]
    if as_json:
        print(json.dumps({"run_id": snapshot.run_id, "checks": checks}, ensure_ascii=False))
    reporter.say(
        f"{len(failed)} of {len(checks)} checks failed; run etl.py --rebuild to mend the lake"
        if failed
        else f"all {len(checks)} checks hold for run {snapshot.run_id}"
    )
    return 1 if failed else 0


def _checks(
    storage: Storage, snapshot: lake.Snapshot, memory_mb: int
) -> Iterator[tuple[str, list[str]]]:
    yield "the state's files are as they were written", _state(storage, snapshot)
    missing = _files(storage, snapshot)
    yield "the manifest's files are there, whole and of their tables' schemas", missing
    yield "no other files lie in the tables' folders", _strays(storage, snapshot)
    yield "every run's books balance", _books(storage, snapshot)
    if missing:
        return
    connection = sql.connect(snapshot, memory_mb)
    try:
        current = {table.name for table in TABLES.values() if snapshot.is_current(table)}
        for table in (TABLES[name] for name in snapshot.tables):
            yield f"{table.name}: keys are unique", _repeated_keys(connection, table)
            if table.time:
                yield f"{table.name}: rows are in their months", _wrong_months(connection, table)
        for name, query in _DERIVED.items():
            if current.issuperset(TABLES):  # else the next run computes what is outdated anew
                yield (
                    f"{name} agrees with what it comes from",
                    _differences(connection, name, query),
                )
        settings = snapshot.manifest.settings
        if CLICKSTREAM.name in current:
            yield "clickstream: derived columns follow from their inputs", _derived(connection)
        if settings and CLICKSTREAM.name in current:
            yield "session ids follow the pauses", _count(connection, _SESSION_IDS, settings)
            yield "bots are labelled by their rate", _count(connection, _RATES, settings)
    finally:
        connection.close()


def _state(storage: Storage, snapshot: lake.Snapshot) -> list[str]:
    """The ledger and the documents that the manifest names."""
    problems = []
    for stored in snapshot.manifest.stored:
        try:
            stored.read(storage)
        except ClicklakeError as error:
            problems.append(str(error))
    return problems


def _files(storage: Storage, snapshot: lake.Snapshot) -> list[str]:
    problems = []
    for table in snapshot.tables:
        there = {info.path: info for info in storage.list(table)}
        for file in snapshot.live(table):
            info = there.get(file.path)
            if info is None or info.size != file.bytes:
                problems.append(f"{file.path}: " + ("missing" if info is None else "wrong size"))
            else:
                problems += _file(snapshot, info, file)
    return problems


def _file(snapshot: lake.Snapshot, info: FileInfo, file: lake.LiveFile) -> list[str]:
    try:
        footer = read_footer(snapshot.storage, info)
        audit_file(TABLES[file.table], file, footer, snapshot.schema(TABLES[file.table]))
    except (ClicklakeError, OSError) as error:
        return [f"{file.path}: {error}"]
    if footer.num_rows != file.rows:
        return [f"{file.path}: {footer.num_rows} rows, not {file.rows}"]
    return []


def _strays(storage: Storage, snapshot: lake.Snapshot) -> list[str]:
    known = {file.path for name in TABLES for file in snapshot.live(name)}
    return [
        f"{info.path}: not in the manifest"
        for table in TABLES
        for info in storage.list(table)
        if info.path.endswith(".parquet") and info.path not in known
    ]


def _books(storage: Storage, snapshot: lake.Snapshot) -> list[str]:
    """Every run on its own, and what runs have kept since a rebuild against the tables' rows."""
    problems = []
    kept = dict.fromkeys(SOURCES, 0)
    after: dict[int, dict[str, int]] = {}  # by the number of a run
    for run in committed(storage):
        if run.rolled_back_to:
            kept = dict(after.get(run.rolled_back_to, kept))
        for source, books in run.books.items():
            if not books.balance:
                problems.append(f"run {run.run_id}: {source}: {books}")
            kept[source] = books.kept + (0 if source in run.rebuilt else kept[source])
        for source in SOURCES:
            kept[source] -= run.forgotten.get(source, 0)
        after[run.seq] = dict(kept)
    for source, count in kept.items():
        if count != snapshot.rows(source):
            problems.append(
                f"{source}: runs have kept {count} rows, it has {snapshot.rows(source)}"
            )
    return problems


def _repeated_keys(connection: duckdb.DuckDBPyConnection, table: Table) -> list[str]:
    key = ", ".join(f'"{name}"' for name in table.key)
    return _count(
        connection,
        f"select {key} from {table.name} group by all having count(*) > 1",  # noqa: S608 - names of our own tables
    )


def _wrong_months(connection: duckdb.DuckDBPyConnection, table: Table) -> list[str]:
    time = f"make_timestamp(epoch_us({table.time}))"
    return _count(
        connection,
        f"select 1 from {table.name} "  # noqa: S608 - names of our own tables
        f"where year != date_part('year', {time}) or month != date_part('month', {time})",
    )


def _differences(connection: duckdb.DuckDBPyConnection, name: str, query: str) -> list[str]:
    columns = ", ".join(f'"{column}"' for column in TABLES[name].columns)
    stored, derived = f"select {columns} from {name}", f"select {columns} from ({query})"  # noqa: S608 - names of our own tables
    lost = _count(connection, f"({derived}) except all ({stored})")
    extra = _count(connection, f"({stored}) except all ({derived})")
    return [f"lacks {text}" for text in lost] + [f"has too many: {text}" for text in extra]


def _derived(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The derived columns of clickstream that are not what their functions say."""
    problems = []
    for source in derived_columns.SOURCES:
        columns = [c.name for c in CLICKSTREAM_DERIVED if c.source == source]
        names = ", ".join(f'"{name}"' for name in (source, *columns))
        query = f"select distinct {names} from clickstream where {source} is not null"  # noqa: S608 - names of our own tables
        for batch in connection.sql(query).to_arrow_reader(1 << 18):
            expected = derived_columns.derived(source, batch[source].cast(pa.string()))
            for name in columns:
                pairs = zip(batch[name].to_pylist(), expected[name].to_pylist(), strict=True)
                wrong = sum(stored != right for stored, right in pairs)
                problems += [f"{name}: {wrong:,} values of {source}"] if wrong else []
    return problems


def _count(connection: duckdb.DuckDBPyConnection, query: str, settings: Any = None) -> list[str]:
    """How many rows a query finds that should find none."""
    text = query.format(**settings) if settings else query
    [(found,)] = connection.execute(f"select count(*) from ({text})").fetchall()  # noqa: S608 - names of our own tables
    return [f"{found:,} rows"] if found else []
