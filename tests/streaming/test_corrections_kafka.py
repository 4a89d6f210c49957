"""Corrections on a real broker: the commands, kills, forgotten people, and compaction itself."""

import json
import subprocess
import time
from collections import Counter
from dataclasses import replace

import pytest
from confluent_kafka.admin import ConfigResource, NewTopic
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

import kafka_broker
import schema_registry
from clicklake.errors import InputError
from clicklake.streaming import commands, forgetting
from stream_kills import PUBLISH_COMMAND, command, killed_on_the_way
from stream_labels import assert_each_says_something_new, in_lake, known
from stream_scene import Scene
from stream_support import random_events

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(kafka_broker.why_not() is not None, reason=str(kafka_broker.why_not())),
]


@pytest.fixture
def topic(request):
    return f"labels-{abs(hash(request.node.name))}"


def scene_of(folder, broker, topic, **more):
    scene = Scene(folder, f"kafka://{broker.address}/{topic}")
    stream = replace(scene.config.stream, corrections=f"{topic}-corrections", **more)
    scene.config = replace(scene.config, stream=stream)
    return scene


@pytest.fixture
def scene(tmp_path, broker, topic):
    return scene_of(tmp_path, broker, topic)


def published(scene):
    done = commands.publish(scene.config)
    return done.events, done.corrections


def relabel(scene, rows, reason="rate"):
    scene.lake.commit([{**row, "is_bot": True, "bot_reason": reason} for row in rows])


def both(broker, topic, decode=json.loads):
    """All of both topics: messages, and corrections by key."""
    records = broker.messages(topic)
    gone = {m.key() for m in records if m.value() is None}
    corrections = [
        (m.key().decode(), None if m.value() is None else decode(m.value()))
        for m in broker.messages(f"{topic}-corrections")
    ]
    return [json.loads(m.value()) for m in records if m.key() not in gone], corrections


def assert_right(scene, broker, topic):
    events, corrections = both(broker, topic)
    assert known(events, corrections) == in_lake(scene.lake.rows.values())


def numbers(broker, topic):
    found = [dict(m.headers()) for m in broker.messages(f"{topic}-corrections")]
    return sorted(int(headers["ce_sequence"]) for headers in found)


def test_the_commands_bring_a_consumer_to_the_lakes_labels(scene, broker, topic):
    rows = random_events(300)
    scene.lake.commit(rows)
    assert published(scene) == (300, 0)
    relabel(scene, rows[:40])
    scene.lake.commit(random_events(20, seed=2, after=3))
    assert published(scene) == (20, 40)
    relabel(scene, rows[30:50], "agent")
    assert published(scene) == (0, 20)
    assert published(scene) == (0, 0)

    assert_right(scene, broker, topic)
    assert_each_says_something_new(*both(broker, topic))
    assert numbers(broker, topic) == list(range(1, 61))
    assert scene.summarize() == (320, 32)
    for message in broker.messages(f"{topic}-corrections"):
        headers, said = dict(message.headers()), json.loads(message.value())
        number = headers["ce_sequence"]
        assert int(number) == said["sequence"]
        assert message.key().decode() == said["event_id"] == headers["ce_subject"].decode()
        assert headers["ce_type"] == b"clicklake.correction.v1"
        assert headers["ce_id"] == b"correction-" + number
        assert headers["content-type"] == b"application/json"


def test_forgotten_people_are_taken_off_the_corrections_as_well(scene, broker, topic):
    rows = random_events(200, visitors=5)
    scene.lake.commit(rows)
    published(scene)
    relabel(scene, rows)
    published(scene)
    own = sum(row["anonymous_user_id"] == "v1" for row in rows)

    forgetting.note(scene.config, ["v1"])
    scene.lake.forget("v1")
    off = replace(scene.config, stream=replace(scene.config.stream, corrections=""))
    assert forgetting.take_back(off, ["v1"], lambda _: False) == []

    assert_right(scene, broker, topic)
    last = dict(both(broker, topic)[1])
    assert sum(message is None for message in last.values()) == own > 0
    assert '"v1-' not in json.dumps(list(last.values()))
    assert published(scene) == (0, 0)


