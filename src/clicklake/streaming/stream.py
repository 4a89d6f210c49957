"""What a stream is to the publisher (a sink) and to the summarizer (a source)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from clicklake.errors import LeaseHeldError
from clicklake.streaming.marks import Mark, foreign, in_body
from clicklake.streaming.messages import BadMessageError, id_of, parse


class Outgoing(NamedTuple):
    """An event or a retraction on its way out; `key` (the visitor) decides the partition.

    `event_id` and `time` are those in the body, "" where an older release has decided to send it.
    """

    sequence: int
    key: str
    body: bytes
    event_id: str = ""
    time: str = ""
    is_retraction: bool = False


class Incoming(NamedTuple):
    """A message as read. `offset` is text: a line, a Kafka offset, a Kinesis sequence number.

    `mark`: that of its headers, where the stream has such. `fault`: why it could not be read; its
    body then says something about it.
    """

    partition: str
    offset: str
    body: bytes
    mark: Mark | None = None
    fault: str = ""


# Made of an iterable of their fields, sooner than by `_make`.
outgoing: Callable[[Iterable[Any]], Outgoing] = partial(tuple.__new__, Outgoing)
incoming: Callable[[Iterable[Any]], Incoming] = partial(tuple.__new__, Incoming)


class Position(NamedTuple):
    """How far a stream is. `event_id`: of the event with that number, "" where it is not known."""

    sequence: int
    event_id: str = ""


def position_of(
    body: bytes | None, own: Mark | None, header: Mark | None = None, is_possible: bool = True
) -> Position:
    """The position that a message on the stream stands for, 0 if it is not the publisher's.

    Raises LeaseHeldError if it is that of another publisher than `own`.
    """
    try:
        event = parse(body or b"")
    except BadMessageError:
        return Position(0)
    reason = foreign(own, header or event.mark, event.sequence, is_possible)
    if reason == "other_publisher":
        raise taken("The stream")
    return Position(0) if reason else Position(event.sequence, id_of(body or b""))


def is_own(body: bytes, own: Mark, sequence: int) -> bool:
    """Whether a message is the one that the publisher `own` gave that number."""
    try:
        return position_of(body, own).sequence == sequence
    except LeaseHeldError:
        return False


def marked(event: Outgoing, mark: Mark | None) -> bytes:
    """The event's message where a stream has no headers: with the publisher's mark inside."""
    return in_body(mark, event.body) if mark and event.sequence >= mark.since else event.body


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
    mark: Mark | None  # whose messages count; None for a publisher that has sent none yet

    def peek(self) -> Position:
        """What `position` says, without shutting out another publisher."""
        ...

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

    def redact(self, digests: Collection[str]) -> None:
        """Take the events of these visitors off the stream, where that can be done."""
        ...

    def close(self) -> None: ...


class Source(Protocol):
    """A stream to read."""

    topic: str
    horizon: int  # an event that this many later ones have overtaken is missing
    mark: Mark | None  # the publisher's, where it is known; set before `open`

    def open(self, positions: Mapping[str, str]) -> None:
        """Begin after `positions`, {partition: offset}; a partition not named, at its start."""
        ...

    def poll(self) -> list[Incoming]:
        """The next messages; after a short wait, none."""
        ...

    def behind(self) -> Collection[str]:
        """The partitions that have not been read to their present end."""
        ...

    def can_hold(self, sequence: int, message: Incoming) -> bool:
        """Whether the stream can hold so many messages that one there has this number."""
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
