"""Kinesis as a stream. It has no transactions, so the publisher keeps a checkpoint of its own.

After each chunk the checkpoint says which number the stream holds everything up to, and the
Kinesis sequence number that each shard had come to. A publisher that died within a chunk reads the
shards on from there, and sends only what is missing. One doubled record stays possible: a
request that was under way when its sender died may arrive after that reading. Its number in the
message gives it away, and the summarizer drops it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from clicklake.config import Config
from clicklake.errors import AccessError, ConfigError, InputError
from clicklake.storage.durable import write_durably
from clicklake.streaming.kinesis_requests import requests, rounds
from clicklake.streaming.marks import Mark
from clicklake.streaming.messages import id_of
from clicklake.streaming.stream import (
    Incoming,
    Outgoing,
    Position,
    StreamBrokenError,
    marked,
    position_of,
    taken,
)

T = TypeVar("T")


_KEY_LENGTH = 256


_ATTEMPTS = 8


_WAIT_SECONDS = 0.5


def client(config: Config) -> Any:
    """A Kinesis client in the region of dl.cfg, or that of the standard AWS chain."""
    import boto3
    import botocore.config

    try:
        return boto3.client(
            "kinesis",
            region_name=config.cluster.region or None,
            config=botocore.config.Config(retries={"mode": "standard", "total_max_attempts": 8}),
        )
    except NoRegionError:
        raise ConfigError(
            "Kinesis needs a region: set [CLUSTER] REGION in dl.cfg or AWS_DEFAULT_REGION."
        ) from None


def arn_of(client: Any, stream: str) -> str:
    with _told(stream):
        answer = client.describe_stream_summary(StreamName=stream)
    return str(answer["StreamDescriptionSummary"]["StreamARN"])


class KinesisSink:
    """The publisher's side. The partition key is the visitor, so a visitor keeps to one shard.

    `checkpoint`: the file that says how far the stream is.
    """

    chunk = 5_000

    def __init__(self, client: Any, stream: str, checkpoint: Path) -> None:
        self._client = client
        self._stream = stream
        self._checkpoint = checkpoint
        self.mark: Mark | None = None
        self._shards: dict[str, str] = {}
        self._landed: dict[int, str] = {}  # number and event id of what lies after the checkpoint

    def position(self) -> Position:
        """Read the shards on from the checkpoint: what is there was sent before a failure."""
        saved = json.loads(self._checkpoint.read_bytes()) if self._checkpoint.exists() else None
        self._shards = dict(saved["shards"]) if saved else {}
        found = self._read_on()
        if saved is None:
            if found:
                return Position(*max(found.items()))
            self._save(0)
            return Position(0)
        position = int(saved["sequence"])
        self._landed = {number: id_ for number, id_ in found.items() if number > position}
        return Position(position)

    def send(self, events: Sequence[Outgoing]) -> None:
        missing = [event for event in events if not self._has_landed(event)]
        for round_ in rounds(missing):
            for request in requests(round_):
                self._put(request)
        self._save(events[-1].sequence)

    def close(self) -> None:
        pass

    def _has_landed(self, event: Outgoing) -> bool:
        landed = self._landed.get(event.sequence)
        if landed is not None and landed != id_of(event.body):
            raise taken(f"kinesis://{self._stream}")
        return landed is not None

    def _put(self, events: list[Outgoing]) -> None:
        """Send records until each is on the stream; Kinesis may refuse some of a request."""
        for attempt in range(_ATTEMPTS):
            records = [
                {"Data": marked(event, self.mark), "PartitionKey": event.key[:_KEY_LENGTH]}
                for event in events
            ]
            with _told(self._stream, broken=True):
                answer = self._client.put_records(StreamName=self._stream, Records=records)
            refused = []
            for event, result in zip(events, answer["Records"], strict=True):
                if "SequenceNumber" in result:
                    self._reached(result["ShardId"], result["SequenceNumber"])
                else:
                    refused.append(event)
            if not refused:
                return
            events = refused
            time.sleep(min(0.1 * 2**attempt, 5))
        raise StreamBrokenError(f"Kinesis refuses {len(events)} records again and again")

    def _read_on(self) -> dict[int, str]:
        """{number: event id} of what lies after the shards' positions, which move to the end."""
        reader = _ShardReader(self._client, self._stream, self._shards)
        found = {}
        while reader.behind():
            for message in reader.poll():
                self._reached(message.partition, message.offset)
                number, id_ = position_of(message.body, self.mark)
                found[number] = id_
        found.pop(0, None)
        return found

    def _reached(self, shard: str, number: str) -> None:
        if int(number) > int(self._shards.get(shard, "0")):
            self._shards[shard] = number

    def _save(self, sequence: int) -> None:
        saved = {"sequence": sequence, "shards": self._shards}
        write_durably(self._checkpoint, json.dumps(saved).encode())


