"""The same stream at another address goes on; another one at the same address is refused."""

import json
import logging
import re

import boto3
import pytest
from moto.server import ThreadedMotoServer

from clicklake.errors import ConfigError, InputError
from clicklake.streaming.state import State
from kafka_broker import why_not
from stream_scene import Scene


@pytest.fixture(autouse=True)
def no_power_cut(monkeypatch):
    """A killed process loses nothing that it wrote, so its tests need not wait for the disk."""
    monkeypatch.setattr("os.fsync", lambda _: None)


def test_a_folder_that_was_moved_is_the_same_stream(tmp_path):
    scene = Scene(tmp_path, str(tmp_path / "here"))
    scene.commit(30)
    assert scene.publish() == 30
    assert scene.summarize() == (30, 3)
    (tmp_path / "here").rename(tmp_path / "there")
    scene.at(str(tmp_path / "there"))
    scene.commit(30)

    assert scene.publish() == 30
    assert scene.summarize() == (30, 3)


def test_another_folder_is_another_stream(tmp_path):
    scene = Scene(tmp_path, str(tmp_path / "here"))
    scene.commit(30)
    scene.publish()
    scene.summarize()
    scene.at(str(tmp_path / "there"))
    scene.publish()

    with pytest.raises(ConfigError, match=re.escape(f"--adopt {tmp_path / 'here'}")):
        scene.summarize()


def test_statistics_of_an_older_release_take_a_moved_folder_when_told(tmp_path):
    """They hold no identity, and neither does the folder."""
    scene = Scene(tmp_path, str(tmp_path / "here"))
    scene.commit(30)
    scene.publish()
    (tmp_path / "here" / "_publisher" / "publisher.json").unlink()
    scene.summarize()
    (tmp_path / "here").rename(tmp_path / "there")
    scene.at(str(tmp_path / "there"))
    with pytest.raises(ConfigError, match="--adopt"):
        scene.summarize()
    with pytest.raises(ConfigError, match="--adopt"):
        scene.summarize(adopt="kafka://127.0.0.1:1/other")

    assert scene.summarize(adopt=str(tmp_path / "here")) == (0, 0)
    assert scene.summarize() == (0, 0)


@pytest.fixture
def kinesis(monkeypatch):
    """{region: client}, each with a stream of the same name."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*server.get_host_and_port()))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    for region in ("us-east-1", "eu-west-1"):
        client = boto3.client("kinesis", region_name=region)
        client.create_stream(StreamName="known", ShardCount=1)
    yield
    server.stop()


@pytest.mark.slow
def test_a_kinesis_stream_of_the_same_name_elsewhere_is_refused(tmp_path, kinesis):
    scene = Scene(tmp_path, "kinesis://known")
    scene.in_region("us-east-1")
    scene.commit(10)
    assert scene.publish() == 10
    assert scene.summarize() == (10, 1)
    scene.in_region("eu-west-1")

    with pytest.raises(InputError, match="belongs to another stream"):
        scene.publish()
    with pytest.raises(ConfigError, match="is another one"):
        scene.summarize()
    assert (scene.publish("kinesis://known"), scene.publish()) == (0, 0)


@pytest.mark.slow
@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_kafka_is_known_by_its_ids(tmp_path, broker):
    scene = Scene(tmp_path, f"kafka://127.0.0.1:{broker.port}/known")
    scene.commit(30)
    assert scene.publish() == 30
    assert scene.summarize() == (30, 3)
    scene.at(f"kafka://localhost:{broker.port}/known")
    scene.commit(30)

    assert scene.publish() == 30
    assert scene.summarize() == (30, 3)
    assert [folder.name for folder in (tmp_path / "state").iterdir()] == [
        f"kafka-127.0.0.1-{broker.port}-known"
    ]


@pytest.mark.slow
@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_a_topic_made_anew_is_refused_until_it_is_told_to_be_the_same(tmp_path, broker):
    old, new = f"kafka://{broker.address}/before", f"kafka://{broker.address}/after"
    scene = Scene(tmp_path, old)
    scene.commit(30)
    scene.publish()
    scene.summarize()
    broker.copy_topic("before", "after")
    scene.at(new)
    scene.commit(30)
    with pytest.raises(InputError, match="--adopt"):
        scene.publish()
    with pytest.raises(ConfigError, match="--adopt"):
        scene.summarize()
    with pytest.raises(InputError, match="nothing in"):
        scene.publish("kafka://127.0.0.1:1/other")

    assert (scene.publish(old), scene.publish()) == (30, 0)
    assert (scene.summarize(old), scene.summarize()) == ((30, 3), (0, 0))
    broker.delete_topic("after")
    with pytest.raises(InputError, match="belongs to another stream"):
        scene.publish()


def test_the_state_tells_its_stream(tmp_path):
    state = State(tmp_path)
    assert state.stream() == {}
    state.note_stream("kafka:c/t", "kafka://h:1/t")
    assert json.loads((tmp_path / "stream.json").read_text())["identity"] == "kafka:c/t"
    assert state.stream() == {"identity": "kafka:c/t", "address": "kafka://h:1/t"}
