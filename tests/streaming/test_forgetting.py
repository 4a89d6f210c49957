"""Events that are taken back: from the stream, and from what summarize holds."""

import hashlib
import json
import logging
import sqlite3
from dataclasses import replace

import boto3
import pytest
from confluent_kafka import Producer
from moto.server import ThreadedMotoServer

import postgres
from clicklake.errors import InputError
from clicklake.streaming import forgetting
from clicklake.streaming.database import connect
from clicklake.streaming.messages import BadMessageError, Retraction, parse
from clicklake.streaming.results import TABLES
from clicklake.streaming.state import State
from clicklake.streaming.statistics import database_url
from kafka_broker import why_not
from stream_scene import Scene
from stream_support import event, random_events

ANN = "v-ann"
DIGEST = hashlib.sha256(ANN.encode()).hexdigest()[:32]


@pytest.fixture(autouse=True)
def no_power_cut(monkeypatch):
    """A killed process loses nothing that it wrote, so its tests need not wait for the disk."""
    monkeypatch.setattr("os.fsync", lambda _: None)


def rows_with_ann(seed=0, after=0):
    """Events of many, each seventh of Ann; all within an hour, so that their windows are open."""
    rows = random_events(70, seed=seed, hours=0.9, after=after)
    return [
        {**row, "anonymous_user_id": ANN, "session_id": f"{ANN}-1525125600000000"}
        if n % 7 == 0
        else row
        for n, row in enumerate(rows)
    ]


def without_ann(rows):
    return [row for row in rows if row["anonymous_user_id"] != ANN]


@pytest.fixture
def scene(tmp_path):
    made = Scene(tmp_path, str(tmp_path / "stream"))
    made.lake.commit(rows_with_ann())
    made.publish()
    return made


def forget(scene):
    """What forget-user does, apart from the lake."""
    forgetting.note(scene.config, [ANN])
    return forgetting.take_back(scene.config, [ANN], lambda text: "ann@example.com" in text)


def elsewhere(scene, name):
    """The same stream, counted by somebody else."""
    other = Scene.__new__(Scene)
    other.__dict__ |= scene.__dict__
    stream = replace(scene.config.stream, summaries=str(scene.folder / name))
    other.config = replace(scene.config, stream=stream)
    return other


def texts(folder):
    for file in folder.rglob("*"):
        if file.is_file():
            yield file, file.read_bytes().decode(errors="replace")


def places_of_ann(*folders):
    return [str(file) for folder in folders for file, text in texts(folder) if ANN in text]


def held_of(scene):
    """The results, and what open windows hold; but for windows that have lost all they had."""
    database = connect(database_url(scene.config), read_only=True)
    try:
        return {
            "windows": rows_of(database, "SELECT * FROM stream_windows WHERE events > 0"),
            "tops": rows_of(database, "SELECT * FROM stream_tops"),
            "held": rows_of(database, "SELECT * FROM stream_open_windows"),
        }
    finally:
        database.close()


def rows_of(database, query):
    """Sorted, in the types that all databases have: SQLite has neither times nor flags."""
    return sorted(
        tuple(str(int(value) if isinstance(value, bool) else value) for value in row)
        for row in database.fetch(query)
    )


def expected_of(tmp_path, rows):
    """The results of a stream that never had Ann's events."""
    clean = Scene(tmp_path / "clean", str(tmp_path / "clean" / "stream"))
    clean.lake.commit(without_ann(rows))
    clean.publish()
    clean.summarize()
    return held_of(clean)


def test_no_file_and_no_row_holds_a_forgotten_visitor(scene, tmp_path):
    scene.summarize()
    (tmp_path / "stream" / "junk.jsonl").write_text(
        f'"{ANN}",https://shop.example/,never\n{{"url": "/?ann@example.com"}}\nleft alone\n'
    )
    scene.summarize(quarantined=3)
    assert len(places_of_ann(tmp_path / "stream", tmp_path / "out")) > 1

    assert forget(scene) == []

    vacuumed(tmp_path / "out" / "statistics.sqlite")
    assert places_of_ann(tmp_path / "stream" / "_publisher", tmp_path / "out") == []
    segments = (tmp_path / "stream").glob("0*.jsonl")
    assert not any(ANN in segment.read_text() for segment in segments)
    database = connect(f"sqlite:///{tmp_path}/out/statistics.sqlite", read_only=True)
    assert database.fetch("SELECT raw FROM stream_quarantine") == [("left alone",)]
    database.close()


