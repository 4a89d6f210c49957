"""Kafka as a stream: each chunk is one transaction, and the topic itself says how far it is.

The producer is transactional, so a chunk is on the topic whole or not at all for every reader of
committed messages, and a second producer of the same topic shuts out the first. What was sent
last is read back from the topic's own end: there is no other record of it that could be wrong.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from clicklake.errors import AccessError, ConfigError, InputError
from clicklake.streaming.messages import BadMessageError, parse
from clicklake.streaming.stream import Incoming, Outgoing, StreamBrokenError

_TIMEOUT = 20.0
_COMMIT_TIMEOUT = 60.0
_POLL_MESSAGES = 10_000
_POLL_SECONDS = 0.5
_SILENT_SECONDS = 120.0


class KafkaSink:
    """The publisher's side. The key is the visitor, so a visitor keeps to one partition."""

    chunk = 10_000

    def __init__(self, servers: str, topic: str, properties: str) -> None:
        self._settings = _settings(servers, properties)
        self._topic = topic
        self._producer: Producer | None = None
        _create_topic(self._settings, topic)

    def position(self) -> int:
        """Shut out any earlier producer, then read the highest number on the topic."""
        try:
            self._producer = Producer(
                {
                    "compression.type": "lz4",
                    "linger.ms": 20,
                    "partitioner": "murmur2_random",
                    **self._settings,
                    "transactional.id": f"clicklake-{self._topic}",
                }
            )
            self._producer.init_transactions(_TIMEOUT)
            return _last_sequence(self._settings, self._topic)
        except KafkaException as error:
            raise _broken(error) from None

    def send(self, events: Sequence[Outgoing]) -> None:
        assert self._producer is not None, "position() comes first"
        producer = self._producer
        try:
            producer.begin_transaction()
            for event in events:
                self._produce(producer, event)
            _commit(producer)
        except KafkaException as error:
            raise _broken(error) from None

    def close(self) -> None:
        self._producer = None

    def _produce(self, producer: Producer, event: Outgoing) -> None:
        while True:
            try:
                producer.produce(self._topic, event.body, event.key.encode())
            except BufferError:
                producer.poll(0.1)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                    raise _too_large(event) from None
                raise
            else:
                return


class KafkaSource:
    """The summarizer's side: committed messages only, from offsets that the statistics keep."""

    horizon = 2 * KafkaSink.chunk

    def __init__(self, servers: str, topic: str, properties: str) -> None:
        self.topic = topic
        self._last_error = ""
        self._behind: set[int] = set()
        self._held: set[int] = set()
        self._heard = time.monotonic()
        settings = _settings(servers, properties)
        self._partitions = _partitions(settings, topic)
        self._consumer = Consumer(_reading(settings) | {"error_cb": self._note})

    def open(self, positions: Mapping[str, str]) -> None:
        self._consumer.assign(
            [
                TopicPartition(
                    self.topic, p, int(positions[str(p)]) + 1 if str(p) in positions else _START
                )
                for p in self._partitions
            ]
        )
        self._behind = set(self._partitions)

    def poll(self) -> list[Incoming]:
        try:
            messages = self._consumer.consume(_POLL_MESSAGES, _POLL_SECONDS)
        except KafkaException as error:
            raise _unreachable(error.args[0].str()) from None
        incoming = []
        for message in messages:
            partition, failure = message.partition() or 0, message.error()
            if failure is None:
                self._behind.add(partition)
                offset = str(message.offset())
                incoming.append(Incoming(str(partition), offset, message.value() or b""))
            elif failure.code() == KafkaError._PARTITION_EOF:
                self._behind.discard(partition)
            elif not failure.retriable():
                raise _unreachable(failure.str())
        self._refuse_silence(bool(messages))
        return incoming

    def behind(self) -> Collection[str]:
        return [str(partition) for partition in self._behind]

    def hold(self, partitions: Collection[str]) -> None:
        wanted = {int(partition) for partition in partitions}
        self._consumer.pause(self._named(wanted - self._held))
        self._consumer.resume(self._named(self._held - wanted))
        self._held = wanted

    def close(self) -> None:
        self._consumer.close()

    def _named(self, partitions: Collection[int]) -> list[TopicPartition]:
        return [TopicPartition(self.topic, partition) for partition in partitions]

    def _note(self, error: KafkaError) -> None:
        self._last_error = error.str()

    def _refuse_silence(self, heard: bool) -> None:
        now = time.monotonic()
        if heard or not self._behind:
            self._heard = now
        elif now - self._heard > _SILENT_SECONDS:
            raise _unreachable(self._last_error or "no answer")


_START = OFFSET_BEGINNING


def _settings(servers: str, properties: str) -> dict[str, Any]:
    """Settings of librdkafka, those of the user's file included."""
    return {**_read_properties(properties), "bootstrap.servers": servers, "log_level": 2}


