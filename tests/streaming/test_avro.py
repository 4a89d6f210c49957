"""Avro on Kafka with a real schema registry: what JSON gives as well, through every failure."""

import json
import subprocess
from dataclasses import replace

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

import kafka_broker
import schema_registry
from clicklake.cli import stream as cli
from clicklake.streaming import forgetting
from clicklake.streaming.avro import EVENT
from clicklake.streaming.database import connect
from schema_registry import SchemaRegistry
from stream_kills import PUBLISH_COMMAND, SUMMARIZE, command, killed_on_the_way
from stream_oracle import files_of, windows_of
from stream_scene import Scene
from stream_support import key_of, random_events, time_text

WHY_NOT = kafka_broker.why_not() or schema_registry.why_not()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))]

TABLES = ("stream_windows", "stream_tops", "stream_open_windows")


@pytest.fixture
def topic(request):
    return f"avro-{abs(hash(request.node.name))}"


def scene_of(folder, broker, registry, topic, format_="avro"):
    scene = Scene(folder, f"kafka://{broker.address}/{topic}")
    return in_format(scene, format_, registry)


def in_format(scene, format_, registry):
    stream = replace(scene.config.stream, stream_format=format_, schema_registry=registry.address)
    scene.config = replace(scene.config, stream=stream)
    return scene


@pytest.fixture
def scene(tmp_path, broker, registry, topic):
    return scene_of(tmp_path, broker, registry, topic)


def results(scene):
    """The batch files' bytes, and what is in the tables."""
    out = scene.folder / "out"
    database = connect(f"sqlite:///{out}/statistics.sqlite", read_only=True)
    try:
        tables = {name: sorted(database.fetch(f"SELECT * FROM {name}")) for name in TABLES}
    finally:
        database.close()
    return tables | {file.name: file.read_bytes() for file in out.glob("*.json")}


def quarantined(scene):
    database = connect(f"sqlite:///{scene.folder}/out/statistics.sqlite", read_only=True)
    try:
        return sorted(database.fetch("SELECT reason, raw FROM stream_quarantine"))
    finally:
        database.close()


def put(broker, topic, *values, headers=None):
    producer = Producer({"bootstrap.servers": broker.address})
    for value in values:
        producer.produce(topic, value, headers=headers)
    producer.flush()


def of_the_oracle(rows):
    """The windows and tops, and the batch files, of rows in the publisher's order."""
    windows, tops = windows_of(rows, lateness_minutes=60)
    return {"stream_windows": windows, "stream_tops": tops, **files_of(rows, every=10)}


def in_order(rows):
    return sorted(rows, key=lambda row: (row["time"], row["anonymous_user_id"], row["url"]))


def test_what_is_counted_is_what_plain_python_counts(scene):
    first, second = random_events(700, hours=40), random_events(700, seed=2, hours=30, after=20)
    for rows in (first, second):
        scene.lake.commit(rows)
        assert scene.publish() == 700
    assert scene.summarize() == (1400, 140)

    expected = of_the_oracle(in_order(first) + in_order(second))
    found = results(scene)
    del found["stream_open_windows"]
    assert found == expected


def test_either_format_gives_the_same_with_strangers_and_forgotten_people(
    tmp_path, broker, registry, topic
):
    found = {}
    for format_ in ("json", "avro"):
        own_topic = f"{topic}-{format_}"
        scene = scene_of(tmp_path / format_, broker, registry, own_topic, format_)
        for day in range(3):
            scene.lake.commit(random_events(300, seed=day, after=10 * day))
            scene.publish()
            put(broker, own_topic, b"not json", b"{}", b"\xff")
            scene.summarize(quarantined=3)
            forgetting.note(scene.config, [f"v{day}"])
            assert forgetting.take_back(scene.config, [f"v{day}"], lambda _: False) == []
        scene.summarize()
        found[format_] = results(scene), quarantined(scene)

    assert found["avro"] == found["json"]
    assert len(found["avro"][1]) == 9


