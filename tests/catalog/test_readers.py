"""Engines that read Iceberg see one run, while runs replace the files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from pyiceberg.catalog import load_catalog
from pyspark.errors.exceptions.connect import SparkRuntimeException

from clicklake import catalog, config
from clicklake.engines import Engine
from clicklake.lake import Snapshot
from clicklake.lake.manifest import Past
from fake_lake import NOON, write_lake

RUNS = 6
Look = Callable[[], list[int]]


def _catalog(lake: Path) -> object:
    file = lake / "_clicklake" / "catalog" / "catalog.db"
    return load_catalog("clicklake", type="sql", uri=f"sqlite:///{file}")


def _run(lake: Path, number: int) -> None:
    """A run whose `user_page_views` are ten rows with its number, in the place of the last ones.

    Earlier states are kept, as `RETAIN_HOURS` says: their files stay where the catalog names them.
    """
    rows = [{"user_id": user, "count": number} for user in range(10)]
    now = write_lake(lake, number, user_page_views=rows)
    history = tuple(Past(seq, f"run-{seq}", NOON, NOON) for seq in range(1, number))
    kept = Snapshot(now.storage, replace(now.manifest, history=history))
    catalog.publish(kept, config.Config())
    for old in (lake / "user_page_views").glob("*.parquet"):
        if old.name != f"part-{number}.parquet":
            old.unlink()  # what a commit takes from the bare folder


def _by_pyiceberg(lake: Path) -> list[int]:
    return (
        _catalog(lake)
        .load_table("clicklake.user_page_views")
        .scan()
        .to_arrow()["count"]
        .to_pylist()
    )


def _by_polars(lake: Path) -> list[int]:
    table = _catalog(lake).load_table("clicklake.user_page_views")
    return pl.scan_iceberg(table).collect()["count"].to_list()


def _watched(lake: Path, look: Look) -> list[list[int]]:
    """What a reader sees, over and over, while the runs go on."""
    seen: list[list[int]] = []
    _run(lake, 1)
    done = threading.Event()

    def runs() -> None:
        for number in range(2, RUNS + 1):
            _run(lake, number)
        done.set()

    writer = threading.Thread(target=runs)
    writer.start()
    while not done.is_set():
        seen.append(look())
    writer.join()
    return [*seen, look()]


def _is_one_run(seen: list[int]) -> bool:
    return len(seen) == 10 and len(set(seen)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("look", [_by_pyiceberg, _by_polars])
def test_a_reader_sees_one_run(tmp_path: Path, look: Callable[[Path], list[int]]) -> None:
    seen = _watched(tmp_path / "lake", lambda: look(tmp_path / "lake"))
    assert [each for each in seen if not _is_one_run(each)] == []
    assert len({each[0] for each in seen}) > 2
    assert seen[-1][0] == RUNS


@pytest.mark.slow
def test_sail_sees_one_run(sail: Engine, tmp_path: Path) -> None:
    location = str(tmp_path / "lake" / "_clicklake" / "catalog" / "user_page_views")

    def look() -> list[int]:
        """It takes the newest metadata by a listing, and may find a file that is being written."""
        while True:
            with suppress(SparkRuntimeException):
                rows = sail.session.read.format("iceberg").load(location).select("count").collect()
                return [row["count"] for row in rows]

    seen = _watched(tmp_path / "lake", look)
    assert [each for each in seen if not _is_one_run(each)] == []
    assert seen[-1][0] == RUNS


ICEBERG = "org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.11.0,org.xerial:sqlite-jdbc:3.50.3.0"

# In a process of its own: what starts a JVM first decides what it can load.
LOOK = """
import json, pathlib, sys
from pyspark.sql import SparkSession

lake, packages = sys.argv[1:]
name = "spark.sql.catalog.clicklake"
settings = {
    "spark.jars.packages": packages,
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    name: "org.apache.iceberg.spark.SparkCatalog",
    f"{name}.type": "jdbc",
    f"{name}.uri": f"jdbc:sqlite:{lake}/_clicklake/catalog/catalog.db",
    f"{name}.warehouse": f"file://{lake}/_clicklake/catalog",
    f"{name}.jdbc.schema-version": "V1",
    f"{name}.cache-enabled": "false",
}
builder = SparkSession.builder.master("local[1]")
for key, value in settings.items():
    builder = builder.config(key, value)
session = builder.getOrCreate()
table = "clicklake.clicklake.user_page_views"
is_last = False
while not is_last:
    is_last = pathlib.Path(lake, "stop").exists()
    rows = session.sql(f"select count from {table}").collect()
    print("seen", json.dumps([row["count"] for row in rows]), flush=True)
print("snapshots", session.table(f"{table}.snapshots").count(), flush=True)
session.stop()
"""


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("mvn") or os.environ.get("CI")), reason="fetches jars")
def test_spark_sees_one_run(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    _run(lake, 1)
    command = [sys.executable, "-c", LOOK, str(lake), ICEBERG]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as reader:
        first = reader.stdout.readline()
        for number in range(2, RUNS + 1):
            _run(lake, number)
        (lake / "stop").touch()
        said, wrong = reader.communicate(timeout=120)
    lines = [first, *said.splitlines()]
    seen = [json.loads(line.removeprefix("seen ")) for line in lines if line.startswith("seen ")]
    assert seen, wrong[-2000:]
    assert [each for each in seen if not _is_one_run(each)] == []
    assert seen[-1][0] == RUNS
    assert lines[-1] == f"snapshots {RUNS}"
