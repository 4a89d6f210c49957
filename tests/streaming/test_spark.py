"""A Spark job of somebody else reads the topic, and counts what the lake has."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from confluent_kafka import Producer

import kafka_broker
import schema_registry
from clicklake.config import ROOT
from clicklake.engines.java import find_java
from clicklake.streaming.avro import EVENT
from stream_oracle import windows_of
from stream_scene import Scene
from stream_support import random_events

CONNECTORS = ROOT / ".cache" / "spark-kafka"
MISSING = None if (CONNECTORS / "complete").exists() else (
    "no connectors of Spark; tests/support/kafka/fetch.sh spark fetches them (it needs mvn)"
)  # fmt: skip
WHY_NOT = kafka_broker.why_not() or schema_registry.why_not() or MISSING

pytestmark = [
    pytest.mark.slow,
    pytest.mark.spark,
    pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT)),
]


def counted_by_spark(broker, topic, **more):
    given = {"jars": [str(jar) for jar in CONNECTORS.glob("*.jar")]}
    given |= {"servers": broker.address, "topic": topic, **more}
    find_java()
    job = ROOT / "tests" / "support" / "spark_job.py"
    done = subprocess.run(
        [sys.executable, str(job), json.dumps(given)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, "\n".join(
        re.findall("(?m)^.*(?:Error|Exception|Caused).*$", done.stderr)
    )
    return sorted(tuple(row) for row in json.loads(done.stdout.splitlines()[-1]))


def half_a_chunk(broker, topic):
    """What a publisher that dies has sent is on the topic, and never committed."""
    producer = Producer({"bootstrap.servers": broker.address, "transactional.id": f"half-{topic}"})
    producer.init_transactions()
    producer.begin_transaction()
    headers = [("ce_type", b"clicklake.clickstream.v1")]
    for partition in range(3):
        producer.produce(topic, b"half a chunk", b"v", partition, headers=headers)
    producer.flush()
    producer.abort_transaction()


@pytest.mark.parametrize("format_", ["json", "avro"])
def test_structured_streaming_counts_what_the_lake_has(format_, broker, registry, tmp_path):
    topic = f"for-spark-{format_}"
    scene = Scene(tmp_path, f"kafka://{broker.address}/{topic}")
    stream = replace(scene.config.stream, stream_format=format_, schema_registry=registry.address)
    scene.config = replace(scene.config, stream=stream)
    for day in range(2):
        scene.lake.commit(random_events(800, seed=day, after=20 * day))
        scene.publish()
        half_a_chunk(broker, topic)
    foreign = Producer({"bootstrap.servers": broker.address})
    foreign.produce(topic, b"\0\0\0\0\0 of somebody else")
    foreign.flush()

    found = counted_by_spark(broker, topic, **({"avro": EVENT} if format_ == "avro" else {}))

    windows, _ = windows_of(scene.lake.rows.values(), lateness_minutes=10**6)
    expected = [(start, *counts[:4]) for period, start, *counts in windows if period == "hour"]
    assert found == expected