@pytest.fixture(params=["duckdb", "postgresql"])
def database(request, tmp_path):
    """Where else statistics may be."""
    if request.param == "duckdb":
        yield f"duckdb:///{tmp_path}/statistics.duckdb"
        return
    with pytest.MonkeyPatch.context() as patch, postgres.server() as url:
        patch.setenv("PGPASSWORD", postgres.PASSWORD)
        yield url


@pytest.mark.slow
def test_in_any_database_open_windows_and_quarantine_are_rid_of_the_visitor(
    scene, tmp_path, database
):
    stream = replace(scene.config.stream, database=database)
    scene.config = replace(scene.config, stream=stream)
    scene.summarize()
    (tmp_path / "stream" / "junk.jsonl").write_text(
        f'"{ANN}",https://shop.example/,it\'s "never"\n{{"url": "/?ann@example.com"}}\nleft\n'
    )
    scene.summarize(quarantined=3)

    assert forget(scene) == []
    scene.summarize()

    assert held_of(scene) == expected_of(tmp_path, rows_with_ann())
    found = connect(database, read_only=True)
    rows = {table.name: str(found.fetch(f"SELECT * FROM {table.name}")) for table in TABLES}
    found.close()
    assert [name for name, text in rows.items() if ANN in text or "ann@" in text] == []
    assert "left" in rows["stream_quarantine"]


def vacuumed(file):
    """Bytes of rows that were deleted stay in SQLite's free pages and its log for a while."""
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("VACUUM")
    connection.close()


@pytest.mark.parametrize("when", ["before", "after", "elsewhere"])
def test_open_windows_count_as_if_the_visitor_had_never_been(scene, tmp_path, when):
    """Whether they were counted before, and whether it is this summarizer or another one."""
    reader = elsewhere(scene, "other") if when == "elsewhere" else scene
    if when != "after":
        reader.summarize()
    forget(scene)
    reader.summarize()

    assert held_of(reader) == expected_of(tmp_path, rows_with_ann())


def test_publication_and_reading_go_on_and_a_new_reader_gets_the_others_events(scene, tmp_path):
    scene.summarize()
    forget(scene)
    assert (scene.publish(), scene.summarize()[0]) == (0, 0)
    later = random_events(30, seed=5, after=2)
    scene.lake.commit(later)

    assert scene.publish() == 30
    assert scene.summarize()[0] == 30
    fresh = elsewhere(scene, "fresh")
    assert fresh.summarize()[0] == 60 + 30
    segments = sorted((tmp_path / "stream").glob("0*.jsonl"))
    numbers = [json.loads(line)["sequence"] for s in segments for line in s.open()]
    assert numbers == list(range(1, 70 + 1 + 30 + 1))


def test_a_retraction_names_nobody(scene, tmp_path):
    forget(scene)

    last = sorted((tmp_path / "stream").glob("0*.jsonl"))[-1].read_bytes().strip()
    assert parse(last)[:2] == Retraction(71, DIGEST)[:2]
    assert set(json.loads(last)) == {"publisher", "publisher_since", "sequence", "retracts"}


def test_one_that_could_not_be_sent_goes_with_the_next_publication(scene, tmp_path, monkeypatch):
    scene.summarize()
    with monkeypatch.context() as patch:
        patch.setattr("clicklake.streaming.forgetting.retract", broken)
        [told] = forget(scene)
    assert "stream.py publish" in told
    other = elsewhere(scene, "other")
    assert other.summarize()[0] == 70

    assert scene.publish() == 0

    other.summarize()
    assert held_of(other) == expected_of(tmp_path, rows_with_ann())
    assert places_of_ann(tmp_path / "stream") == []


def broken(*_, **__):
    raise InputError("broken.")


@pytest.mark.slow
@pytest.mark.parametrize("at", range(1, 12))
def test_killed_while_it_is_taken_back_a_second_attempt_completes_it(
    scene, tmp_path, monkeypatch, at
):
    scene.summarize()
    left = [at]

    def dying(act):
        def acting(*args, **kwargs):
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt
            return act(*args, **kwargs)

        return acting

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink"):
            patch.setattr(f"pathlib.Path.{name}", dying(getattr(type(tmp_path), name)))
        try:
            forget(scene)
        except KeyboardInterrupt:
            assert left[0] == 0

    assert forget(scene) == []
    assert scene.publish() == 0
    scene.summarize()
    assert places_of_ann(tmp_path / "stream") == []
    assert held_of(scene) == expected_of(tmp_path, rows_with_ann())


