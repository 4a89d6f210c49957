"""Kafka, against a real broker: what is on the topic and what is counted, through every failure."""

import json
import random
import subprocess
import sys
import threading
import time
from collections import defaultdict
from itertools import count

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from clicklake.config import ROOT
from clicklake.errors import AccessError, InputError, LeaseHeldError
from clicklake.lake import open_snapshot
from clicklake.streaming.database import connect
from clicklake.streaming.folder import FolderSink, FolderSource
from clicklake.streaming.kafka import KafkaSink, KafkaSource
from clicklake.streaming.marks import Mark
from clicklake.streaming.messages import event_id
from clicklake.streaming.publisher import publish
from clicklake.streaming.state import State
from clicklake.streaming.statistics import Progress, Statistics
from clicklake.streaming.stream import Outgoing
from clicklake.streaming.summarizer import summarize
from kafka_broker import why_not
from stream_support import TestLake, key_of, random_events, time_text

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]


@pytest.fixture
def topic(request):
    return f"clicks-{abs(hash(request.node.name))}"


@pytest.fixture
def lake(tmp_path):
    return TestLake(tmp_path / "lake")


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    return State(folder)


def run(lake, state, broker, topic, chunk=200):
    sink = KafkaSink(broker.address, topic, "")
    sink.chunk = chunk
    return publish(lambda: open_snapshot(str(lake.root)), state, sink)


def read(broker, topic, folder):
    folder.mkdir(exist_ok=True)
    source = KafkaSource(broker.address, topic, "")
    try:
        return _summarize(source, folder)
    finally:
        source.close()


def _summarize(source, folder):
    database = connect(f"sqlite:///{folder / 'statistics.sqlite'}")
    try:
        return summarize(source, Statistics(database), folder, Progress("clicks", 100, 60))
    finally:
        database.close()


def files(folder):
    return {file.name: file.read_bytes() for file in folder.glob("*.json")}


def committed(broker, topic):
    """{partition: keys and messages in their order}, read without the product's code."""
    found = defaultdict(list)
    for message in records(broker, topic):
        found[message.partition()].append((message.key().decode(), message.value()))
    return found


def headers_of(broker, topic):
    """[(message, its headers, its timestamp in seconds)]"""
    return [
        (json.loads(m.value()), dict(m.headers() or ()), m.timestamp()[1] / 1000)
        for m in records(broker, topic)
    ]