def test_what_cannot_be_read_is_quarantined_by_its_reason(scene, broker, registry, topic):
    scene.lake.commit(random_events(50))
    scene.publish()
    [of_ours] = [m.value() for m in broker.messages(topic)][:1]
    other = registry.register("other-value", {"type": "record", "name": "o", "fields": []})
    put(
        broker,
        topic,
        b"\0\x7f\xff\xff\xff" + of_ours[5:],
        b"\0" + other.to_bytes(4, "big"),
        of_ours[:-3],
        b"\0",
        b"not json",
    )
    scene.lake.commit(random_events(50, seed=2, after=20))
    scene.publish()

    assert scene.summarize(quarantined=5) == (100, 10)
    reasons = [reason for reason, _ in quarantined(scene)]
    assert reasons == ["malformed_json", "other_schema", "undecodable_avro", "undecodable_avro",
                       "unknown_schema"]  # fmt: skip
    assert ("unknown_schema", f"{len(of_ours)} bytes of Avro, schema 2147483647") in quarantined(
        scene
    )


def test_a_topic_may_change_its_format_on_the_way(tmp_path, broker, registry, topic):
    scene = scene_of(tmp_path, broker, registry, topic)
    rows = []
    for day, format_ in enumerate(["json", "avro", "json", "avro"]):
        in_format(scene, format_, registry)
        new = random_events(100, seed=day, after=10 * day)
        scene.lake.commit(new)
        assert scene.publish() == 100
        rows += in_order(new)

    kinds = [m.value()[:1] for m in broker.messages(topic)]
    assert (kinds.count(b"{"), kinds.count(b"\0")) == (200, 200)
    assert scene.summarize() == (400, 40)
    found = results(scene)
    del found["stream_open_windows"]
    assert found == of_the_oracle(rows)


def test_confluents_own_deserializer_and_that_of_cloud_events_read_the_lakes_rows(
    scene, broker, registry, topic
):
    rows = random_events(60)
    scene.lake.commit(rows)
    scene.publish()
    with SchemaRegistryClient({"url": registry.address}) as client:
        deserialize = AvroDeserializer(client)
        context = SerializationContext(topic, MessageField.VALUE)
        records = broker.messages(topic)
        found = [deserialize(record.value(), context) for record in records]

    by_key = {key_of(row): row for row in rows}
    assert len(found) == 60
    for record, message in zip(found, records, strict=True):
        own = {name: record.pop(name) for name in ("sequence", "event_id")}
        assert record == by_key[key_of(record)]
        seen = cloud_event(message)
        assert seen.get_id() == own["event_id"]
        assert seen.get_time() == record["time"]
        assert seen.get_datacontenttype() == "application/avro"
    assert {m.key().decode() for m in records} == {row["anonymous_user_id"] for row in rows}


def cloud_event(message):
    """As the package of the CloudEvents project reads it, which checks every attribute."""
    headers = dict(message.headers())
    return from_binary(KafkaMessage(headers, message.key(), message.value()), AsItIs())


class AsItIs(JSONFormat):
    def read_data(self, body, datacontenttype):
        return super().read_data(body, datacontenttype) if body[:1] == b"{" else body


def test_json_events_and_tombstones_are_cloud_events_as_well(tmp_path, broker, registry, topic):
    scene = scene_of(tmp_path, broker, registry, topic, "json")
    scene.lake.commit(random_events(60))
    scene.publish()
    forgetting.note(scene.config, ["v1"])
    forgetting.take_back(scene.config, ["v1"], lambda _: False)

    seen = [(m, cloud_event(m)) for m in broker.messages(topic) if m.value() is not None]
    assert len(seen) == 60
    for message, found in seen:
        said = json.loads(message.value())
        assert found.get_data() == said
        assert (found.get_id(), time_text(found.get_time())) == (said["event_id"], said["time"])
        assert found.get_type() == "clicklake.clickstream.v1"
    [tombstone] = [m for m in broker.messages(topic) if m.value() is None]
    headers = dict(tombstone.headers())
    found = from_binary(KafkaMessage(headers, tombstone.key(), b""), Empty())
    assert (found.get_type(), found.get_id()) == ("clicklake.retraction.v1", "61")


