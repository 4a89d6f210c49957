"""Runs of the job, and lakes read back with pyarrow alone, in the oracle's form."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console

import oracle
import respelt
from clicklake import config, engines
from clicklake.progress import Reporter
from clicklake.run import job

TABLES = tuple(oracle.ROWS)


def configuration(source: Path | str, lake: Path | str, **changes: Any) -> config.Config:
    """The defaults with input, output and keys of [JOB] and [SOURCES] as given.

    `mapping`: how files tell their facts, {source: {key in lower case: value}}.
    """
    base = config.Config(datalake=config.DataLake(str(source), str(lake)))
    job = {"max_bad_ratio": 1.0} | {k: v for k, v in changes.items() if hasattr(base.job, k)}
    sources = {k: v for k, v in changes.items() if hasattr(base.sources, k)}
    wanted = changes.get("recommend", config.Recommend(model="none"))
    mapping = changes.get("mapping", {})
    shapes = {source: respelt.shape(source, words) for source, words in mapping.items()}
    base = replace(base, recommend=wanted, **shapes)
    return replace(base, job=replace(base.job, **job), sources=replace(base.sources, **sources))


def run(
    running: engines.Engine,
    source: Path | str,
    lake: Path | str,
    as_of: date,
    rebuild: bool = False,
    forget_missing: bool = False,
    **changes: Any,
) -> dict[str, Any]:
    """One run of the job in this process; its metrics."""
    options = job.Options("sail", as_of, rebuild, forget_missing, publish=False)
    quiet = Reporter(Console(file=io.StringIO()))
    return job.run(configuration(source, lake, **changes), options, quiet, running).to_json()


def manifest(lake: Path) -> dict[str, Any]:
    return json.loads((lake / "_clicklake" / "manifest.json").read_text())


def _rows(lake: Path, table: str) -> list[dict[str, Any]]:
    rows = []
    for file in manifest(lake)["tables"].get(table, []):
        content = pq.ParquetFile(lake / file["path"]).read()
        assert content.num_rows == file["rows"]
        parts = dict(part.split("=") for part in file["path"].split("/") if "=" in part)
        rows += [{**row, **parts} for row in content.to_pylist()]
    return rows


def _micros(value: Any) -> Any:
    if isinstance(value, datetime):
        assert value.utcoffset() is not None
        return int(value.timestamp()) * 1_000_000 + value.microsecond
    return value


def read(lake: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every table as the oracle gives it: sorted tuples, sessions named by visitor and start."""
    tables: dict[str, list[tuple[Any, ...]]] = {}
    starts = {
        row["session_id"]: (row["anonymous_user_id"], _micros(row["started_at"]))
        for row in _rows(lake, "sessions")
    }
    assert len(set(starts.values())) == len(starts), "two names for one session"
    for table in TABLES:
        rows = []
        for row in _rows(lake, table):
            if "session_id" in row:
                row["session_id"] = starts[row["session_id"]]
            for part in ("year", "month"):
                if part in row:
                    row[part] = int(row[part])
            rows.append(oracle.ROWS[table](**{name: _micros(row[name]) for name in row}))
        tables[table] = sorted(rows, key=oracle._nulls_first)
    return tables


def quarantine(lake: Path) -> list[tuple[Any, ...]]:
    return sorted(
        (row["source"], row["file"], row["line"], row["reason"], row["raw"])
        for row in _rows(lake, "quarantine")
    )


def differences(lake: Path, expected: oracle.Result) -> list[str]:
    """What the lake has that the oracle has not, and the other way round; empty if equal."""
    found: dict[str, list[tuple[Any, ...]]] = {**read(lake), "quarantine": quarantine(lake)}
    wanted = {**expected.tables, "quarantine": expected.quarantine}
    problems = []
    for table, rows in wanted.items():
        if found[table] != rows:
            lost = [row for row in rows if row not in set(found[table])]
            extra = [row for row in found[table] if row not in set(rows)]
            problems.append(
                f"{table}: {len(rows)} rows expected, {len(found[table])} found; "
                f"{_first_difference(lost, extra)}lost {lost[:3]}; extra {extra[:3]}"
            )
    return problems


def _first_difference(lost: list[tuple[Any, ...]], extra: list[tuple[Any, ...]]) -> str:
    """In which columns the first row that is lost differs from the extra row most like it."""
    if not lost or not extra:
        return ""

    def differing(other: tuple[Any, ...]) -> list[int]:
        return [at for at, (a, b) in enumerate(zip(lost[0], other, strict=True)) if a != b]

    nearest = min(extra, key=lambda other: len(differing(other)))
    names = getattr(lost[0], "_fields", range(len(lost[0])))
    return "".join(
        f"{names[at]} is {nearest[at]!r} for {lost[0][at]!r}; " for at in differing(nearest)
    )
