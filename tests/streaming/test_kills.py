"""Killed with -9 on the way, each time after more was stored: the result is the same bytes."""

import json
import logging
import subprocess
from collections import defaultdict

import boto3
import pytest
from moto.server import ThreadedMotoServer

import postgres
from clicklake.config import ROOT
from clicklake.errors import ClicklakeError
from clicklake.streaming.database import connect
from clicklake.streaming.statistics import read_progress
from kafka_broker import why_not
from stream_kills import PUBLISH, SUMMARIZE, command, killed_on_the_way
from stream_support import TestLake, key_of, random_events, read_folder

pytestmark = pytest.mark.slow
needs_kafka = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

KILLS = 6
EVENTS = 12_000


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    made = TestLake(tmp_path_factory.mktemp("lake"))
    made.commit(random_events(EVENTS, seed=5, hours=30))
    return made


def unmarked(messages):
    return [{k: v for k, v in m.items() if k != "publisher"} for m in messages]


def test_publish_to_a_folder(lake, tmp_path):
    whole, killed = (
        command(PUBLISH, lake.root, tmp_path / n / "_publisher", "folder") for n in "wk"
    )
    subprocess.run(whole, check=True)

    def segments():
        return 100 * len(list((tmp_path / "k").glob("0*.jsonl")))

    killed_on_the_way(killed, segments, EVENTS, KILLS)
    subprocess.run(killed, check=True)

    found = read_folder(tmp_path / "k")
    assert unmarked(found) == unmarked(read_folder(tmp_path / "w"))
    assert len({message["publisher"] for message in found}) == 1
    assert_once_in_order(found, lake)


def assert_once_in_order(messages, lake):
    """The messages are all of the lake's, those of each visitor in the order of time."""
    assert sorted(m["sequence"] for m in messages) == list(range(1, len(lake.rows) + 1))
    assert {key_of(m) for m in messages} == {key_of(row) for row in lake.rows.values()}
    times = defaultdict(list)
    for message in messages:
        times[message["anonymous_user_id"]].append((message["time"], message["sequence"]))
    assert all(of_visitor == sorted(of_visitor) for of_visitor in times.values())


def test_publish_to_kinesis(tmp_path, monkeypatch):
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*server.get_host_and_port()))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("kinesis")
    client.create_stream(StreamName="killed", ShardCount=2)
    lake = TestLake(tmp_path / "lake")
    lake.commit(random_events(2000, visitors=50))
    checkpoint = tmp_path / "state" / "kinesis.json"

    def noted():
        return json.loads(checkpoint.read_text())["sequence"] if checkpoint.exists() else 0

    publishing = command(PUBLISH, lake.root, tmp_path / "state", "kinesis", "killed")
    killed_on_the_way(publishing, noted, 2000, KILLS)
    subprocess.run(publishing, check=True)

    messages = kinesis_messages(client, "killed")
    server.stop()
    assert_once_in_order(messages, lake)


def kinesis_messages(client, stream):
    found = []
    for shard in client.list_shards(StreamName=stream)["Shards"]:
        iterator = client.get_shard_iterator(
            StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while batch := (answer := client.get_records(ShardIterator=iterator))["Records"]:
            found += [json.loads(record["Data"]) for record in batch]
            iterator = answer["NextShardIterator"]
    return found


@needs_kafka
def test_publish_to_kafka(lake, tmp_path, broker):
    publishing = command(PUBLISH, lake.root, tmp_path / "state", "kafka", broker.address, "killed")
    broker.create_topic("killed")
    killed_on_the_way(publishing, broker.counter("killed"), EVENTS, KILLS)
    subprocess.run(publishing, check=True)

    messages = broker.messages("killed")
    assert_once_in_order([json.loads(m.value()) for m in messages], lake)
    partitions = defaultdict(list)
    for m in messages:
        partitions[m.partition()].append(json.loads(m.value())["sequence"])
    assert all(numbers == sorted(numbers) for numbers in partitions.values())
    assert len(partitions) == 3


@pytest.fixture(params=["sqlite", "duckdb", "postgresql"])
def database_url(request, tmp_path):
    if request.param != "postgresql":
        yield f"{request.param}:///{tmp_path}/killed.{request.param}"
        return
    with pytest.MonkeyPatch.context() as patch, postgres.server() as url:
        patch.setenv("PGPASSWORD", postgres.PASSWORD)
        yield url


def test_summarize(lake, tmp_path, database_url):
    stream, whole, killed = (tmp_path / name for name in ("stream", "whole", "killed"))
    subprocess.run(command(PUBLISH, lake.root, stream / "_publisher", "folder"), check=True)
    usual = ["--stream", stream, "--every", 100]
    subprocess.run(command(SUMMARIZE, *usual, "--out", whole), check=True, cwd=ROOT / "src")
    disturbed = command(SUMMARIZE, *usual, "--out", killed, "--database", database_url)

    def counted():
        """Events by the database's last commit, but for DuckDB, which lets one process in."""
        if database_url.startswith("duckdb"):
            return 100 * sum(name.removesuffix(".json").isdigit() for name in files(killed))
        return events_in(database_url)

    killed_on_the_way(disturbed, counted, EVENTS, KILLS, ROOT / "src")
    assert events_in(database_url) > 0
    subprocess.run(disturbed, check=True, cwd=ROOT / "src")

    assert files(killed) == files(whole)
    assert len(files(whole)) == EVENTS // 100
    assert tables(database_url) == tables(f"sqlite:///{whole}/statistics.sqlite")


def files(folder):
    return {file.name: file.read_bytes() for file in folder.glob("*.json")}


def events_in(url):
    try:
        database = connect(url, read_only=True)
    except ClicklakeError:
        return 0
    try:
        progress = read_progress(database)
        return progress.events if progress else 0
    except ClicklakeError:
        return 0
    finally:
        database.close()


def tables(url):
    database = connect(url, read_only=True)
    try:
        return {
            name: sorted(
                tuple(int(v) if isinstance(v, int) else str(v) for v in row)
                for row in database.fetch(f"SELECT * FROM {name}")
            )
            for name in ("stream_windows", "stream_tops", "stream_open_windows")
        }
    finally:
        database.close()
