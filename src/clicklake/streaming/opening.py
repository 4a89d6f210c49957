"""The sink or source at an address."""

from __future__ import annotations

from pathlib import Path

from clicklake.config import Config
from clicklake.streaming.stream import Address, Sink, Source


def open_sink(address: Address, state: Path, config: Config) -> Sink:
    """The sink at `address`; `state` is the publisher's own folder for it."""
    if address.kind == "kafka":
        from clicklake.streaming.kafka import KafkaSink

        return KafkaSink(address.servers, address.name, config.stream.kafka_properties)
    if address.kind == "kinesis":
        from clicklake.streaming.kinesis import KinesisSink
        from clicklake.streaming.kinesis_client import client

        return KinesisSink(client(config), address.name, state / "kinesis.json")
    from clicklake.streaming.folder import FolderSink

    return FolderSink(Path(address.name))


def open_source(address: Address, config: Config) -> Source:
    """The source at `address`. Raises InputError if there is no such stream."""
    if address.kind == "kafka":
        from clicklake.streaming.kafka import KafkaSource

        return KafkaSource(address.servers, address.name, config.stream.kafka_properties)
    if address.kind == "kinesis":
        from clicklake.streaming.kinesis import KinesisSource
        from clicklake.streaming.kinesis_client import client

        return KinesisSource(client(config), address.name)
    from clicklake.streaming.folder import FolderSource

    return FolderSource(Path(address.name))
