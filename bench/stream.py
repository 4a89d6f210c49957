"""Publish and summarize many events, killed on the way, and check every file: bench/stream.py.

    python bench/stream.py --events 1000000 --kills 20 --kafka

The expected files are counted by DuckDB from the lake's Parquet, apart from the product. With
--kafka a broker is started on loopback and killed once while publishing and once while reading;
a bare confluent-kafka producer and consumer move the same bytes before, for comparison.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "support")]

import duckdb

from kafka_broker import Broker, why_not

SCRIPT = ROOT / "src" / "scripts" / "stream.py"
EVERY = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--kafka", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="clicklake-bench-") as name:
        folder = Path(name)
        lake = folder / "lake"
        make_lake(lake, given.events)
        expected = count_apart(lake)
        through_folder(folder, lake, given, expected)
        if given.kafka:
            if reason := why_not():
                sys.exit(reason)
            through_kafka(folder, lake, given, expected)


def make_lake(lake: Path, events: int) -> None:
    """A synthetic clickstream: 60 days, sessions of five events, a tenth of them with a source."""
    part = lake / "clickstream"
    part.mkdir(parents=True)
    duckdb.sql(f"""
        COPY (
            SELECT 'v' || (hash(n // 5) % {events // 15 + 1}) AS anonymous_user_id,
                   'https://shop.example/products/' || hash(n) % 5000 || '?n=' || n AS url,
                   make_timestamp(1522540800000000 + (hash(n // 5 + 7) % 5184000)::BIGINT * 1000000
                     + (n % 5) * 20000000 + (hash(n) % 1000000)::BIGINT)::TIMESTAMPTZ AS time,
                   'Firefox' AS browser, 'Linux' AS os, '1920x1080' AS screen_resolution,
                   'shop.example' AS host, '/products/' || hash(n) % 5000 AS path,
                   CASE WHEN hash(n) % 10 = 0 THEN 'mail' || hash(n) % 7 END AS utm_source,
                   NULL::VARCHAR AS utm_medium, NULL::VARCHAR AS utm_campaign,
                   1920::BIGINT AS screen_width, 1080::BIGINT AS screen_height,
                   false AS is_bot, NULL::VARCHAR AS bot_reason, 's' || n // 5 AS session_id,
                   year(time) AS year, month(time) AS month
            FROM range({events}) AS numbers(n)
        ) TO '{part}' (FORMAT parquet, PARTITION_BY (year, month))
    """)
    paths = [str(file.relative_to(lake)) for file in part.rglob("*.parquet")]
    files = [{"path": path, "rows": 0, "bytes": 0} for path in paths]
    (lake / "_clicklake").mkdir()
    (lake / "_clicklake" / "manifest.json").write_text(
        json.dumps({"run_id": "bench", "seq": 1, "settings": {}, "tables": {"clickstream": files}})
    )


def count_apart(lake: Path) -> dict[str, dict]:
    """The files that must come out, counted from the lake."""
    rows = duckdb.sql(f"""
        WITH numbered AS (
            SELECT *, row_number() OVER (
                ORDER BY time, anonymous_user_id, url, browser, os, screen_resolution) - 1 AS n
            FROM read_parquet('{lake}/clickstream/*/*/*.parquet'))
        SELECT n // {EVERY} + 1, count(*), epoch_us(min(time)), epoch_us(max(time)),
               count(DISTINCT anonymous_user_id)
        FROM numbered GROUP BY 1""").fetchall()
    return {
        f"{number}{'' if events == EVERY else '.partial'}.json": {
            "min date": text_of(first),
            "max date": text_of(last),
            "unique users": users,
        }
        for number, events, first, last, users in rows
    }


def text_of(microseconds: int) -> str:
    seconds, rest = divmod(microseconds, 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:06d}Z"


def through_folder(folder: Path, lake: Path, given: argparse.Namespace, expected: dict) -> None:
    stream = folder / "stream"
    seconds = timed(["publish", "--lake", lake, "--stream", stream])
    told("folder: publish", given.events, seconds)
    out = folder / "out"
    seconds = timed(["summarize", "--stream", stream, "--out", out])
    told("folder: summarize", given.events, seconds)
    check("folder", out, expected)
    killed = folder / "killed"
    command = ["summarize", "--stream", stream, "--out", killed]
    kills = kill_at_random(command, given.kills, seconds)
    timed(command)
    check(f"folder, killed {kills} times", killed, expected)
    same = tables(out) == tables(killed)
    print(f"tables after the kills: {'the same' if same else 'DIFFERENT'}")


def kill_at_random(arguments: list, kills: int, usual: float) -> int:
    rng = random.Random(1)
    done = 0
    for _ in range(kills):
        process = start(arguments)
        try:
            process.wait(rng.uniform(0.5, 2 * usual / max(kills, 1) + 2))
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            done += 1
    return done


def tables(out: Path) -> list:
    import sqlite3

    connection = sqlite3.connect(out / "statistics.sqlite")
    return [
        sorted(connection.execute(f"SELECT * FROM {name}"))
        for name in ("stream_windows", "stream_tops", "stream_quarantine")
    ]


def through_kafka(folder: Path, lake: Path, given: argparse.Namespace, expected: dict) -> None:
    with Broker(folder / "broker") as broker:
        bare(broker.address, folder / "stream", given.events)
        for name, kills in (("undisturbed", False), ("broker killed twice", True)):
            config = folder / f"{kills}.cfg"
            config.write_text(f"[STREAM]\nSTATE = state-{kills}\n")
            stream = f"kafka://{broker.address}/clicks-{int(kills)}"
            out = folder / f"kafka-{kills}"
            common = ["--config", config, "--stream", stream]
            with restarting(broker, 8 if kills else None):
                seconds = timed(["publish", *common, "--lake", lake])
            told(f"Kafka: publish, {name}", given.events, seconds)
            with restarting(broker, 8 if kills else None):
                seconds = timed(["summarize", *common, "--out", out])
            told(f"Kafka: summarize, {name}", given.events, seconds)
            check(f"Kafka, {name}", out, expected)
            check_topic(broker.address, f"clicks-{int(kills)}", given.events)


class restarting:  # noqa: N801 - reads as a verb in a with statement
    """Kill the broker so many seconds into the block, and start it again; None does neither."""

    def __init__(self, broker: Broker, after: float | None) -> None:
        self.broker = broker
        self.timer = None if after is None else threading.Timer(after, self._restart)

    def _restart(self) -> None:
        self.broker.kill()
        time.sleep(1)
        self.broker.start()

    def __enter__(self) -> None:
        if self.timer:
            self.timer.start()

    def __exit__(self, *_: object) -> None:
        if self.timer:
            self.timer.join()


def bare(address: str, stream: Path, events: int) -> None:
    """Produce the same messages, and consume them, with nothing around the client."""
    from confluent_kafka import Producer

    lines = [line for file in sorted(stream.glob("*.jsonl")) for line in file.open("rb")]
    bodies = [(line[:-1], json.loads(line)["anonymous_user_id"].encode()) for line in lines]
    settings = {"bootstrap.servers": address, "enable.idempotence": True, "linger.ms": 20}
    producer = Producer({**settings, "compression.type": "lz4"})
    started = time.monotonic()
    for body, key in bodies:
        while True:
            try:
                producer.produce("bare", body, key)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()
    told("Kafka: bare producer", events, time.monotonic() - started)
    started = time.monotonic()
    count = sum(1 for _ in consumed(address, "bare"))
    assert count == events, count
    told("Kafka: bare consumer", events, time.monotonic() - started)


def consumed(address: str, topic: str):
    from confluent_kafka import Consumer, KafkaError

    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": f"bare-{random.random()}",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    partitions = set(consumer.list_topics(topic).topics[topic].partitions)
    consumer.subscribe([topic])
    ended: set[int] = set()
    while ended < partitions:
        for message in consumer.consume(10_000, 0.2):
            if message.error() and message.error().code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
            else:
                yield message.value()
    consumer.close()


def check_topic(address: str, topic: str, events: int) -> None:
    numbers = [json.loads(body)["sequence"] for body in consumed(address, topic)]
    lost, doubled = events - len(set(numbers)), len(numbers) - len(set(numbers))
    print(f"topic {topic}: {len(numbers):,} messages, {lost} lost, {doubled} doubled")


def check(name: str, out: Path, expected: dict) -> None:
    found = {file.name: json.loads(file.read_text()) for file in out.glob("*.json")}
    wrong = [key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)]
    print(f"{name}: {len(expected):,} files expected, {len(wrong)} differ")


def timed(arguments: list) -> float:
    started = time.monotonic()
    code = start(arguments).wait()
    assert code == 0, code
    return time.monotonic() - started


def start(arguments: list) -> subprocess.Popen:
    command = [sys.executable, SCRIPT, *arguments]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)


def told(what: str, events: int, seconds: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(f"{what}: {seconds:.1f} s, {events / seconds:,.0f} events/s (peak so far {peak} MiB)")


if __name__ == "__main__":
    main()