def records(broker, topic):
    consumer = Consumer(
        {
            "bootstrap.servers": broker.address,
            "group.id": f"check-{random.random()}",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    partitions = set(consumer.list_topics(topic).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    found = []
    ended = set()
    while ended < partitions:
        for message in consumer.consume(1000, 1):
            if message.error() and message.error().code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
            else:
                found.append(message)
    consumer.close()
    return found


def assert_once_in_order(broker, topic, lake):
    partitions = committed(broker, topic)
    messages = [(key, json.loads(m)) for part in partitions.values() for key, m in part]
    assert sorted(m["sequence"] for _, m in messages) == list(range(1, len(lake.rows) + 1))
    assert {key_of(m) for _, m in messages} == {key_of(row) for row in lake.rows.values()}
    assert all(key == m["anonymous_user_id"] for key, m in messages)
    for part in partitions.values():
        numbers = [json.loads(m)["sequence"] for _, m in part]
        assert numbers == sorted(numbers)
    assert len(partitions) == 3


def test_each_event_is_on_the_topic_once_over_publications(lake, state, broker, topic):
    for day in range(3):
        lake.commit(random_events(500, seed=day, after=24 * day))
        assert run(lake, state, broker, topic).events == 500
    assert run(lake, state, broker, topic).events == 0

    assert_once_in_order(broker, topic, lake)


def test_three_partitions_give_the_files_of_one_folder(lake, state, broker, topic, tmp_path):
    lake.commit(random_events(2000, hours=40))
    run(lake, state, broker, topic)
    folder = tmp_path / "folder"
    (folder / "_publisher").mkdir(parents=True)
    publish(lambda: open_snapshot(str(lake.root)), State(folder / "_publisher"), FolderSink(folder))
    (tmp_path / "from_folder").mkdir()
    _summarize(FolderSource(folder), tmp_path / "from_folder")

    assert read(broker, topic, tmp_path / "from_kafka").events == 2000
    assert files(tmp_path / "from_kafka") == files(tmp_path / "from_folder")
    assert len(files(tmp_path / "from_kafka")) == 20


def test_partitions_that_run_ahead_are_held_and_nothing_is_lost(
    lake, state, broker, topic, tmp_path, monkeypatch
):
    lake.commit(random_events(5000, hours=40))
    run(lake, state, broker, topic)
    held = []
    hold = KafkaSource.hold

    def noting(source, partitions):
        held.append(len(partitions))
        hold(source, partitions)

    monkeypatch.setattr(KafkaSource, "hold", noting)
    monkeypatch.setattr(KafkaSource, "horizon", 2 * 200)
    monkeypatch.setattr("clicklake.streaming.kafka._POLL_MESSAGES", 100)
    monkeypatch.setattr("clicklake.streaming.summarizer._MOST_WAITING", 500)
    monkeypatch.setattr("clicklake.streaming.summarizer._COMMIT_EVENTS", 100)

    summary = read(broker, topic, tmp_path / "out")

    assert (summary.events, summary.missing, summary.waiting) == (5000, 0, 0)
    assert max(held) > 0
    assert held[-1] == 0


def test_bad_messages_are_quarantined_by_topic_partition_and_offset(
    lake, state, broker, topic, tmp_path
):
    lake.commit(random_events(50))
    run(lake, state, broker, topic)
    delivered = []
    producer = Producer({"bootstrap.servers": broker.address})
    for body in (b"not json", None):
        producer.produce(topic, body, on_delivery=lambda _, message: delivered.append(message))
    producer.flush()
    lake.commit(random_events(50, seed=2, after=24))
    run(lake, state, broker, topic)

    summary = read(broker, topic, tmp_path / "out")

    assert (summary.events, summary.quarantined, summary.waiting) == (100, 2, 0)
    database = connect(f"sqlite:///{tmp_path / 'out' / 'statistics.sqlite'}")
    rows = database.fetch('SELECT topic, "partition", "offset", raw FROM stream_quarantine')
    assert sorted(rows) == sorted(
        (topic, str(m.partition()), str(m.offset()), (m.value() or b"").decode()) for m in delivered
    )


def test_a_second_publisher_shuts_out_the_first(broker, topic):
    first = KafkaSink(broker.address, topic, "")
    first.position()
    second = KafkaSink(broker.address, topic, "")
    second.position()

    with pytest.raises(LeaseHeldError, match="another publisher"):
        first.send([Outgoing(1, "v", b"{}")])
    assert committed(broker, topic) == {}


@pytest.fixture(scope="module")
def two_lakes(tmp_path_factory):
    """{name: lake}, with events of visitors whose names begin with that of the lake."""
    lakes = {}
    for name in ("first", "second"):
        lakes[name] = TestLake(tmp_path_factory.mktemp(name))
        rows = random_events(30_000, seed=len(name), hours=40)
        lakes[name].commit(
            [{**row, "anonymous_user_id": f"{name}{n}"} for n, row in enumerate(rows)]
        )
    return lakes


def publishing(folder):
    command = [sys.executable, str(ROOT / "src" / "scripts" / "stream.py"), "publish"]
    command += ["--config", str(folder / "dl.cfg")]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("pause", [0.0, 0.7, 1.5])
def test_of_two_publishers_at_once_the_topic_holds_all_of_one_and_nothing_of_the_other(
    broker, tmp_path, pause, two_lakes
):
    """Both are real commands, with lakes and state folders of their own.

    At the same moment each can shut the other out, so that both refuse: started again, one after
    the other, one of them goes on, and the other is refused for good: with 4 by its state, or, if
    it had begun to send, with 5 by the other's mark on the stream.
    """
    topic = f"two-{pause}".replace(".", "-")
    processes = {}
    for name, lake in two_lakes.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "dl.cfg").write_text(
            f"[DATALAKE]\nOUTPUT_DATA = {lake.root}\n[STREAM]\nSTATE = state\n"
            f"STREAM = kafka://{broker.address}/{topic}\n"
        )
        processes[name] = publishing(tmp_path / name)
        time.sleep(pause)
    told = {name: process.communicate()[1] for name, process in processes.items()}
    codes = {name: process.returncode for name, process in processes.items()}

    assert set(codes.values()) <= {0, 4, 5}
    assert list(codes.values()).count(0) <= 1, (codes, told)
    assert all("another publisher" in told[name] for name, code in codes.items() if code)
    may_go_on = [n for n in codes if codes[n] == 0] or [n for n in codes if codes[n] == 5]
    again = {name: publishing(tmp_path / name).wait() for name in may_go_on}
    (owner,) = [name for name, code in again.items() if code == 0]
    assert set(again.values()) <= {0, 4, 5}
    messages = [json.loads(m) for part in committed(broker, topic).values() for _, m in part]
    assert sorted(m["sequence"] for m in messages) == list(range(1, 30_001))
    assert all(m["anonymous_user_id"].startswith(owner) for m in messages)


def test_a_publisher_that_is_refused_does_not_shut_out_the_one_whose_topic_it_is(
    broker, lake, state, topic, tmp_path
):
    lake.commit(random_events(50))
    run(lake, state, broker, topic)
    at_work = KafkaSink(broker.address, topic, "")
    at_work.mark = state.mark()
    at_work.position()
    stranger = TestLake(tmp_path / "stranger")
    (tmp_path / "other").mkdir()
    stranger.commit(random_events(10, seed=5))

    with pytest.raises(InputError, match="another publisher wrote it"):
        run(stranger, State(tmp_path / "other"), broker, topic)
    at_work.send([Outgoing(51, "v", b"{}")])


@pytest.mark.parametrize("number", [2**52, 9_000_000])
def test_a_foreign_message_of_an_impossible_number_stops_neither_publisher_nor_reader(
    broker, lake, state, topic, number, tmp_path
):
    lake.commit(random_events(50))
    run(lake, state, broker, topic)
    producer = Producer({"bootstrap.servers": broker.address})
    for partition in range(3):
        producer.produce(topic, foreign(number), partition=partition)
    producer.flush()
    lake.commit(random_events(50, seed=2, after=24))

    assert run(lake, state, broker, topic).events == 50
    summary = read(broker, topic, tmp_path / "out")
    assert (summary.events, summary.quarantined) == (100, 3)
    assert (summary.missing, summary.waiting) == (0, 0)


@pytest.mark.parametrize("number", [2**52, 9_000_000])
def test_on_a_topic_of_an_older_release_an_impossible_number_is_set_aside(
    broker, lake, state, topic, tmp_path, monkeypatch, number
):
    rows = [random_events(50, seed=seed, after=24 * seed) for seed in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(State, "begin", lambda _: Mark("", 2**53))  # it marked nothing
        lake.commit(rows[0])
        run(lake, state, broker, topic)
    assert not any(headers for _, headers, _ in headers_of(broker, topic))
    producer = Producer({"bootstrap.servers": broker.address})
    producer.produce(topic, foreign(number))
    producer.flush()
    summary = read(broker, topic, tmp_path / "out")
    assert (summary.events, summary.quarantined, summary.waiting) == (50, 1, 0)
    lake.commit(rows[1])

    assert run(lake, state, broker, topic).events == 50

    assert state.mark().since == 51
    assert read(broker, topic, tmp_path / "out").events == 50
    assert read(broker, topic, tmp_path / "fresh").events == 100
    assert files(tmp_path / "out") == files(tmp_path / "fresh")


def test_each_message_has_the_publishers_mark_as_a_cloud_event(broker, lake, state, topic):
    before = time.time()
    lake.commit(random_events(20))
    run(lake, state, broker, topic)

    found = headers_of(broker, topic)
    assert len(found) == 20
    for message, headers, published in found:
        assert headers == {
            "content-type": b"application/json",
            "ce_specversion": b"1.0",
            "ce_type": b"clicklake.clickstream.v1",
            "ce_source": f"urn:clicklake:publisher:{state.mark().publisher}".encode(),
            "ce_since": b"1",
            "ce_id": message["event_id"].encode(),
            "ce_time": message["time"].encode(),
        }
        assert before - 5 < published < time.time() + 5


def foreign(number):
    row = random_events(1, seed=99)[0]
    fields = {**row, "time": time_text(row["time"]), "sequence": number}
    return json.dumps({**fields, "event_id": event_id(key_of(row))}).encode()


def test_an_aborted_chunk_is_not_read(broker, topic, lake, state):
    lake.commit(random_events(40))
    sink = KafkaSink(broker.address, topic, "")
    sink.position()
    sink._producer.begin_transaction()
    sink._producer.produce(topic, b"half a chunk", b"v")
    sink._producer.flush()

    run(lake, state, broker, topic)

    assert_once_in_order(broker, topic, lake)


def test_a_broker_killed_while_publishing_and_while_reading_loses_and_doubles_nothing(
    lake, state, topic, tmp_path, broker, monkeypatch
):
    lake.commit(random_events(6000, hours=40))
    sink = KafkaSink(broker.address, topic, "")
    sink.chunk = 100
    killing(monkeypatch, sink, "send", broker, at=20)
    publish(lambda: open_snapshot(str(lake.root)), state, sink)
    assert_once_in_order(broker, topic, lake)

    monkeypatch.setattr("clicklake.streaming.kafka._POLL_MESSAGES", 200)
    source = KafkaSource(broker.address, topic, "")
    source.horizon = 10_000
    killing(monkeypatch, source, "poll", broker, at=10)
    (tmp_path / "out").mkdir()
    assert _summarize(source, tmp_path / "out").events == 6000
    source.close()

    ordered = sorted(lake.rows.values(), key=lambda row: row["time"])
    users = [
        len({row["anonymous_user_id"] for row in ordered[first : first + 100]})
        for first in range(0, 6000, 100)
    ]
    found = [json.loads((tmp_path / "out" / f"{n}.json").read_text()) for n in range(1, 61)]
    assert [file["unique users"] for file in found] == users


def killing(monkeypatch, owner, name, broker, at):
    """Kill the broker while the n-th call of a method is under way, and start it again."""
    act, calls = getattr(owner, name), count(1)
    restarted = threading.Thread(target=lambda: (broker.kill(), broker.start()))

    def acting(*args):
        if next(calls) == at:
            restarted.start()
        return act(*args)

    monkeypatch.setattr(owner, name, acting)


def test_what_is_not_there_is_told(broker, tmp_path):
    with pytest.raises(InputError, match="no topic absent"):
        KafkaSource(broker.address, "absent", "")


def test_no_broker_is_told(monkeypatch):
    monkeypatch.setattr("clicklake.streaming.kafka.TIMEOUT", 1)
    monkeypatch.setattr("clicklake.streaming.kafka_client.TIMEOUT", 1)
    with pytest.raises(AccessError, match="broker runs"):
        KafkaSink("127.0.0.1:1", "clicks", "")
