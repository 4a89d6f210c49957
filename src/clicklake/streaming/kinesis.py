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
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from clicklake.storage.durable import write_durably
from clicklake.streaming.kinesis_client import ExpiredError, told
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

_KEY_LENGTH = 256


_ATTEMPTS = 8


_WAIT_SECONDS = 0.5


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

    def peek(self) -> Position:
        return self.position()

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

    def redact(self, digests: Collection[str]) -> None:
        """Nothing: a record stays on Kinesis until its retention has passed."""

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
                {"Data": marked(event, self.mark), "PartitionKey": _partition_key(event)}
                for event in events
            ]
            with told(self._stream, broken=True):
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


def _partition_key(event: Outgoing) -> str:
    """The visitor; of a retraction not even that, as its order is told by its number."""
    return str(event.sequence) if event.is_retraction else event.key[:_KEY_LENGTH]


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
        with told(self._stream):
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
        with told(self._stream):
            answer = self._client.get_shard_iterator(
                StreamName=self._stream, ShardId=shard, **where
            )
        return answer["ShardIterator"]

    def _records(self, shard: str) -> Any:
        try:
            with told(self._stream):
                return self._client.get_records(ShardIterator=self._iterators[shard])
        except ExpiredError:
            self._iterators[shard] = self._iterator(shard)
            with told(self._stream):
                return self._client.get_records(ShardIterator=self._iterators[shard])
