"""Publication of many rows: beside psql's COPY, with a reader at it, killed, in how much memory.

    python bench/publish.py [--rows 10000000] [--sqlite-rows 1000000] [--repeat 3] [--kills 50]

1. PostgreSQL: seconds to publish, and of psql's COPY of the same rows from a CSV file into a table
   of the same columns, both without indexes and with the same ones; one server, by turns.
2. PostgreSQL, DuckDB, SQLite: a run replaces another one while a second process reads all rows
   over and over, and holds a transaction open in between. Every look must find one run, whole.
3. The same with publishers killed (SIGKILL) at random moments.

Each publication is a process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "support")]

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import postgres
from clicklake.config import databases
from clicklake.lake import Manifest, Snapshot
from clicklake.publish import csv, database
from clicklake.publish.feeds import Feed, Publication
from clicklake.publish.tables import lake_batches
from clicklake.schemas import USER_PAGE_VIEWS
from clicklake.storage import open_storage
from publish_support import Destination, environment

TABLE = USER_PAGE_VIEWS
INDEXES = ("user_id", "email", "url")
GROUP = 1_000_000
PARTS = ("copy", "reader", "kill")
LOOK = "select min(count), max(count), count(*) from user_page_views"


class Lake:
    """Rows of user_page_views in Parquet files of a million each."""

    def __init__(self, folder: Path, rows: int) -> None:
        self.paths = [folder / f"{at}.parquet" for at in range(0, rows, GROUP)]
        self.count = rows

    def files(self, table: str) -> list[str]:
        return [str(path) for path in self.paths]

    def write(self) -> None:
        rng = np.random.default_rng(7)
        for number, path in enumerate(self.paths):
            rows = min(GROUP, self.count - number * GROUP)
            users = np.sort(rng.integers(number * GROUP // 10, (number + 1) * GROUP // 10, rows))
            pages = rng.zipf(1.3, rows) % 50_000
            times = rng.integers(1_500_000_000_000_000, 1_530_000_000_000_000, rows)
            columns = [
                pa.array(users),
                pa.array([f"user{user}@example.com" for user in users]),
                pa.array([f"/products/category-{page % 37}/{page}/" for page in pages]),
                pa.array(rng.integers(1, 50, rows)),
                pa.array(times).cast(TABLE.schema.field("last_viewed").type),
            ]
            pq.write_table(pa.table(columns, schema=TABLE.schema), path)


def publication(lake: Lake, run: int, indexes: tuple[str, ...]) -> Publication:
    """The lake's rows, each with the number of the run as its count."""

    def read() -> Iterator[pa.RecordBatch]:
        at = TABLE.schema.get_field_index("count")
        for batch in lake_batches(lake, TABLE):
            of_run = pa.array(np.full(batch.num_rows, run))
            yield batch.set_column(at, TABLE.schema.field(at), of_run)

    feed = Feed(TABLE.name, TABLE.meaning, TABLE.schema, indexes, read, lake.count)
    state = Snapshot(open_storage(str(lake.paths[0].parent)), Manifest(f"run-{run}", run))
    return Publication(state, datetime.now(UTC), (feed,))


def child_publishes(folder: str, rows: str, url: str, run: str, indexed: str) -> None:
    made = publication(Lake(Path(folder), int(rows)), int(run), INDEXES if indexed else ())
    began = time.monotonic()
    database.publish(databases.parse(url), "public", made)
    seconds = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak}))


