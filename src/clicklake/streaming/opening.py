"""The sink or source at an address."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from clicklake.config import Config, Stream
from clicklake.streaming.stream import Address, Sink, Source

if TYPE_CHECKING:
    from clicklake.streaming.avro import AvroReader
    from clicklake.streaming.formats import Format
    from clicklake.streaming.registry import Registry


def open_sink(address: Address, state: Path, config: Config) -> Sink:
    """The sink at `address`; `state` is the publisher's own folder for it."""
    if address.kind == "kafka":
        from clicklake.streaming.avro import EVENT
        from clicklake.streaming.formats import Reader
        from clicklake.streaming.kafka import KafkaSink

        stream = config.stream
        reader = Reader(_avro_reader(stream))
        properties, format_ = stream.kafka_properties, _format(address.name, stream, EVENT)
        return KafkaSink(address.servers, address.name, properties, format_, reader)
    if address.kind == "kinesis":
        from clicklake.streaming.kinesis import KinesisSink
        from clicklake.streaming.kinesis_client import client

        return KinesisSink(client(config), address.name, state / "kinesis.json")
    from clicklake.streaming.folder import FolderSink

    return FolderSink(Path(address.name))


def open_corrections(topic: Address, config: Config) -> Sink:
    """The sink of a topic of corrections."""
    from clicklake.streaming.avro import CORRECTED
    from clicklake.streaming.kafka import CorrectionsSink

    format_ = _format(topic.name, config.stream, CORRECTED)
    return CorrectionsSink(topic.servers, topic.name, config.stream.kafka_properties, format_)


def open_source(address: Address, config: Config) -> Source:
    """The source at `address`. Raises InputError if there is no such stream."""
    if address.kind == "kafka":
        from clicklake.streaming.formats import Reader
        from clicklake.streaming.kafka import KafkaSource

        properties, reader = config.stream.kafka_properties, Reader(_avro_reader(config.stream))
        return KafkaSource(address.servers, address.name, properties, reader)
    if address.kind == "kinesis":
        from clicklake.streaming.kinesis import KinesisSource
        from clicklake.streaming.kinesis_client import client

        return KinesisSource(client(config), address.name)
    from clicklake.streaming.folder import FolderSource

    return FolderSource(Path(address.name))


def _format(topic: str, stream: Stream, schema: dict[str, Any]) -> Format:
    """What a topic is written in."""
    from clicklake.streaming.avro import Avro
    from clicklake.streaming.formats import JSON

    return JSON if stream.stream_format == "json" else Avro(_registry(stream), topic, schema)


def _avro_reader(stream: Stream) -> AvroReader | None:
    from clicklake.streaming.avro import EVENT, AvroReader

    return AvroReader(_registry(stream), EVENT) if stream.schema_registry else None


def _registry(stream: Stream) -> Registry:
    from clicklake.streaming.kafka_client import read_properties
    from clicklake.streaming.registry import Registry

    return Registry(stream.schema_registry, read_properties(stream.kafka_properties))