def _read_properties(file: str) -> dict[str, str]:
    """A file of `name = value` lines, for what a broker asks of its clients: TLS, SASL."""
    if not file:
        return {}
    try:
        lines = Path(file).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"[STREAM] KAFKA_PROPERTIES: {file} cannot be read.") from None
    pairs = [line.partition("=") for line in lines if line.strip() and line.strip()[0] not in "#!"]
    return {name.strip(): value.strip() for name, _, value in pairs}


def _reading(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **settings,
        "group.id": "clicklake",  # required by the client; offsets are not kept there
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
    }


def _create_topic(settings: Mapping[str, Any], topic: str) -> None:
    """Make the topic if there is none, with the broker's own number of partitions and replicas."""
    admin = _client(AdminClient, settings)
    try:
        if topic not in admin.list_topics(timeout=_TIMEOUT).topics:
            new = NewTopic(topic, num_partitions=-1, replication_factor=-1)
            admin.create_topics([new])[topic].result(_TIMEOUT)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise _unreachable(error.args[0].str()) from None


def _partitions(settings: Mapping[str, Any], topic: str) -> list[int]:
    try:
        topics = _client(AdminClient, settings).list_topics(timeout=_TIMEOUT).topics
    except KafkaException as error:
        raise _unreachable(error.args[0].str()) from None
    if topic not in topics:
        raise InputError(f"Kafka has no topic {topic}. Run scripts/stream.py publish first.")
    return sorted(topics[topic].partitions)


def _client(kind: type, settings: Mapping[str, Any]) -> Any:
    try:
        return kind(dict(settings))
    except KafkaException as error:
        raise ConfigError(f"[STREAM] KAFKA_PROPERTIES: {error.args[0].str()}.") from None


def _last_sequence(settings: Mapping[str, Any], topic: str) -> int:
    """The highest sequence number of a committed message; a chunk is there whole or not at all."""
    consumer = Consumer(_reading(settings))
    try:
        partitions = sorted(consumer.list_topics(topic, _TIMEOUT).topics[topic].partitions)
        return max((_last_of(consumer, topic, number) for number in partitions), default=0)
    finally:
        consumer.close()


def _last_of(consumer: Consumer, topic: str, number: int) -> int:
    """The last sequence number of a partition; its end may be transaction markers or foreign."""
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=_TIMEOUT)
    back = 16
    while high > low:
        start = max(low, high - back)
        if last := _highest(consumer, TopicPartition(topic, number, start)):
            return last
        if start == low:
            break
        back *= 16
    return 0


def _highest(consumer: Consumer, start: TopicPartition) -> int:
    consumer.assign([start])
    highest = 0
    deadline = time.monotonic() + _TIMEOUT
    while time.monotonic() < deadline:
        message = consumer.poll(_POLL_SECONDS)
        if message is None:
            continue
        failure = message.error()
        if failure is None:
            highest = max(highest, _sequence(message.value()))
            deadline = time.monotonic() + _TIMEOUT
        elif failure.code() == KafkaError._PARTITION_EOF:
            return highest
    raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


def _sequence(body: bytes | None) -> int:
    try:
        return parse(body or b"").sequence
    except BadMessageError:
        return 0


def _commit(producer: Producer) -> None:
    """Commit the transaction. Where the answer is lost, asking again is safe for a while."""
    deadline = time.monotonic() + _COMMIT_TIMEOUT
    while True:
        try:
            producer.commit_transaction(_TIMEOUT)
        except KafkaException as error:
            if not error.args[0].retriable() or time.monotonic() > deadline:
                raise
        else:
            return


def _broken(error: KafkaException) -> Exception:
    """What a failed call means: to try again from the topic's position, or to give up."""
    code = error.args[0].code()
    if code == KafkaError.MSG_SIZE_TOO_LARGE:
        return InputError(
            "Kafka refuses a message as too large. Raise the topic's max.message.bytes and start "
            "this again; it goes on from there."
        )
    if code in _DENIED:
        return _unreachable(error.args[0].str())
    return StreamBrokenError(error.args[0].str())


_DENIED = {
    KafkaError._AUTHENTICATION,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}


def _too_large(event: Outgoing) -> InputError:
    return InputError(
        f"Event {event.sequence} is {len(event.body):,} bytes, more than the Kafka client sends. "
        "Raise message.max.bytes in [STREAM] KAFKA_PROPERTIES, and the topic's max.message.bytes."
    )


def _unreachable(reason: str) -> AccessError:
    return AccessError(
        f"Kafka cannot be used ({reason}). Check that the broker runs, the address, and "
        "[STREAM] KAFKA_PROPERTIES if it asks for TLS or a password."
    )
