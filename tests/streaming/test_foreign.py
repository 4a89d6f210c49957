"""One well-formed message of somebody else: no real event is lost, and nobody waits for it."""

import json
import logging
import shutil

import boto3
import pytest
from moto.server import ThreadedMotoServer

from clicklake.errors import LeaseHeldError
from clicklake.lake import open_snapshot
from clicklake.streaming.database import connect
from clicklake.streaming.decoding import understood
from clicklake.streaming.folder import FolderSink, FolderSource
from clicklake.streaming.kinesis import KinesisSink, KinesisSource
from clicklake.streaming.marks import Mark, event_headers, foreign, of_headers, retraction_headers
from clicklake.streaming.messages import event_id
from clicklake.streaming.publisher import publish
from clicklake.streaming.state import State
from clicklake.streaming.statistics import Progress, Statistics
from clicklake.streaming.stream import Incoming
from clicklake.streaming.summarizer import summarize
from stream_support import TestLake, key_of, random_events, time_text

OURS, THEIRS = "0" * 32, "f" * 32


@pytest.fixture(autouse=True)
def no_power_cut(monkeypatch):
    """A killed process loses nothing that it wrote, so its tests need not wait for the disk."""
    monkeypatch.setattr("os.fsync", lambda _: None)


def written_elsewhere(number, **more):
    """A message as ours are, made apart from the product; of an event that is in no lake."""
    row = random_events(1, seed=99)[0]
    fields = {**row, "time": time_text(row["time"]), "sequence": number, **more}
    return json.dumps({**fields, "event_id": event_id(key_of(row))}).encode()


class InFolder:
    def __init__(self, folder):
        self.folder, self.name = folder, "0"

    def sink(self, _):
        return FolderSink(self.folder)

    def source(self):
        return FolderSource(self.folder)

    def put(self, body):
        number = json.loads(body)["sequence"]
        (self.folder / f"{62 if number == 61 else number:015d}.jsonl").write_bytes(body + b"\n")


class InKinesis:
    def __init__(self, client):
        self.client = client

    def sink(self, state):
        return KinesisSink(self.client, "clicks", state.folder / "kinesis.json")

    def source(self):
        return KinesisSource(self.client, "clicks")

    def put(self, body):
        for key in "abcd":
            self.client.put_record(StreamName="clicks", PartitionKey=key, Data=body)


@pytest.fixture(scope="module")
def endpoint():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture(params=["folder", "kinesis"])
def stream(request, tmp_path):
    if request.param == "folder":
        yield InFolder(tmp_path / "stream")
        return
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    url = request.getfixturevalue("endpoint")
    client = boto3.client("kinesis", endpoint_url=url, region_name="us-east-1", **keys)
    client.create_stream(StreamName="clicks", ShardCount=2)
    yield InKinesis(client)
    client.delete_stream(StreamName="clicks")


@pytest.fixture
def lake(tmp_path):
    return TestLake(tmp_path / "lake")


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "stream" / "_publisher"
    folder.mkdir(parents=True)
    return State(folder)


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def run(lake, state, stream):
    return publish(lambda: open_snapshot(str(lake.root)), state, stream.sink(state), patience=0)


def read(stream, out, mark=None):
    database = connect(f"sqlite:///{out / 'statistics.sqlite'}")
    try:
        settings = Progress("clicks", 10, 60, mark=mark)
        return summarize(stream.source(), Statistics(database), out, settings)
    finally:
        database.close()


def reasons(out):
    database = connect(f"sqlite:///{out / 'statistics.sqlite'}", read_only=True)
    try:
        return {reason for (reason,) in database.fetch("SELECT reason FROM stream_quarantine")}
    finally:
        database.close()


def batch_users(out):
    return [json.loads((out / f"{n}.json").read_text())["unique users"] for n in range(1, 13)]


def users_of(*publications):
    rows = [row for part in publications for row in sorted(part, key=lambda row: row["time"])]
    return [
        len({row["anonymous_user_id"] for row in rows[first : first + 10]})
        for first in range(0, len(rows), 10)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "number, is_known", [(2**52, True), (9_000_000, False), (61, True), (7, False)]
)
def test_it_stops_neither_publisher_nor_reader(lake, state, stream, out, number, is_known):
    """`is_known`: the reader is on the publisher's machine; else it learns whose stream it is."""
    first, second = random_events(60), random_events(60, seed=2, after=24)
    lake.commit(first)
    run(lake, state, stream)
    stream.put(written_elsewhere(number))
    mark = state.mark() if is_known else None
    assert read(stream, out, mark).events == 60
    lake.commit(second)

    assert run(lake, state, stream).events == 60
    summary = read(stream, out, mark)

    assert (summary.events, summary.missing, summary.waiting) == (60, 0, 0)
    assert reasons(out) == {"unmarked"}
    assert batch_users(out) == users_of(first, second)