class Empty(JSONFormat):
    def read_data(self, body, datacontenttype):
        return None


def run_command(scene, folder, *arguments):
    """A command with its configuration in a file, as a user has it; its exit code."""
    return cli.main([*arguments, "--config", str(configured(scene, folder))])


def configured(scene, folder):
    names = ("stream", "state", "summaries", "every", "stream_format", "schema_registry")
    stream = "".join(f"{n.upper()} = {getattr(scene.config.stream, n)}\n" for n in names)
    file = folder / "dl.cfg"
    file.write_text(f"[DATALAKE]\nOUTPUT_DATA = {scene.lake.root}\n[STREAM]\n{stream}")
    return file


def test_without_its_registry_nothing_is_sent_and_nothing_counted(tmp_path, broker, topic, capsys):
    with SchemaRegistry(tmp_path / "registry") as own:
        scene = scene_of(tmp_path, broker, own, topic)
        scene.lake.commit(random_events(100))
        assert run_command(scene, tmp_path, "publish") == 0
    scene.lake.commit(random_events(100, seed=2, after=20))

    assert run_command(scene, tmp_path, "publish") == 3
    assert run_command(scene, tmp_path, "summarize") == 3

    assert f"The schema registry {own.address} cannot be used" in capsys.readouterr().err
    assert len(broker.messages(topic)) == 100
    with own:
        # What it knew was in memory: it numbers schemas anew, and knows none of the publisher's.
        own.register("some-value", {"type": "record", "name": "some", "fields": []})
        assert run_command(scene, tmp_path, "publish") == 0
        assert run_command(scene, tmp_path, "summarize") == 0
    assert len(broker.messages(topic)) == 200


def test_a_later_release_adds_a_column_where_the_registry_asks_for_full_compatibility(
    scene, broker, registry, topic
):
    older = {**EVENT, "fields": [f for f in EVENT["fields"] if f["name"] != "bot_reason"]}
    subject = f"{topic}-value"
    first = registry.register(subject, older)
    registry.ask("PUT", f"/config/{subject}", {"compatibility": "FULL_TRANSITIVE"})
    scene.lake.commit(random_events(20))

    assert scene.publish() == 20

    ids = {int.from_bytes(m.value()[1:5], "big") for m in broker.messages(topic)}
    assert len(ids) == 1
    assert ids != {first}
    assert scene.summarize() == (20, 2)


def test_a_schema_that_the_registry_refuses_stops_before_anything_is_sent(
    scene, broker, registry, topic, tmp_path, capsys
):
    subject = f"{topic}-value"
    fields = [{"name": "sequence", "type": "string"}, {"name": "only_here", "type": "string"}]
    registry.register(subject, {**EVENT, "fields": fields})
    registry.ask("PUT", f"/config/{subject}", {"compatibility": "FULL"})
    scene.lake.commit(random_events(20))

    assert run_command(scene, tmp_path, "publish") == 3

    assert "HTTP 409" in capsys.readouterr().err
    assert broker.messages(topic) == []


def test_killed_publishers_and_summarizers_come_to_the_same(scene, broker, topic, tmp_path):
    rows = random_events(6000, hours=30)
    scene.lake.commit(rows)
    config = configured(scene, tmp_path)
    publishing = command(PUBLISH_COMMAND, "--config", config)
    broker.create_topic(topic)
    killed_on_the_way(publishing, broker.counter(topic), 6000, 4)
    subprocess.run(publishing, check=True)
    summarizing = command(SUMMARIZE, "--config", config)

    def counted():
        return 10 * sum(name.removesuffix(".json").isdigit() for name in results_files(scene))

    killed_on_the_way(summarizing, counted, 6000, 4)
    subprocess.run(summarizing, check=True)

    found = results(scene)
    del found["stream_open_windows"]
    assert found == of_the_oracle(in_order(rows))
    assert len(broker.messages(topic)) == 6000


def results_files(scene):
    return {file.name for file in (scene.folder / "out").glob("*.json")}
