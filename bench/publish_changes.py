"""Publication of a run that changed little, beside that of all rows, in processor seconds.

    python bench/publish_changes.py LAKE [--repeat 3]

Publishes the state before a lake's newest run, then the newest, to DuckDB, SQLite, PostgreSQL and
CSV, each empty at first. The seconds are those of the publisher and of PostgreSQL's processes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "support")]

import psutil

import postgres
from clicklake import lake
from clicklake.config import Config, Csv, Database, DataLake
from clicklake.lake.metrics import committed
from clicklake.publish import publish
from clicklake.storage import open_storage

KINDS = ("duckdb", "sqlite", "postgresql", "csv")


def processor_seconds(with_server: bool) -> float:
    used = time.process_time()
    for process in psutil.process_iter(["name"]) if with_server else ():
        if process.info["name"] == "postgres":
            used += sum(process.cpu_times()[:4])  # its ended children's, too
    return used


def measured(kind: str, place: str) -> list[float]:
    """Seconds to publish the state before, and then the newest."""
    storage = open_storage(place)
    newest = lake.snapshot(storage)
    before = lake.snapshot(storage, newest.manifest.history[-1].run_id)
    seconds = []
    is_server = kind == "postgresql"
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres.server() if is_server else nullcontext(f"{kind}:///{folder}/it.db") as url,
    ):
        config = Config(
            datalake=DataLake(output_data=place),
            database=Database("none" if kind == "csv" else url),
            csv=Csv(kind == "csv", folder),
        )
        for state in (before, newest):
            runs = [run for run in committed(storage) if run.seq <= state.seq]
            start = processor_seconds(is_server)
            report = publish(state, config, runs)
            time.sleep(0.5 * is_server)  # until its process has ended
            seconds.append(processor_seconds(is_server) - start)
    print(f"  {kind}: {seconds}, sent {report.get('database', {}).get('sent')}", flush=True)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("lake")
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    os.environ["PGPASSWORD"] = postgres.PASSWORD
    for kind in KINDS:
        rounds = [measured(kind, str(Path(given.lake).resolve())) for _ in range(given.repeat)]
        first, then = (statistics.median(each) for each in zip(*rounds, strict=True))
        print(f"{kind}: first {first:.2f} s, then {then:.2f} s, {then / first:.2f}")


if __name__ == "__main__":
    main()
