"""Connections to Kafka: settings, topics, what is on them, and errors in words."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]
from confluent_kafka.cimpl import NewTopic

from clicklake.errors import AccessError, ConfigError, InputError
from clicklake.streaming.marks import sequence_of
from clicklake.streaming.messages import retracts
from clicklake.streaming.registry import PREFIX
from clicklake.streaming.stream import Outgoing, Position, StreamBrokenError, taken

TIMEOUT = 20.0
POLL_SECONDS = 0.1
_COMMIT_TIMEOUT = 60.0

# What a message says of the stream's position, given how many messages its topic ever had.
PositionIn = Callable[[Message, int], Position]


def client_settings(servers: str, properties: str) -> dict[str, Any]:
    """Settings of librdkafka, those of the user's file included."""
    usual = {"reconnect.backoff.max.ms": 1000, "log_level": 2}
    given = {k: v for k, v in read_properties(properties).items() if not k.startswith(PREFIX)}
    return {**usual, **given, "bootstrap.servers": servers}


def read_properties(file: str) -> dict[str, str]:
    """A file of `name = value` lines, for what a broker asks of its clients: TLS, SASL."""
    if not file:
        return {}
    try:
        lines = Path(file).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"[STREAM] KAFKA_PROPERTIES: {file} cannot be read.") from None
    pairs = [line.partition("=") for line in lines if line.strip() and line.strip()[0] not in "#!"]
    return {name.strip(): value.strip() for name, _, value in pairs}


def reading_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **settings,
        "group.id": "clicklake",  # required by the client; offsets are not kept there
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        # How long a broker waits at a partition's end before it says that there is nothing.
        "fetch.wait.max.ms": 100,
    }


def create_topic(
    settings: Mapping[str, Any], topic: str, config: Mapping[str, str] | None = None
) -> None:
    """Make the topic if there is none, with the broker's own number of partitions and replicas."""
    admin = client_of(AdminClient, settings)
    try:
        if topic not in admin.list_topics(timeout=TIMEOUT).topics:
            new = NewTopic(topic, -1, -1, config=dict(config or {}))
            admin.create_topics([new])[topic].result(TIMEOUT)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise unreachable(error.args[0].str()) from None


def refuse_if_not_compacted(settings: Mapping[str, Any], topic: str) -> None:
    """Raise InputError if the topic forgets what is old, whether something newer is there or not.

    A broker that does not tell is trusted.
    """
    admin = client_of(AdminClient, settings)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    try:
        policy = admin.describe_configs([resource])[resource].result(TIMEOUT)["cleanup.policy"]
    except KafkaException:
        return
    if policy.value != "compact":
        raise InputError(
            f"The topic {topic} has cleanup.policy={policy.value}: corrections would be deleted. "
            f"Set it to compact (kafka-configs --alter --topic {topic} --add-config "
            "cleanup.policy=compact), or name another topic in [STREAM] CORRECTIONS."
        )


def identity_of(settings: Mapping[str, Any], topic: str) -> str:
    """The ids of cluster and topic. A broker that gives no id to topics is told by their name."""
    admin = client_of(AdminClient, settings)
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            cluster = admin.describe_cluster(request_timeout=TIMEOUT).result().cluster_id
            described = admin.describe_topics(TopicCollection([topic]), request_timeout=TIMEOUT)
            id_ = str(described[topic].result().topic_id or "")
        except KafkaException as error:
            unknown = error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART
            if not unknown or time.monotonic() > deadline:
                raise unreachable(error.args[0].str()) from None
            time.sleep(0.1)  # it was made just now
        else:
            return f"kafka:{cluster}/{id_ if id_.strip('A') else topic}"


def partitions_of(settings: Mapping[str, Any], topic: str) -> list[int]:
    try:
        topics = client_of(AdminClient, settings).list_topics(timeout=TIMEOUT).topics
    except KafkaException as error:
        raise unreachable(error.args[0].str()) from None
    if topic not in topics:
        raise InputError(f"Kafka has no topic {topic}. Run scripts/stream.py publish first.")
    return sorted(topics[topic].partitions)


def client_of(kind: type, settings: Mapping[str, Any]) -> Any:
    try:
        return kind(dict(settings))
    except KafkaException as error:
        raise ConfigError(f"[STREAM] KAFKA_PROPERTIES: {error.args[0].str()}.") from None


