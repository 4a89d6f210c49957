"""What a report tells beside the run's metrics, read from the months that the run rewrote."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from clicklake.lake import LiveFile, Manifest, Snapshot, sql
from clicklake.lake.metrics import RunMetrics
from clicklake.report import masks, visitors
from clicklake.report.visitors import Visitors
from clicklake.schemas import CLICKSTREAM, PAGE_VIEWS, QUARANTINE, SESSIONS

if TYPE_CHECKING:
    import duckdb

MEMORY_MB = 512
TRAFFIC_ROWS = 50_000_000  # of each table that are counted by day, at most about
KNOWN_ROWS = 5_000_000  # sessions by which new visitors are told from others, at most about
TOP_ROWS = 1_000_000  # of each table that pages and campaigns are counted in, at most about
_RAW = 1000  # characters of a raw row that are looked at

_EVENTS = "select {day}, is_bot, count(*) from clickstream group by 1, 2"
_VIEWS = "select {day}, count(*) from page_views group by 1"
_PAGES = """
select path, count(*) from clickstream where not is_bot group by 1 order by 2 desc, 1 limit 10
"""
_VIEWED = "select url, count(*) from page_views group by 1 order by 2 desc, 1 limit 10"
_CAMPAIGNS = """
select utm_source, count(*) from sessions where not is_bot group by 1 order by 2 desc, 1 limit 10
"""
_SAMPLES = """
select source, reason, row.file, row.line, row.raw
from (
    select source, reason, unnest(
        min_by({'file': file, 'line': line, 'raw': left(raw, $length)}, (file, line), 2)
    ) as row
    from quarantine
    where run_id = $run
    group by 1, 2
)
order by all
"""

Counts = list[tuple[str, int]]  # what, how many; the most first


@dataclass(frozen=True)
class Sample:
    """A refused row of this run, masked."""

    source: str
    reason: str
    file: str
    line: int
    text: str


@dataclass(frozen=True)
class Part:
    """How many rows were looked at, of how many that the run rewrote."""

    rows: int = 0
    of: int = 0


@dataclass(frozen=True)
class Facts:
    """Days are those of `time_zone`. `people`, `bots`: events of the clickstream on each day."""

    people: Mapping[date, int] = field(default_factory=dict)
    bots: Mapping[date, int] = field(default_factory=dict)
    views: Mapping[date, int] = field(default_factory=dict)
    pages: Counts = field(default_factory=list)
    viewed: Counts = field(default_factory=list)
    campaigns: Counts = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    visitors: Visitors = field(default_factory=Visitors)
    time_zone: str = "UTC"
    traffic_part: Part = Part()
    top_part: Part = Part()


def gather(snapshot: Snapshot, metrics: RunMetrics, time_zone: str = "UTC") -> Facts:
    """Read the facts of a run from the lake as that run left it.

    Only files of the months that the run rewrote are read, and of a large run only the newest,
    so that it costs a small part of the run's own work, and never more than some seconds. Who is
    a new visitor follows from earlier sessions, too, some millions of them.
    """
    rewritten = _rewritten(snapshot, metrics)
    counted, looked_at = _newest(rewritten, TRAFFIC_ROWS), _newest(rewritten, TOP_ROWS)
    with sql.connect(counted, MEMORY_MB) as connection:
        events = connection.execute(_EVENTS.format(day=sql.day("time", time_zone))).fetchall()
        views = connection.execute(_VIEWS.format(day=sql.day("ts", time_zone))).fetchall()
        samples = _samples(connection, str(metrics.run_id))
    with sql.connect(looked_at, MEMORY_MB) as connection:
        tops = [connection.execute(query).fetchall() for query in (_PAGES, _VIEWED, _CAMPAIGNS)]
    return Facts(
        people={day: count for day, is_bot, count in events if not is_bot},
        bots={day: count for day, is_bot, count in events if is_bot},
        views=dict(views),
        pages=_counts(tops[0]),
        viewed=_counts(tops[1]),
        campaigns=_counts(tops[2]),
        samples=samples,
        visitors=_visitors(snapshot, counted, time_zone),
        time_zone=time_zone,
        traffic_part=Part(_events(counted), _events(rewritten)),
        top_part=Part(_events(looked_at), _events(rewritten)),
    )


def _rewritten(snapshot: Snapshot, metrics: RunMetrics) -> Snapshot:
    """The files of the months that the run rewrote, and what it quarantined."""
    # The name of a file begins with the run that wrote it.
    refused = [
        file
        for file in snapshot.manifest.files(QUARANTINE.name)
        if file.path.rpartition("/")[2].startswith(metrics.run_id)
    ]
    tables = {QUARANTINE.name: tuple(refused)}
    for table in (CLICKSTREAM, SESSIONS, PAGE_VIEWS):
        months = metrics.months.get(table.name, [])
        wanted = [(int(month[:4]), int(month[5:])) for month in months]
        tables[table.name] = tuple(snapshot.manifest.files(table.name, wanted))
    return _of_tables(snapshot, tables)


def _newest(snapshot: Snapshot, rows: int) -> Snapshot:
    """Of each monthly table the files of the newest months, until they hold `rows` rows."""
    tables: dict[str, tuple[LiveFile, ...]] = {}
    for name, files in snapshot.manifest.tables.items():
        left, taken = rows, []
        for file in sorted(files, key=lambda file: file.month or (0, 0), reverse=True):
            if left > 0 or file.month is None:
                taken.append(file)
                left -= file.rows
        tables[name] = tuple(taken)
    return _of_tables(snapshot, tables)


def _events(snapshot: Snapshot) -> int:
    return snapshot.rows(CLICKSTREAM.name) + snapshot.rows(PAGE_VIEWS.name)


def _visitors(snapshot: Snapshot, counted: Snapshot, time_zone: str) -> Visitors:
    """Of the months that are counted, by them and as many earlier sessions as may be read."""
    months = sorted({file.month for file in counted.live(SESSIONS.name) if file.month})
    if not months:
        return Visitors()
    known = [f for f in snapshot.live(SESSIONS.name) if f.month and f.month <= max(months)]
    left = _newest(_of_tables(snapshot, {SESSIONS.name: tuple(known)}), KNOWN_ROWS)
    with sql.connect(left, MEMORY_MB) as connection:
        return visitors.gather(connection, months, time_zone)


def _of_tables(snapshot: Snapshot, tables: dict[str, tuple[LiveFile, ...]]) -> Snapshot:
    return Snapshot(snapshot.storage, Manifest(snapshot.run_id, snapshot.seq, {}, tables))


def _counts(rows: Iterable[tuple[str | None, int]]) -> Counts:
    return [(masks.hide_private(name or ""), count) for name, count in rows]


def _samples(connection: duckdb.DuckDBPyConnection, run_id: str) -> list[Sample]:
    found = connection.execute(_SAMPLES, {"length": _RAW, "run": run_id}).fetchall()
    return [
        Sample(source, reason, masks.hide_addresses(file), line, masks.sample(source, _whole(raw)))
        for source, reason, file, line, raw in found
    ]


def _whole(raw: str) -> str:
    """Without the last word, if the row was cut: it may be half of an address."""
    return raw if len(raw) < _RAW else re.sub(r"[^\s,;\"']*$", "…", raw, count=1)
