"""Events in requests that Kinesis takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from clicklake.errors import InputError
from clicklake.streaming.stream import Outgoing

# What one PutRecords takes; the limit on bytes is 5 MiB, partition keys included.
_REQUEST_RECORDS = 500


_REQUEST_BYTES = 4 * 1024 * 1024


_RECORD_BYTES = 1024 * 1024
_MARK_BYTES = 100  # what the publisher's mark adds to a message, at most


def rounds(events: Sequence[Outgoing]) -> list[list[Outgoing]]:
    """Cut events into rounds, the n-th of which holds the n-th event of each visitor.

    Kinesis keeps no order within a request of which it refuses a part. Sent round by round, each
    to its end, the events of a visitor keep theirs.
    """
    by_visitor: dict[str, list[Outgoing]] = defaultdict(list)
    for event in events:
        by_visitor[event.key].append(event)
    return [
        [event for event in round_ if event is not None]
        for round_ in zip_longest(*by_visitor.values())
    ]


def requests(events: list[Outgoing]) -> Iterator[list[Outgoing]]:
    request: list[Outgoing] = []
    size = 0
    for event in events:
        weight = len(event.body) + len(event.key.encode()) + _MARK_BYTES
        if weight > _RECORD_BYTES:
            raise InputError(
                f"Event {event.sequence} is {weight:,} bytes, and Kinesis takes 1 MiB. "
                "Publish to Kafka or a folder."
            )
        if len(request) == _REQUEST_RECORDS or size + weight > _REQUEST_BYTES:
            yield request
            request, size = [], 0
        request.append(event)
        size += weight
    if request:
        yield request
