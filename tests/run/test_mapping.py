"""Logs in other people's shapes through the whole job, against the oracle and the usual shape."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

import hostile
import lakes
import oracle
import respelt
from against_oracle import check
from clicklake.engines import Engine

MAPPING = {
    "user_updates": {
        "header": "yes",
        "delimiter": ";",
        "quote": "'",
        "time_format": "unix_us",
        "updated_at": "changed",
        "user_id": "uid",
    },
    "page_views": {
        "url": "context.page.url",
        "ts": "event.at",
        "user_id": "context.user",
        "environment": "env",
        "zone": "Europe/Berlin",
    },
    "clickstream": {
        "format": "json",
        "time_format": "unix_ms",
        "anonymous_user_id": "client.id",
        "url": "page",
        "time": "t",
        "browser": "client.agent",
        "screen_resolution": "",
    },
}
NAMES = {"user_updates": "updated_at", "page_views": "ts", "clickstream": "time"}


def _files(mapping: dict[str, dict[str, str]]) -> hostile.Files:
    """The same rows, good and bad, in a shape."""
    rng = Random(3)
    files: hostile.Files = {}
    for source, column in NAMES.items():
        records = []
        for number in range(300):
            micros = 1_509_237_000_000_000 + rng.randrange(2000) * 60_000_000
            usual = "unix_s" if source == "clickstream" else "iso"
            time = respelt.time(micros, mapping.get(source, {}), usual)
            records.append({
                column: time if number % 9 else "never",
                "user_id": str(rng.randrange(9)) if number % 11 else "x",
                "anonymous_user_id": rng.choice(("v1", "v2", "")),
                "url": rng.choice(("https://h/a?utm_source=x,y", "/b;'c'", '/"')),
                "email": rng.choice(("a@b", "c@d", "none")),
                "name": rng.choice(("Ann", "O'Neil; Zo\u00eb", None)),
                "environment": rng.choice(("production", "production", "staging")),
                "browser": rng.choice(("Firefox", "Googlebot", None)),
                "os": "Linux",
            })  # fmt: skip
        files[source] = {"f": respelt.written(source, records, mapping.get(source, {}))}
    return files


def test_other_shapes_on_sail(sail: Engine, tmp_path: Path) -> None:
    check(sail, tmp_path, _files(MAPPING), mapping=MAPPING)


@pytest.mark.spark
def test_other_shapes_on_spark(spark: Engine, tmp_path: Path) -> None:
    check(spark, tmp_path, _files(MAPPING), mapping=MAPPING)


def test_the_lake_is_that_of_the_usual_shapes(sail: Engine, tmp_path: Path) -> None:
    found = []
    for number, mapping in enumerate(({}, MAPPING)):
        root = tmp_path / str(number)
        hostile.write(_files(mapping), root / "in")
        metrics = lakes.run(sail, root / "in", root / "lake", hostile.AS_OF, mapping=mapping)
        found.append((lakes.read(root / "lake"), metrics["books"], metrics["reasons"]))
    usual, other = found
    assert usual == other
    assert all(usual[0][table] for table in oracle.ROWS)
    assert {"invalid_time", "invalid_email"} <= usual[2]["user_updates"].keys()