def child_reads(kind: str, url: str) -> None:
    """Look at all rows, in transactions that stay open for a while, until standard input ends."""
    destination = Destination(kind, url)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.is_set():
        with destination.reader() as query:
            for _ in range(2):
                print(json.dumps(query(LOOK)[0]), flush=True)
                ended.wait(0.2)


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = 0

    def lake(self, rows: int) -> Lake:
        folder = self.folder / str(rows)
        lake = Lake(folder, rows)
        if not folder.exists():
            folder.mkdir()
            lake.write()
        return lake

    def start(self, lake: Lake, url: str, indexed: bool = True) -> subprocess.Popen:
        self.run += 1
        arguments = (lake.paths[0].parent, lake.count, url, self.run, "indexed" if indexed else "")
        command = [sys.executable, __file__, "publish", *map(str, arguments)]
        return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE)

    def publish(self, lake: Lake, url: str, indexed: bool = True) -> dict[str, float]:
        """Seconds and peak of memory of a publication."""
        with self.start(lake, url, indexed) as process:
            return json.loads(process.communicate()[0])

    def beside_copy(self, rows: int, repeat: int, url: str) -> None:
        lake = self.lake(rows)
        file = self.folder / "rows.csv"
        with file.open("wb") as stream:
            for batch in lake_batches(lake, TABLE):
                for _, piece in csv.pieces([csv.lines(batch, False)], 0, 0):
                    stream.write(piece)
        file.chmod(0o644)
        times: dict[str, list[float]] = {}
        for _ in range(repeat):
            for indexed in (False, True):
                how = "with indexes" if indexed else "no indexes"
                times.setdefault(f"COPY, {how}", []).append(copy(url, file, indexed))
                seconds = self.publish(lake, url, indexed)["seconds"]
                times.setdefault(f"publish, {how}", []).append(seconds)
        file.unlink()
        median = {label: statistics.median(each) for label, each in times.items()}
        for label, each in times.items():
            print(f"  {label:<22}{median[label]:6.1f} s  of", *(f"{t:.1f}" for t in each))
        for how in ("no indexes", "with indexes"):
            ratio = median[f"publish, {how}"] / median[f"COPY, {how}"]
            print(f"  publish / COPY, both {how}: {ratio:.2f}")
        ratio = median["publish, with indexes"] / median["COPY, no indexes"]
        print(f"  publish with indexes / COPY without: {ratio:.2f}")

    def with_a_reader(self, rows: int, kind: str, url: str) -> None:
        lake = self.lake(rows)
        first = self.publish(lake, url)
        with Reader(kind, url) as reader:
            second = self.publish(lake, url)
            reader.wait_for(self.run)
        odd = [look for look in reader.looks if not is_whole(look, lake.count)]
        sizes = [path.stat().st_size for path in self.folder.glob(f"{kind}.*")]
        print(
            f"  {kind:<11}{lake.count:>11,} rows: {first['seconds']:.1f} s, over an old run with a "
            f"reader {second['seconds']:.1f} s, peak {second['peak_mb']} MB, "
            f"file {sum(sizes) >> 20} MB; {len(reader.looks)} looks, {len(odd)} mixed or empty",
            flush=True,
        )

    def killed(self, kills: int, rows: int, kind: str, url: str) -> None:
        lake = self.lake(rows)
        began = time.monotonic()
        self.publish(lake, url)
        whole = time.monotonic() - began
        moments = random.Random(7)
        unfinished = 0
        with Reader(kind, url) as reader:
            for _ in range(kills):
                with self.start(lake, url) as process:
                    time.sleep(moments.uniform(0.3, 1.0) * whole)
                    process.kill()
                    unfinished += not process.stdout.read()
                self.publish(lake, url)
            reader.wait_for(self.run)
        odd = [look for look in reader.looks if not is_whole(look, lake.count)]
        print(
            f"  {kind:<11}{unfinished} of {kills} died before their end; "
            f"{len(reader.looks)} looks, {len(odd)} mixed or empty",
            flush=True,
        )


class Reader:
    """`child_reads` in a process; `looks` is what it found."""

    def __init__(self, kind: str, url: str) -> None:
        self.looks: list[list[int]] = []
        self._process = subprocess.Popen(
            [sys.executable, __file__, "read", kind, url],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._collector = threading.Thread(target=self._collect)

    def __enter__(self) -> Reader:
        self.looks.append(json.loads(self._process.stdout.readline()))
        self._collector.start()
        return self

    def _collect(self) -> None:
        self.looks.extend(map(json.loads, self._process.stdout))

    def wait_for(self, run: int) -> None:
        deadline = time.monotonic() + 120
        while self.looks[-1][0] != run and time.monotonic() < deadline:
            time.sleep(0.1)
        assert self.looks[-1][0] == run, "the reader never saw the last run"

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._collector.join()
        self._process.wait()


def is_whole(look: list[int], rows: int) -> bool:
    least, most, count = look
    return least == most and count == rows


def copy(url: str, file: Path, indexed: bool) -> float:
    """Seconds that psql takes to load the rows, with indexes if asked, and to analyze them."""
    columns = (
        "user_id bigint not null, email text, url text not null, count bigint not null, "
        "last_viewed timestamptz not null"
    )
    psql(url, "set client_min_messages = error", "drop table if exists plain")
    psql(url, f"create table plain ({columns})")
    indexes = [f"create index on plain ({column})" for column in INDEXES if indexed]
    memory = "set maintenance_work_mem = '256MB'"  # as the publication has
    began = time.monotonic()
    psql(url, memory, f"\\copy plain from '{file}' csv", *indexes, "analyze plain")
    return time.monotonic() - began


def psql(url: str, *statements: str) -> None:
    commands = [part for statement in statements for part in ("-c", statement)]
    program = postgres.programs() / "psql"
    subprocess.run([program, "-q", "-v", "ON_ERROR_STOP=1", *commands, url], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--sqlite-rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--kill-rows", type=int, default=300_000)
    given = parser.parse_args()
    os.environ["PGPASSWORD"] = postgres.PASSWORD
    with tempfile.TemporaryDirectory(prefix="clicklake-bench-") as folder, postgres.server() as url:
        bench = Bench(Path(folder))
        urls = {kind: f"{kind}:///{folder}/{kind}.db" for kind in ("duckdb", "sqlite")}
        urls["postgresql"] = url
        if "copy" in given.parts:
            print(f"PostgreSQL, {given.rows:,} rows", flush=True)
            bench.beside_copy(given.rows, given.repeat, url)
        if "reader" in given.parts:
            print("A run replaces another one under a reader", flush=True)
            for kind, each in urls.items():
                rows = given.sqlite_rows if kind == "sqlite" else given.rows
                bench.with_a_reader(rows, kind, each)
        if "kill" in given.parts:
            print(f"Publishers of {given.kill_rows:,} rows killed", flush=True)
            for kind, each in urls.items():
                bench.killed(given.kills, given.kill_rows, kind, each)


if __name__ == "__main__":
    if sys.argv[1:2] == ["publish"]:
        child_publishes(*sys.argv[2:])
    elif sys.argv[1:2] == ["read"]:
        child_reads(*sys.argv[2:])
    else:
        main()