@pytest.mark.slow
def test_one_that_was_there_first_is_not_counted_where_the_publisher_shows_later(
    lake, state, stream, out
):
    stream.put(written_elsewhere(2))
    read(stream, out)
    shutil.rmtree(out)
    out.mkdir()
    rows = random_events(120)
    lake.commit(rows)
    state.begin()

    assert run(lake, state, stream).events == 120
    assert read(stream, out).events == 120
    assert batch_users(out) == users_of(rows)


def test_one_of_another_publisher_is_set_aside_and_the_publisher_told(lake, state, stream, out):
    lake.commit(random_events(60))
    run(lake, state, stream)
    stream.put(written_elsewhere(61, publisher=THEIRS, publisher_since=1))

    assert read(stream, out, state.mark()).events == 60
    assert reasons(out) == {"other_publisher"}
    lake.commit(random_events(60, seed=2, after=24))
    with pytest.raises(LeaseHeldError, match="another publisher"):
        run(lake, state, stream)


def older_release(monkeypatch):
    """Let the publisher send as releases did that marked no message."""
    monkeypatch.setattr(State, "begin", lambda _: Mark("", 2**53))


@pytest.mark.slow
def test_a_stream_of_an_older_release_goes_on_with_marks(lake, state, stream, out, monkeypatch):
    first, second = random_events(60), random_events(60, seed=2, after=24)
    with monkeypatch.context() as patch:
        older_release(patch)
        lake.commit(first)
        run(lake, state, stream)
    assert state.mark() is None
    assert read(stream, out).events == 60
    lake.commit(second)

    assert run(lake, state, stream).events == 60

    assert state.mark().since == 61
    stream.put(written_elsewhere(90))
    stream.put(written_elsewhere(61))
    assert read(stream, out).events == 60
    assert reasons(out) == {"unmarked"}
    fresh = out / "fresh"
    fresh.mkdir()
    assert read(stream, fresh).events == 120
    assert batch_users(out) == batch_users(fresh) == users_of(first, second)


WHOSE = [
    (None, None, 5, True, ""),
    (None, None, 5, False, "impossible_sequence"),
    (None, Mark(THEIRS, 1), 5, False, ""),
    (Mark(OURS, 4), None, 3, False, ""),
    (Mark(OURS, 4), None, 4, True, "unmarked"),
    (Mark(OURS, 4), Mark(OURS, 4), 9, True, ""),
    (Mark(OURS, 4), Mark(THEIRS, 4), 3, True, "other_publisher"),
]


@pytest.mark.parametrize("own, found, sequence, is_possible, reason", WHOSE)
def test_whose_a_message_is(own, found, sequence, is_possible, reason):
    assert foreign(own, found, sequence, is_possible) == reason


@pytest.mark.parametrize("is_header", [True, False])
@pytest.mark.parametrize("own, found, sequence, is_possible, reason", WHOSE)
def test_whose_messages_are_that_are_read_together(
    own, found, sequence, is_possible, reason, is_header
):
    inside = {"publisher": found.publisher, "publisher_since": found.since} if found else {}
    body = written_elsewhere(sequence, **({} if is_header else inside))
    message = Incoming("0", "0", body, found if is_header else None)

    events, bad = understood([message] * 40, own, lambda *_: is_possible)

    assert bad == (dict.fromkeys(range(40), reason) if reason else {})
    assert len(events) == (0 if reason else 40)


@pytest.mark.parametrize(
    "source, since",
    [(None, b"1"), (b"\xff", b"1"), (b"urn:clicklake:publisher:short", b"1"), ("", b"1")],
)
def test_headers_of_others_are_no_mark(source, since):
    assert of_headers([("ce_source", source), ("ce_since", since)]) is None
    assert of_headers(None) is None


def test_a_mark_is_read_from_its_headers():
    assert of_headers(event_headers(Mark(OURS, 17), "0", "")) == Mark(OURS, 17)
    assert of_headers(retraction_headers(Mark(OURS, 17), 5)) == Mark(OURS, 17)
    headers = dict(event_headers(Mark(OURS, 17), "0", "")) | {"ce_since": b"9" * 5000}
    assert of_headers(headers) is None
