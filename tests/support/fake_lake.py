"""A lake without the job: Parquet files of a few rows, and a snapshot over them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clicklake.lake import MANIFEST, RUNS, Definition, LiveFile, Manifest, Snapshot, places
from clicklake.schemas import TABLES, Table
from clicklake.storage import open_storage

NOON = datetime(2018, 4, 1, 12, tzinfo=UTC)

# A row of each table; a test names only the columns that it is about.
DEFAULTS: dict[str, dict[str, Any]] = {
    "user_updates": {"updated_at": NOON, "user_id": 1, "email": "ann@example.com", "name": "Ann"},
    "users": {
        "user_id": 1,
        "email": "ann@example.com",
        "name": "Ann",
        "first_updated_at": NOON,
        "last_updated_at": NOON,
    },
    "page_views": {"ts": NOON, "user_id": 1, "url": "/products/1/"},
    "user_page_views": {
        "user_id": 1,
        "email": "ann@example.com",
        "url": "/products/1/",
        "count": 2,
        "last_viewed": NOON,
    },
    "clickstream": {
        "anonymous_user_id": "a",
        "url": "https://shop.example/",
        "time": NOON,
        "browser": "Firefox",
        "host": "shop.example",
        "path": "/",
        "is_bot": False,
        "session_id": "s1",
    },
    "sessions": {
        "session_id": "s1",
        "anonymous_user_id": "a",
        "started_at": NOON,
        "ended_at": NOON + timedelta(minutes=5),
        "events": 3,
        "landing_path": "/",
        "exit_path": "/buy",
        "is_bot": False,
    },
    "page_steps": {
        "page": "shop.example/",
        "next_page": "shop.example/buy",
        "sessions": 2,
        "month_start": datetime(2018, 4, 1, tzinfo=UTC),
    },
    "page_follows": {
        "page": "shop.example/",
        "rank": 1,
        "next_page": "shop.example/buy",
        "sessions": 2,
        "share": 1.0,
        "lift": 1.0,
    },
    "page_recommendations": {
        "user_id": 1,
        "email": "ann@example.com",
        "recommended_url": "/products/2/",
        "rank": 1,
        "score": 0.5,
        "source": "similar",
    },
    "bad_files": {
        "source": "clickstream",
        "file": "2018-04-01.csv.gz",
        "size": 1,
        "reason": "its gzip data is damaged or cut short",
        "first_run": "r1",
        "last_run": "r1",
    },
    "quarantine": {
        "source": "page_views",
        "file": "2018-04-01.json",
        "line": 3,
        "reason": "malformed_json",
        "raw": "{",
        "run_id": "r1",
    },
}

Rows = Sequence[Mapping[str, Any]]


def rows(table: str, *given: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{**DEFAULTS[table], **row} for row in given]


def write_lake(root: Path, seq: int = 1, **tables: Rows) -> Snapshot:
    """Write one run's files and return the snapshot that lists exactly them.

    A table that is not named gets its default row; `name=[]` leaves it out.
    """
    contents = {
        name: _write(root, table, seq, rows(name, *given))
        for name, table in TABLES.items()
        if (given := tables.get(name, [{}]))
    }
    definitions = {name: Definition.of(TABLES[name]) for name in contents}
    manifest = Manifest(f"run-{seq}", seq, {}, contents, definitions=definitions)
    return Snapshot(open_storage(str(root)), manifest)


def commit(snapshot: Snapshot) -> None:
    """Write the manifest and the metrics of a snapshot, as the job does when it commits."""
    snapshot.storage.write(MANIFEST, snapshot.manifest.to_json())
    about = {"run_id": snapshot.run_id, "seq": snapshot.seq}
    metrics = {**about, "status": "committed", "engine": "sail", "books": {}}
    snapshot.storage.write(f"{RUNS}/{snapshot.run_id}/metrics.json", json.dumps(metrics).encode())


def _write(root: Path, table: Table, seq: int, given: Rows) -> tuple[LiveFile, ...]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in given:
        groups.setdefault(_folder(table, row), []).append(row)
    files = []
    for folder, members in groups.items():
        path = root / table.name / folder / f"part-{seq}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(list(members), schema=table.schema), path)
        live = path.relative_to(root).as_posix()
        (root / places.data(live)).parent.mkdir(parents=True, exist_ok=True)
        (root / places.data(live)).unlink(missing_ok=True)
        (root / places.data(live)).hardlink_to(path)
        size = path.stat().st_size
        files.append(LiveFile(live, len(members), size))
    return tuple(files)


def _folder(table: Table, row: Mapping[str, Any]) -> str:
    values = dict(row)
    if table.time:
        values |= {"year": row[table.time].year, "month": row[table.time].month}
    return "/".join(f"{name}={values[name]}" for name in table.partitions)