def test_windows_that_an_older_release_left_open_lose_the_visitor_too(scene, tmp_path):
    scene.summarize()
    older(tmp_path / "out")
    before = held_of(scene)

    forget(scene)

    after = held_of(scene)
    then, now = before["windows"][0], after["windows"][0]
    assert then[0] == "day"
    lost = [int(then[at]) - int(now[at]) for at in (2, 4, 5)]
    assert lost == [10, 1, 1]
    assert not any(ANN in row[3] for row in after["held"])
    scene.lake.commit([event("v-bob", at=50)])
    scene.publish()
    assert scene.summarize()[0] == 1
    days = [row for row in held_of(scene)["windows"] if row[0] == "day"]
    assert [int(row[2]) for row in days] == [
        int(row[2]) + 1 for row in after["windows"] if row[0] == "day"
    ]


def older(out):
    """Put the open windows as releases did that kept four counts of names apart."""
    connection = sqlite3.connect(out / "statistics.sqlite")
    visits = connection.execute("SELECT * FROM stream_open_windows").fetchall()
    connection.execute("DELETE FROM stream_open_windows")
    for period, start, _, visit, events in visits:
        for kind, name in zip(
            ("visitor", "session", "path", "source"), json.loads(visit), strict=False
        ):
            connection.execute(
                "INSERT INTO stream_open_windows VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET events = events + excluded.events",
                (period, start, kind, name, events),
            )
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "message, expected",
    [
        ({"sequence": 4, "retracts": DIGEST}, Retraction(4, DIGEST)),
        ({"sequence": 4, "retracts": None}, Retraction(4, "")),
        ({"retracts": DIGEST}, Retraction(0, DIGEST)),
        ({"sequence": -1, "retracts": DIGEST}, "invalid_sequence"),
        ({"sequence": True, "retracts": DIGEST}, "invalid_sequence"),
        ({"sequence": 4, "retracts": 5}, "invalid_retracts"),
    ],
)
def test_what_a_retraction_is(message, expected):
    body = json.dumps(message).encode()
    if isinstance(expected, str):
        with pytest.raises(BadMessageError, match=expected):
            parse(body)
    else:
        assert parse(body) == expected


@pytest.mark.slow
def test_kinesis_is_told_without_a_name(tmp_path, monkeypatch):
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*server.get_host_and_port()))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    client = boto3.client("kinesis", region_name="us-east-1")
    client.create_stream(StreamName="taken-back", ShardCount=2)
    scene = Scene(tmp_path, "kinesis://taken-back")
    scene.in_region("us-east-1")
    scene.lake.commit(rows_with_ann())
    scene.publish()
    scene.summarize()

    assert forget(scene) == []
    scene.summarize()
    server.stop()

    assert held_of(scene) == expected_of(tmp_path, rows_with_ann())
    assert places_of_ann(tmp_path / "state") == []


@pytest.mark.slow
@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_kafka_gets_a_tombstone_of_the_visitor(tmp_path, broker):
    scene = Scene(tmp_path, f"kafka://{broker.address}/taken-back")
    scene.lake.commit(rows_with_ann())
    scene.publish()
    other = elsewhere(scene, "other")
    other.summarize()
    scene.summarize()

    assert forget(scene) == []

    other.summarize()
    assert held_of(other) == held_of(scene) == expected_of(tmp_path, rows_with_ann())
    [tombstone] = [m for m in broker.messages("taken-back") if m.value() is None]
    assert tombstone.key() == ANN.encode()
    headers = dict(tombstone.headers())
    assert (headers["ce_type"], headers["ce_sequence"]) == (b"clicklake.retraction.v1", b"71")
    scene.lake.commit(random_events(30, seed=5, after=2))
    assert (scene.publish(), scene.summarize()[0]) == (30, 30)


@pytest.mark.slow
@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_a_tombstone_of_somebody_else_is_a_retraction_too(tmp_path, broker):
    scene = Scene(tmp_path, f"kafka://{broker.address}/by-hand")
    scene.lake.commit(rows_with_ann())
    scene.publish()
    scene.summarize()
    producer = Producer({"bootstrap.servers": broker.address})
    producer.produce("by-hand", None, ANN.encode())
    producer.flush()

    scene.summarize()

    assert held_of(scene) == expected_of(tmp_path, rows_with_ann())


def test_a_state_that_published_nothing_takes_nothing_back(tmp_path):
    state = State(tmp_path)
    state.file_retractions([ANN])
    assert state.prepare_retractions() is None
    assert state.retracting() == set()
