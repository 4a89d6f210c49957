"""Whose a message is: the mark that a publisher puts on what it sends.

Kafka carries it in headers, as attributes of CloudEvents (binary content mode); a folder and
Kinesis have no headers, so there it stands in the message itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

Header = tuple[str, str | bytes | None]  # as the Kafka client has it
Headers = Iterable[Header] | Mapping[str, str | bytes | None] | None


class Mark(NamedTuple):
    """The publisher's id, and the first sequence number that carries its mark.

    What has a lower number was sent by a release that did not mark its messages.
    """

    publisher: str
    since: int


def foreign(own: Mark | None, found: Mark | None, sequence: int, is_possible: bool) -> str:
    """Why a message is not one of the publisher `own`; "" if it is, as far as can be known.

    `own`: None where no mark was seen yet. `is_possible`: whether the stream can hold so many.
    """
    if found is not None:
        return "" if own is None or found.publisher == own.publisher else "other_publisher"
    if own is not None:
        return "" if sequence < own.since else "unmarked"
    return "" if is_possible else "impossible_sequence"


def event_headers(
    mark: Mark, event_id: str, time: str, content_type: bytes = b"application/json"
) -> list[Header]:
    """The headers of an event. The record's own timestamp is the time of its publication.

    A broker deletes by that timestamp: events of long ago would be gone within minutes.
    """
    own = [("ce_id", event_id.encode()), ("ce_time", time.encode())]
    return [("content-type", content_type), *_every(mark, "clickstream"), *own]


def retraction_headers(mark: Mark, sequence: int) -> list[Header]:
    """The headers of a tombstone, which has nothing else that could tell its number."""
    number = str(sequence).encode()
    return [*_every(mark, "retraction"), ("ce_id", number), ("ce_sequence", number)]


def correction_headers(
    mark: Mark, sequence: int, event_id: str, content_type: bytes | None
) -> list[Header]:
    """The headers of a correction; without a type of content those of a tombstone."""
    number = str(sequence).encode()
    own = [("ce_id", b"correction-" + number), ("ce_subject", event_id.encode())]
    type_ = [("content-type", content_type)] if content_type else []
    return [*type_, *_every(mark, "correction"), *own, ("ce_sequence", number)]


@lru_cache(maxsize=10)
def _every(mark: Mark, kind: str) -> tuple[Header, ...]:
    return (
        ("ce_specversion", b"1.0"),
        ("ce_type", f"clicklake.{kind}.v1".encode()),
        ("ce_source", f"urn:clicklake:publisher:{mark.publisher}".encode()),
        ("ce_since", b"%d" % mark.since),
    )


def sequence_of(found: Headers) -> int:
    """The number of a tombstone or a correction; 0 if it has none."""
    number = dict(found or ()).get("ce_sequence")
    is_number = isinstance(number, bytes) and re.fullmatch(rb"\d{1,16}", number)
    return int(number) if number and is_number else 0


def of_headers(found: Headers) -> Mark | None:
    """The mark in a message's headers; None if there is none."""
    if not found:
        return None
    named = dict(found)
    return _mark(named.get("ce_source"), named.get("ce_since"))


@lru_cache(maxsize=100)
def _mark(source: str | bytes | None, since: str | bytes | None) -> Mark | None:
    if not isinstance(source, bytes) or not isinstance(since, bytes):
        return None
    named = re.fullmatch(rb"urn:clicklake:publisher:([0-9a-f]{32})", source)
    if not named or not re.fullmatch(rb"\d{1,16}", since):
        return None
    return Mark(named[1].decode(), int(since))


def in_body(mark: Mark, body: bytes) -> bytes:
    """A message with its mark inside, first of all."""
    return b'{"publisher":"%b","publisher_since":%d,%b' % (
        mark.publisher.encode(),
        mark.since,
        body[1:],
    )


def of_body(publisher: object, since: object) -> Mark | None:
    """The mark in a message's fields of these names; None if there is none."""
    if isinstance(publisher, str) and type(since) is int:
        return Mark(publisher, since)
    return None
