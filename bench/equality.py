"""Whether two sets of tables are equal: row counts and a hash that no order of rows changes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import duckdb

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from clicklake.schemas import TABLES

COMPARED = ("user_updates", "users", "page_views", "user_page_views", "clickstream", "sessions")

# What the peers' scripts make of clickstream.
CLICKSTREAM = (
    *("anonymous_user_id", "url", "time", "browser", "os", "screen_resolution", "host", "path"),
    *("utm_source", "utm_medium", "utm_campaign", "screen_width", "screen_height"),
    *("is_bot", "bot_reason", "session_id"),
)

Digest = tuple[int, int]  # rows, sum of the rows' hashes


def files(tables: Path, name: str) -> list[str]:
    """A table's Parquet files: those that the lake's manifest names, or all of a peer's."""
    manifest = tables / "_clicklake" / "manifest.json"
    if manifest.exists():
        live = json.loads(manifest.read_text())["tables"].get(name, [])
        return [str(tables / file["path"]) for file in live]
    return sorted(map(str, (tables / name).rglob("*.parquet")))


def digests(tables: Path, memory_limit: str = "4GB") -> dict[str, Digest]:
    """The digest of each compared table, with the values of its folders' names.

    Session ids count by what they stand for: the visitor and the start that `sessions` has.
    """
    engine = duckdb.connect(config={"memory_limit": memory_limit})
    engine.execute("SET TimeZone = 'UTC'")
    found = {}
    for name in COMPARED:
        table = TABLES[name]
        made = [c for c in table.columns if name != "clickstream" or c in CLICKSTREAM]
        columns = [*made, *table.partitions]
        values = [f"{_of(column)}" for column in columns]
        source = f"{_scan(tables, name)} AS t"
        if "session_id" in table.columns:
            source += f" JOIN {_scan(tables, 'sessions')} AS s USING (session_id)"
        query = f"SELECT count(*), sum(hash({', '.join(values)})::HUGEINT) FROM {source}"
        rows, total = engine.execute(query).fetchone()
        found[name] = (rows, total or 0)
    return found


def _of(column: str) -> str:
    return "s.anonymous_user_id, s.started_at" if column == "session_id" else f"t.{column}"


def _scan(tables: Path, name: str) -> str:
    schema = [f for f in TABLES[name].schema if name != "clickstream" or f.name in CLICKSTREAM]
    types = ", ".join(f"{part}: INTEGER" for part in TABLES[name].partitions)
    columns = ", ".join(f"{field.name}::{_type(field.type)} AS {field.name}" for field in schema)
    parts = "".join(f", {part}" for part in TABLES[name].partitions)
    hive = f", hive_partitioning = true, hive_types = {{{types}}}" if types else ""
    return f"(SELECT {columns}{parts} FROM read_parquet({files(tables, name)!r}{hive}))"


def _type(type_: object) -> str:
    names = {"string": "VARCHAR", "int64": "BIGINT", "bool": "BOOLEAN"}
    return names.get(str(type_), "TIMESTAMPTZ")


def differences(one: dict[str, Digest], other: dict[str, Digest]) -> list[str]:
    return [name for name in COMPARED if one[name] != other[name]]
