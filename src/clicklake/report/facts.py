"""What a report tells beside the run's metrics, read from the months that the run rewrote."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from clicklake import sql
from clicklake.lake import Manifest, Snapshot
from clicklake.report import masks
from clicklake.schemas import CLICKSTREAM, PAGE_VIEWS, QUARANTINE, SESSIONS

if TYPE_CHECKING:
    import duckdb

MEMORY_MB = 512
_RAW = 1000  # characters of a raw row that are looked at
_EPOCH = date(1970, 1, 1)

# Days are counted from 1970-01-01, UTC.
_EVENTS = """
select epoch_us(time) // 86400000000, is_bot, count(*) from clickstream group by 1, 2
"""
_VIEWS = "select epoch_us(ts) // 86400000000, count(*) from page_views group by 1"
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
class Facts:
    """Days are those of UTC. `people`, `bots`: events of the clickstream on each day."""

    people: Mapping[date, int] = field(default_factory=dict)
    bots: Mapping[date, int] = field(default_factory=dict)
    views: Mapping[date, int] = field(default_factory=dict)
    pages: Counts = field(default_factory=list)
    viewed: Counts = field(default_factory=list)
    campaigns: Counts = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)


def gather(snapshot: Snapshot, metrics: Mapping[str, Any]) -> Facts:
    """Read the facts of a run from the lake as that run left it.

    Only files that the run wrote or rewrote are read, so it costs what the run's own work is
    worth, whatever the size of the lake.
    """
    with sql.connect(_of_run(snapshot, metrics), MEMORY_MB) as connection:
        events = connection.execute(_EVENTS).fetchall()
        return Facts(
            people=_days((day, count) for day, is_bot, count in events if not is_bot),
            bots=_days((day, count) for day, is_bot, count in events if is_bot),
            views=_days(connection.execute(_VIEWS).fetchall()),
            pages=_counts(connection.execute(_PAGES).fetchall()),
            viewed=_counts(connection.execute(_VIEWED).fetchall()),
            campaigns=_counts(connection.execute(_CAMPAIGNS).fetchall()),
            samples=_samples(connection, str(metrics["run_id"])),
        )


def _of_run(snapshot: Snapshot, metrics: Mapping[str, Any]) -> Snapshot:
    """The files of the months that the run rewrote, and what it quarantined."""
    # The name of a file begins with the run that wrote it.
    refused = [
        file
        for file in snapshot.manifest.files(QUARANTINE.name)
        if file.path.rpartition("/")[2].startswith(metrics["run_id"])
    ]
    tables = {QUARANTINE.name: tuple(refused)}
    for table in (CLICKSTREAM, SESSIONS, PAGE_VIEWS):
        months = metrics["months"].get(table.name, [])
        wanted = [(int(month[:4]), int(month[5:])) for month in months]
        tables[table.name] = tuple(snapshot.manifest.files(table.name, wanted))
    return Snapshot(snapshot.storage, Manifest(snapshot.run_id, snapshot.seq, {}, tables))


def _days(rows: Iterable[tuple[int, int]]) -> dict[date, int]:
    return {_EPOCH + timedelta(days=day): count for day, count in rows}


def _counts(rows: Iterable[tuple[str | None, int]]) -> Counts:
    return [(masks.hide_addresses(name or ""), count) for name, count in rows]


def _samples(connection: duckdb.DuckDBPyConnection, run_id: str) -> list[Sample]:
    found = connection.execute(_SAMPLES, {"length": _RAW, "run": run_id}).fetchall()
    return [
        Sample(source, reason, masks.hide_addresses(file), line, masks.sample(source, _whole(raw)))
        for source, reason, file, line, raw in found
    ]


def _whole(raw: str) -> str:
    """Without the last word, if the row was cut: it may be half of an address."""
    return raw if len(raw) < _RAW else re.sub(r"[^\s,;\"']*$", "…", raw, count=1)