@pytest.mark.skipif(schema_registry.why_not() is not None, reason=str(schema_registry.why_not()))
def test_corrections_are_in_avro_where_events_are(tmp_path, broker, registry, topic):
    scene = scene_of(
        tmp_path, broker, topic, stream_format="avro", schema_registry=registry.address
    )
    rows = random_events(50)
    scene.lake.commit(rows)
    published(scene)
    relabel(scene, rows[:7])
    assert published(scene) == (0, 7)

    with SchemaRegistryClient({"url": registry.address}) as client:
        context = SerializationContext(f"{topic}-corrections", MessageField.VALUE)
        deserialize = AvroDeserializer(client)
        found = [deserialize(m.value(), context) for m in broker.messages(f"{topic}-corrections")]
    labels = {said["event_id"]: (said["is_bot"], said["bot_reason"]) for said in found}
    assert labels == dict.fromkeys(in_lake(rows[:7]), (True, "rate"))


def test_a_killed_publisher_goes_on_without_losing_or_doubling_a_correction(
    scene, broker, topic, tmp_path
):
    rows = random_events(4000, hours=30)
    scene.lake.commit(rows)
    published(scene)
    relabel(scene, rows)
    names = ("stream", "state", "corrections")
    stream = "".join(f"{n.upper()} = {getattr(scene.config.stream, n)}\n" for n in names)
    (tmp_path / "dl.cfg").write_text(
        f"[DATALAKE]\nOUTPUT_DATA = {scene.lake.root}\n[STREAM]\n{stream}"
    )
    publishing = command(PUBLISH_COMMAND, "--config", tmp_path / "dl.cfg")

    killed_on_the_way(publishing, broker.counter(f"{topic}-corrections"), 4000, 4)
    relabel(scene, rows[:100], "agent")  # the lake goes on meanwhile
    subprocess.run(publishing, check=True)

    assert_right(scene, broker, topic)
    assert numbers(broker, topic) == list(range(1, 4101))
    keys = Counter(key for key, _ in both(broker, topic)[1])
    assert sorted(Counter(keys.values()).items()) == [(1, 3900), (2, 100)]


def test_compaction_leaves_what_holds_and_the_publisher_goes_on(scene, broker, topic):
    name = f"{topic}-corrections"
    eager = {
        "cleanup.policy": "compact",
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.001",
        "delete.retention.ms": "0",
    }
    admin = broker.admin()  # to be kept until it has answered
    admin.create_topics([NewTopic(name, 3, 1, config=eager)])[name].result()
    rows = random_events(60, visitors=6)
    scene.lake.commit(rows)
    published(scene)
    for turn in range(5):
        relabel(scene, rows, f"turn {turn}")
        assert published(scene) == (0, 60)
        time.sleep(0.3)
    deadline = time.monotonic() + 120
    while len(broker.messages(name)) > 150:
        assert time.monotonic() < deadline, "the broker compacts nothing"
        time.sleep(1)

    assert_right(scene, broker, topic)
    relabel(scene, rows[:10], "last")
    assert published(scene) == (0, 10)
    assert_right(scene, broker, topic)
    assert max(numbers(broker, topic)) == 310


def test_a_topic_that_forgets_what_is_old_is_refused(scene, broker, topic):
    broker.create_topic(f"{topic}-corrections")
    scene.lake.commit(random_events(10))
    with pytest.raises(InputError, match=r"cleanup\.policy=delete"):
        published(scene)

    resource = ConfigResource(ConfigResource.Type.TOPIC, f"{topic}-corrections")
    resource.set_config("cleanup.policy", "compact")
    admin = broker.admin()
    admin.alter_configs([resource])[resource].result()
    assert published(scene) == (0, 0)


def test_a_topic_made_anew_is_refused_until_it_gets_all(scene, broker, topic, tmp_path):
    rows = random_events(30)
    scene.lake.commit(rows)
    published(scene)
    relabel(scene, rows[:3])
    published(scene)
    broker.delete_topic(f"{topic}-corrections")

    with pytest.raises(InputError, match="another topic of corrections"):
        published(scene)

    [folder] = (tmp_path / "state").glob("*/corrections")
    folder.rename(tmp_path / "old")
    assert published(scene) == (0, 3)
    assert_right(scene, broker, topic)