def bounds_of(consumer: Consumer, topic: str, partitions: list[int]) -> list[tuple[int, int]]:
    """The first offset that a partition still has, and the one after its last, for each."""
    ends = [TopicPartition(topic, number) for number in partitions]
    return [consumer.get_watermark_offsets(end, timeout=TIMEOUT) for end in ends]


def last_position(settings: Mapping[str, Any], topic: str, position_in: PositionIn) -> Position:
    """The committed message of the highest number; a chunk is there whole or not at all."""
    consumer = Consumer(reading_settings(settings) | {"fetch.wait.max.ms": 10})
    try:
        partitions = sorted(consumer.list_topics(topic, TIMEOUT).topics[topic].partitions)
        bounds = bounds_of(consumer, topic, partitions)
        # No number is higher than the count of messages that the topic ever had.
        most = sum(high for _, high in bounds)
        found = [
            _last_of(consumer, TopicPartition(topic, number), bound, position_in, most)
            for number, bound in zip(partitions, bounds, strict=True)
        ]
        return max(found, default=Position(0))
    finally:
        consumer.close()


def _last_of(
    consumer: Consumer,
    partition: TopicPartition,
    bounds: tuple[int, int],
    position_in: PositionIn,
    most: int,
) -> Position:
    """The highest event of a partition's end, which may be transaction markers or foreign."""
    low, high = bounds
    back = 16
    while high > low:
        start = max(low, high - back)
        partition.offset = start
        if (last := _highest(consumer, partition, position_in, most)).sequence:
            return last
        if start == low:
            break
        back *= 16
    return Position(0)


def _highest(
    consumer: Consumer, start: TopicPartition, position_in: PositionIn, most: int
) -> Position:
    consumer.assign([start])
    highest = Position(0)
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        message = consumer.poll(POLL_SECONDS)
        if message is None:
            continue
        failure = message.error()
        if failure is None:
            highest = max(highest, position_in(message, most))
            deadline = time.monotonic() + TIMEOUT
        elif failure.code() == KafkaError._PARTITION_EOF:
            return highest
    raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


def body_of(message: Message) -> bytes:
    """What a message says; for a tombstone, the retraction that it stands for."""
    body, key = message.value(), message.key()
    if body is None and key:
        visitor = (key if isinstance(key, bytes) else key.encode()).decode(errors="replace")
        return b'{"sequence":%d,%b' % (sequence_of(message.headers()), retracts(visitor)[1:])
    return body if isinstance(body, bytes) else (body or "").encode()


def commit_transaction(producer: Producer) -> None:
    """Commit the transaction. Where the answer is lost, asking again is safe for a while."""
    deadline = time.monotonic() + _COMMIT_TIMEOUT
    while True:
        try:
            producer.commit_transaction(TIMEOUT)
        except KafkaException as error:
            if not error.args[0].retriable() or time.monotonic() > deadline:
                raise
        else:
            return


def translated(error: KafkaException, topic: str) -> Exception:
    """What a failed call means: to try again from the topic's position, or to give up."""
    code = error.args[0].code()
    if code == KafkaError.MSG_SIZE_TOO_LARGE:
        return InputError(
            "Kafka refuses a message as too large. Raise the topic's max.message.bytes and start "
            "this again; it goes on from there."
        )
    if code in _FENCED:
        return taken(f"kafka topic {topic}")
    if code in _DENIED:
        return unreachable(error.args[0].str())
    return StreamBrokenError(error.args[0].str())


_FENCED = {
    KafkaError._FENCED,
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
}
_DENIED = {
    KafkaError._AUTHENTICATION,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}


def too_large(event: Outgoing) -> InputError:
    return InputError(
        f"Event {event.sequence} is {len(event.body):,} bytes, more than the Kafka client sends. "
        "Raise message.max.bytes in [STREAM] KAFKA_PROPERTIES, and the topic's max.message.bytes."
    )


def unreachable(reason: str) -> AccessError:
    return AccessError(
        f"Kafka cannot be used ({reason}). Check that the broker runs, the address, and "
        "[STREAM] KAFKA_PROPERTIES if it asks for TLS or a password."
    )