class KinesisSource:
    """The summarizer's side: a shard is a partition, a Kinesis sequence number an offset."""

    horizon = 2 * KinesisSink.chunk

    def __init__(self, client: Any, stream: str) -> None:
        self._client = client
        self.topic = stream
        self.mark: Mark | None = None
        self._reader: _ShardReader

    def open(self, positions: Mapping[str, str]) -> None:
        self._reader = _ShardReader(self._client, self.topic, positions)

    def poll(self) -> list[Incoming]:
        messages = self._reader.poll()
        if not messages:
            time.sleep(_WAIT_SECONDS)
        return messages

    def behind(self) -> Collection[str]:
        return self._reader.behind()

    def can_hold(self, sequence: int, message: Incoming) -> bool:
        """Kinesis does not tell how many records a stream ever had."""
        return True

    def hold(self, partitions: Collection[str]) -> None:
        self._reader.held = partitions

    def close(self) -> None:
        pass


class _ShardReader:
    """Reads all shards, those too that a split or merge brings."""

    def __init__(self, client: Any, stream: str, positions: Mapping[str, str]) -> None:
        self._client = client
        self._stream = stream
        self._positions = dict(positions)
        self._iterators: dict[str, str] = {}
        self._closed: set[str] = set()
        self.held: Collection[str] = ()
        self._behind: set[str] = set()
        self._add_shards()

    def poll(self) -> list[Incoming]:
        messages = []
        for shard in [shard for shard in self._iterators if shard not in self.held]:
            answer = self._records(shard)
            for record in answer["Records"]:
                self._positions[shard] = record["SequenceNumber"]
                messages.append(Incoming(shard, record["SequenceNumber"], record["Data"]))
            if answer.get("NextShardIterator"):
                self._iterators[shard] = answer["NextShardIterator"]
                self._note(shard, bool(answer["Records"] or answer.get("MillisBehindLatest")))
            else:
                del self._iterators[shard]
                self._closed.add(shard)
                self._note(shard, False)
                self._add_shards()
        return messages

    def behind(self) -> Collection[str]:
        return self._behind

    def _note(self, shard: str, is_behind: bool) -> None:
        (self._behind.add if is_behind else self._behind.discard)(shard)

    def _add_shards(self) -> None:
        with _told(self._stream):
            pages = self._client.get_paginator("list_shards").paginate(StreamName=self._stream)
            shards = [shard["ShardId"] for page in pages for shard in page["Shards"]]
        for shard in shards:
            if shard not in self._iterators and shard not in self._closed:
                self._iterators[shard] = self._iterator(shard)
                self._behind.add(shard)

    def _iterator(self, shard: str) -> str:
        where = {"ShardIteratorType": "TRIM_HORIZON"}
        if shard in self._positions:
            where = {
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                "StartingSequenceNumber": self._positions[shard],
            }
        with _told(self._stream):
            answer = self._client.get_shard_iterator(
                StreamName=self._stream, ShardId=shard, **where
            )
        return answer["ShardIterator"]

    def _records(self, shard: str) -> Any:
        try:
            with _told(self._stream):
                return self._client.get_records(ShardIterator=self._iterators[shard])
        except _ExpiredError:
            self._iterators[shard] = self._iterator(shard)
            with _told(self._stream):
                return self._client.get_records(ShardIterator=self._iterators[shard])


class _ExpiredError(Exception):
    """A shard iterator is good for five minutes."""


@contextmanager
def _told(stream: str, broken: bool = False) -> Iterator[None]:
    """Turn the SDK's errors into ours; `broken`: those that may pass are StreamBrokenError."""
    try:
        yield
    except NoCredentialsError:
        raise AccessError("Kinesis: no AWS credentials were found.") from None
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ResourceNotFoundException":
            raise InputError(f"There is no Kinesis stream {stream}. Create it first.") from None
        if code == "ExpiredIteratorException":
            raise _ExpiredError from None
        if broken and code in _PASSING:
            raise StreamBrokenError(f"Kinesis: {code}") from None
        raise AccessError(f"Kinesis stream {stream}: {code}.") from None
    except BotoCoreError as error:
        name = type(error).__name__
        if broken:
            raise StreamBrokenError(f"Kinesis: {name}") from None
        raise AccessError(f"Kinesis stream {stream} does not answer ({name}).") from None


_PASSING = {
    "InternalFailure",
    "KMSThrottlingException",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "ServiceUnavailable",
}
