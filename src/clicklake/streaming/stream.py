"""What a stream is to the publisher (a sink) and to the summarizer (a source)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from clicklake.errors import LeaseHeldError


class Outgoing(NamedTuple):
    """An event on its way out; `key` (the visitor) decides the partition."""

    sequence: int
    key: str
    body: bytes


class Incoming(NamedTuple):
    """A message as read. `offset` is text: a line, a Kafka offset, a Kinesis sequence number."""

    partition: str
    offset: str
    body: bytes


class Position(NamedTuple):
    """How far a stream is. `event_id`: of the event with that number, "" where it is not known."""

    sequence: int
    event_id: str = ""


class StreamBrokenError(Exception):
    """The stream failed in a way that may pass; ask for the position and go on from there."""


def taken(stream: str) -> LeaseHeldError:
    """Another publisher writes the stream."""
    return LeaseHeldError(
        f"{stream}: another publisher has taken this stream over, or its broker gave this one up "
        "as dead. What was published before stays. Let one publisher, with one state folder, "
        "write a stream; this one goes on when it is started again, if the stream is still its own."
    )


class Sink(Protocol):
    """A stream to write. After any failure `position` says what to send next."""

    chunk: int  # how many events one `send` takes

    def position(self) -> Position:
        """The number up to which every event is on the stream; 0 if none is known.

        Raises LeaseHeldError if another publisher has the stream.
        """
        ...

    def send(self, events: Sequence[Outgoing]) -> None:
        """Put a chunk onto the stream, for good once this returns; `position` was asked before.

        Raises StreamBrokenError, or LeaseHeldError if another publisher has the stream.
        """
        ...

    def close(self) -> None: ...


class Source(Protocol):
    """A stream to read."""

    topic: str
    horizon: int  # an event that this many later ones have overtaken is missing

    def open(self, positions: Mapping[str, str]) -> None:
        """Begin after `positions`, {partition: offset}; a partition not named, at its start."""
        ...

    def poll(self) -> list[Incoming]:
        """The next messages; after a short wait, none."""
        ...

    def behind(self) -> Collection[str]:
        """The partitions that have not been read to their present end."""
        ...

    def hold(self, partitions: Collection[str]) -> None:
        """Read nothing of these partitions, and of the others again, until told otherwise."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Address:
    """Where a stream is: `kind` is folder, kafka or kinesis."""

    kind: str
    name: str  # the folder, the topic or the Kinesis stream
    servers: str = ""  # of Kafka: host:port, or several joined by commas

    def __str__(self) -> str:
        if self.kind == "folder":
            return self.name
        return f"{self.kind}://{self.servers + '/' if self.servers else ''}{self.name}"

    @property
    def slug(self) -> str:
        """The address as a folder's name."""
        return re.sub(r"[^A-Za-z0-9._-]+", "-", str(self))


def parse_address(text: str) -> Address:
    """Read an address that the configuration has checked.

    >>> parse_address("kafka://127.0.0.1:9092/clicks")
    Address(kind='kafka', name='clicks', servers='127.0.0.1:9092')
    """
    kind, separator, rest = text.partition("://")
    if not separator:
        return Address("folder", str(Path(text).expanduser().resolve()))
    servers, _, name = rest.rpartition("/")
    return Address(kind, name, servers)
