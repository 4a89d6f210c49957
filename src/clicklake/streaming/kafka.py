"""Kafka as a stream: each chunk is one transaction, and the topic itself says how far it is.

The producer is transactional, so a chunk is on the topic whole or not at all for every reader of
committed messages, and a second producer of the same topic shuts out the first. What was sent
last is read back from the topic's own end: there is no other record of it that could be wrong.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from clicklake.streaming.formats import JSON, Format, Reader
from clicklake.streaming.kafka_client import (
    POLL_SECONDS,
    TIMEOUT,
    body_of,
    bounds_of,
    client_settings,
    commit_transaction,
    create_topic,
    last_position,
    partitions_of,
    reading_settings,
    refuse_if_not_compacted,
    too_large,
    translated,
    unreachable,
)
from clicklake.streaming.marks import (
    Header,
    Mark,
    correction_headers,
    event_headers,
    foreign,
    of_headers,
    retraction_headers,
    sequence_of,
)
from clicklake.streaming.messages import MAX_SEQUENCE
from clicklake.streaming.stream import Incoming, Outgoing, Position, incoming, position_of, taken

_POLL_MESSAGES = 10_000


_SILENT_SECONDS = 120.0


class KafkaSink:
    """The publisher's side. The key is the visitor, so a visitor keeps to one partition."""

    chunk = 10_000

    def __init__(
        self,
        servers: str,
        topic: str,
        properties: str,
        format_: Format = JSON,
        reader: Reader | None = None,
    ) -> None:
        self._settings = client_settings(servers, properties)
        self._topic = topic
        self._format = format_
        self._reader = reader or Reader()
        self._producer: Producer | None = None
        self.mark: Mark | None = None
        self._make_topic()

    def peek(self) -> Position:
        try:
            return last_position(self._settings, self._topic, self._position_in)
        except KafkaException as error:
            raise translated(error, self._topic) from None

    def position(self) -> Position:
        """Shut out any earlier producer, then read the highest number on the topic.

        What is read after that can only change with this producer being shut out itself.
        """
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
            self._producer.init_transactions(TIMEOUT)
        except KafkaException as error:
            raise translated(error, self._topic) from None
        return self.peek()

    def send(self, events: Sequence[Outgoing]) -> None:
        assert self._producer is not None, "position() comes first"
        producer = self._producer
        values = self._values(events)
        try:
            producer.begin_transaction()
            for event, value in zip(events, values, strict=True):
                self._produce(producer, event, value)
            commit_transaction(producer)
        except KafkaException as error:
            raise translated(error, self._topic) from None

    def redact(self, digests: Collection[str]) -> None:
        """Nothing: a record stays on Kafka until its retention has passed."""

    def close(self) -> None:
        self._producer = None

    def _make_topic(self) -> None:
        create_topic(self._settings, self._topic)

    def _values(self, events: Sequence[Outgoing]) -> list[bytes | None]:
        """What is sent of each; None, a tombstone, of a retraction."""
        bodies = [event.body for event in events if not event.is_retraction]
        encoded = iter(self._format.encode(bodies)) if bodies else iter(())
        return [None if event.is_retraction else next(encoded) for event in events]

    def _headers(self, event: Outgoing) -> list[Header]:
        mark = self.mark or Mark("", MAX_SEQUENCE)
        if event.sequence < mark.since:
            return []
        if event.is_retraction:
            return retraction_headers(mark, event.sequence)
        return event_headers(mark, event.event_id, event.time, self._format.content_type)

    def _position_in(self, message: Message, most: int) -> Position:
        header = of_headers(message.headers())
        [read] = self._reader.read([body_of(message)], [header], self.mark)
        found = position_of(read.body, self.mark, header)
        return found if header or self.mark or found.sequence <= most else Position(0)

    def _produce(self, producer: Producer, event: Outgoing, value: bytes | None) -> None:
        headers = self._headers(event)
        while True:
            try:
                producer.produce(self._topic, value, event.key.encode(), headers=headers)
            except BufferError:
                producer.poll(0.1)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                    raise too_large(event) from None
                raise
            else:
                return


class CorrectionsSink(KafkaSink):
    """The publisher's side of a topic of corrections, which keeps the last of each event.

    The key is the event's id, the number stands in a header: a tombstone has nothing else.
    """

    def _make_topic(self) -> None:
        create_topic(self._settings, self._topic, {"cleanup.policy": "compact"})
        refuse_if_not_compacted(self._settings, self._topic)

    def _headers(self, event: Outgoing) -> list[Header]:
        assert self.mark is not None, "only what was published is corrected"
        type_ = None if event.is_retraction else self._format.content_type
        return correction_headers(self.mark, event.sequence, event.key, type_)

    def _position_in(self, message: Message, most: int) -> Position:
        sequence, key = sequence_of(message.headers()), message.key()
        reason = foreign(self.mark, of_headers(message.headers()), sequence, is_possible=True)
        if reason == "other_publisher":
            raise taken(f"kafka topic {self._topic}")
        id_ = key.decode(errors="replace") if isinstance(key, bytes) else ""
        return Position(0) if reason else Position(sequence, id_)


class KafkaSource:
    """The summarizer's side: committed messages only, from offsets that the statistics keep."""

    horizon = 2 * KafkaSink.chunk

    def __init__(
        self, servers: str, topic: str, properties: str, reader: Reader | None = None
    ) -> None:
        self.topic = topic
        self._reader = reader or Reader()
        self._last_error = ""
        self._behind: set[int] = set()
        self._held: set[int] = set()
        self.mark: Mark | None = None
        self._most = 0
        self._heard = time.monotonic()
        settings = client_settings(servers, properties)
        self._partitions = partitions_of(settings, topic)
        self._consumer = Consumer(reading_settings(settings) | {"error_cb": self._note})

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
            messages = self._consumer.consume(_POLL_MESSAGES, POLL_SECONDS)
        except KafkaException as error:
            raise unreachable(error.args[0].str()) from None
        found: list[Incoming] = []
        for is_sound, run in groupby(messages, lambda message: message.error() is None):
            if is_sound:
                found += self._read(list(run))
            else:
                for message in run:
                    self._note_failed(message)
        self._refuse_silence(bool(messages))
        return found

    def _read(self, messages: list[Message]) -> list[Incoming]:
        partitions = [message.partition() or 0 for message in messages]
        self._behind.update(partitions)
        offsets = map(str, map(Message.offset, messages))
        marks = list(map(of_headers, map(Message.headers, messages)))
        read = self._reader.read(list(map(body_of, messages)), marks, self.mark)
        bodies, faults = zip(*read, strict=True)
        fields = zip(map(str, partitions), offsets, bodies, marks, faults, strict=True)
        return list(map(incoming, fields))

    def _note_failed(self, message: Message) -> None:
        failure = message.error()
        assert failure is not None
        if failure.code() == KafkaError._PARTITION_EOF:
            self._behind.discard(message.partition() or 0)
        elif not failure.retriable():
            raise unreachable(failure.str())

    def behind(self) -> Collection[str]:
        return [str(partition) for partition in self._behind]

    def can_hold(self, sequence: int, message: Incoming) -> bool:
        """No number is higher than the count of messages that the topic ever had."""
        if sequence > self._most:
            bounds = bounds_of(self._consumer, self.topic, self._partitions)
            self._most = sum(high for _, high in bounds)
        return sequence <= self._most

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
            raise unreachable(self._last_error or "no answer")


_START = OFFSET_BEGINNING
