"""Kinesis, against moto over HTTP: what is on the stream, through refusals, lost answers, kills."""

import json
import logging
import random
from collections import defaultdict

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError
from moto.server import ThreadedMotoServer

from clicklake.errors import InputError, LeaseHeldError
from clicklake.lake import open_snapshot
from clicklake.streaming.database import connect
from clicklake.streaming.kinesis import KinesisSink, KinesisSource
from clicklake.streaming.kinesis_requests import rounds
from clicklake.streaming.publisher import publish
from clicklake.streaming.state import State
from clicklake.streaming.statistics import Progress, Statistics
from clicklake.streaming.stream import Outgoing
from clicklake.streaming.summarizer import summarize
from stream_support import TestLake, event, key_of, random_events


@pytest.fixture(autouse=True)
def no_power_cut(monkeypatch):
    """A killed process loses nothing that it wrote, so its tests need not wait for the disk."""
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.fixture(scope="module")
def endpoint():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def kinesis(endpoint):
    client = boto3.client(
        "kinesis",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_stream(StreamName="clicks", ShardCount=3)
    yield client
    client.delete_stream(StreamName="clicks")


@pytest.fixture
def lake(tmp_path):
    return TestLake(tmp_path / "lake")


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    return State(folder)


def run(lake, state, client):
    sink = KinesisSink(client, "clicks", state.folder / "kinesis.json")
    sink.chunk = 40
    return publish(lambda: open_snapshot(str(lake.root)), state, sink, patience=5)


def records(client):
    """{shard: messages in their order}, read without the product's code."""
    found = {}
    for shard in client.list_shards(StreamName="clicks")["Shards"]:
        iterator = client.get_shard_iterator(
            StreamName="clicks", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        messages = []
        while batch := (answer := client.get_records(ShardIterator=iterator))["Records"]:
            messages += [(record["PartitionKey"], json.loads(record["Data"])) for record in batch]
            iterator = answer["NextShardIterator"]
        found[shard["ShardId"]] = messages
    return found


def assert_once_in_order(client, lake):
    of_visitor = defaultdict(list)
    shards = records(client)
    assert len([m for messages in shards.values() for m in messages]) == len(lake.rows)
    assert sum(map(bool, shards.values())) > 1
    for messages in shards.values():
        for key, message in messages:
            assert key == message["anonymous_user_id"]
            of_visitor[key].append(message)
    for messages in of_visitor.values():
        assert [m["sequence"] for m in messages] == sorted(m["sequence"] for m in messages)
        assert [m["time"] for m in messages] == sorted(m["time"] for m in messages)
    keys = {key_of(m) for messages in of_visitor.values() for m in messages}
    assert keys == {key_of(row) for row in lake.rows.values()}


def test_each_event_is_on_its_visitors_shard_once_in_order(lake, state, kinesis):
    for day in (0, 1):
        lake.commit(random_events(150, seed=day, visitors=12, after=24 * day))
        assert run(lake, state, kinesis).events == 150

    assert_once_in_order(kinesis, lake)


class FlakyClient:
    """Refuses records of a request, fails after doing what it was asked, or dies, at random."""

    def __init__(self, client, seed, dies=False):
        self._client, self._rng, self._dies = client, random.Random(seed), dies

    def __getattr__(self, name):
        return getattr(self._client, name)

    def put_records(self, StreamName, Records):  # noqa: N803 - as boto3 names them
        dice = self._rng.random()
        taken = [self._rng.random() < 0.6 or dice > 0.7 for _ in Records]
        chosen = [r for r, ok in zip(Records, taken, strict=True) if ok]
        answers = iter(())
        if chosen:
            put = self._client.put_records(StreamName=StreamName, Records=chosen)
            answers = iter(put["Records"])
        if 0.7 < dice < 0.8:
            raise ReadTimeoutError(endpoint_url="lost answer")
        if self._dies and dice < 0.03:
            raise KeyboardInterrupt
        refusal = {"ErrorCode": "ProvisionedThroughputExceededException"}
        return {"Records": [next(answers) if ok else refusal for ok in taken]}


@pytest.fixture
def no_sleep(monkeypatch):
    monkeypatch.setattr("clicklake.streaming.kinesis.time.sleep", lambda _: None)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_refused_records_and_lost_answers_lose_and_double_nothing(
    lake, state, kinesis, seed, no_sleep
):
    lake.commit(random_events(300, seed=seed, visitors=12))

    run(lake, state, FlakyClient(kinesis, seed))

    assert_once_in_order(kinesis, lake)


@pytest.mark.slow
def test_killed_again_and_again_within_a_chunk_it_goes_on_where_it_stopped(
    lake, state, kinesis, no_sleep
):
    lake.commit(random_events(400, seed=4, visitors=12))
    reached = []
    for seed in range(100):
        try:
            run(lake, state, FlakyClient(kinesis, seed, dies=True))
            break
        except KeyboardInterrupt:
            checkpoint = json.loads((state.folder / "kinesis.json").read_text())
            reached.append(checkpoint["sequence"])

    assert len({sequence for sequence in reached if 0 < sequence < 400}) > 3
    assert_once_in_order(kinesis, lake)


@pytest.mark.slow
def test_a_doubled_record_is_counted_once(lake, state, kinesis, tmp_path):
    lake.commit(random_events(100))
    run(lake, state, kinesis)
    doubled = [m for messages in records(kinesis).values() for m in messages][10]
    kinesis.put_record(
        StreamName="clicks", PartitionKey=doubled[0], Data=json.dumps(doubled[1]).encode()
    )

    assert read(kinesis, tmp_path).events == 100


@pytest.mark.slow
def test_the_reader_has_the_publishers_order_and_quarantines_by_shard_and_number(
    lake, state, kinesis, tmp_path
):
    lake.commit(random_events(230, visitors=12))
    run(lake, state, kinesis)
    bad = kinesis.put_record(StreamName="clicks", PartitionKey="x", Data=b"\xff{")

    summary = read(kinesis, tmp_path)

    assert (summary.events, summary.files, summary.quarantined) == (230, 2, 1)
    rows = database(tmp_path).fetch(
        'SELECT topic, "partition", "offset", reason, raw FROM stream_quarantine'
    )
    assert rows == [("clicks", bad["ShardId"], bad["SequenceNumber"], "invalid_utf8", "\\xff{")]
    ordered = sorted(lake.rows.values(), key=lambda row: row["time"])
    for number in (1, 2):
        part = ordered[100 * (number - 1) : 100 * number]
        file = json.loads((tmp_path / f"{number}.json").read_text())
        assert file["unique users"] == len({row["anonymous_user_id"] for row in part})


@pytest.mark.slow
def test_reading_goes_on_after_a_shard_was_split(lake, state, kinesis, tmp_path):
    lake.commit(random_events(60, visitors=12))
    run(lake, state, kinesis)
    assert read(kinesis, tmp_path).events == 60
    shard = kinesis.list_shards(StreamName="clicks")["Shards"][0]
    hashes = shard["HashKeyRange"]
    middle = (int(hashes["StartingHashKey"]) + int(hashes["EndingHashKey"])) // 2
    kinesis.split_shard(
        StreamName="clicks", ShardToSplit=shard["ShardId"], NewStartingHashKey=str(middle)
    )
    lake.commit([event(f"w{n}", at=1000 + n) for n in range(40)])
    run(lake, state, kinesis)

    assert read(kinesis, tmp_path).events == 40


def test_a_stream_that_another_publisher_wrote_is_refused(lake, state, kinesis, tmp_path):
    lake.commit(random_events(10))
    run(lake, state, kinesis)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    with pytest.raises(InputError, match="another publisher"):
        run(lake, State(elsewhere), kinesis)


@pytest.mark.slow
def test_what_another_publisher_sent_after_the_checkpoint_is_not_taken_for_an_own_event(
    lake, state, kinesis, tmp_path
):
    other = TestLake(tmp_path / "other_lake")
    other.commit([event("theirs", at=n) for n in range(3)])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    KinesisSink(kinesis, "clicks", state.folder / "kinesis.json").position()
    run(other, State(elsewhere), kinesis)
    lake.commit([event("ours", at=n) for n in range(10)])

    with pytest.raises(LeaseHeldError, match="another publisher"):
        run(lake, state, kinesis)


def test_no_such_stream_is_an_error_that_says_so(lake, state, kinesis):
    lake.commit(random_events(1))
    sink = KinesisSink(kinesis, "absent", state.folder / "kinesis.json")
    with pytest.raises(InputError, match="no Kinesis stream absent"):
        publish(lambda: open_snapshot(str(lake.root)), state, sink)


def test_a_round_has_one_event_of_a_visitor():
    events = [Outgoing(n, key, b"") for n, key in enumerate("aabcab")]

    assert [[e.sequence for e in r] for r in rounds(events)] == [[0, 2, 3], [1, 5], [4]]


def database(folder):
    return connect(f"sqlite:///{folder / 'statistics.sqlite'}")


def read(client, folder):
    progress = Progress("clicks", 100, 60)
    source = KinesisSource(client, "clicks")
    return summarize(source, Statistics(database(folder)), folder, progress)
