"""The publisher's order, whatever order the partitions are read in, as TCP does for packets.

An event is passed on when its sequence number is the next one. One that came before is dropped:
it is on the stream twice, or was read twice. One that is ahead waits for those before it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Sequence

from clicklake.streaming.messages import Event, Retraction
from clicklake.streaming.stream import Incoming

Numbered = Event | Retraction


class Sequencer:
    """Puts events in order and knows from where each partition must be read again.

    `expected`: the next sequence number. `positions`: {partition: offset}, the last message of
    each partition such that it and all before it were passed on or dropped.
    """

    def __init__(self, expected: int, positions: dict[str, str], horizon: int) -> None:
        self.expected = expected
        self.positions = positions
        self.missing = 0  # sequence numbers given up
        self._horizon = horizon
        self._ahead: dict[int, tuple[Numbered, _Slot]] = {}
        self._reached: dict[str, int] = {}
        self._unsettled: dict[str, deque[_Slot]] = defaultdict(deque)

    @property
    def waiting(self) -> int:
        """How many events wait for one before them."""
        return len(self._ahead)

    def take(self, message: Incoming, event: Numbered | None) -> Sequence[Numbered]:
        """Take a message in, None for a bad one; returns the events whose turn has come."""
        slots = self._unsettled[message.partition]
        if event is None or event.sequence < self.expected or event.sequence in self._ahead:
            self._settle_now(message, slots)
            return ()
        self._reached[message.partition] = event.sequence
        if event.sequence > self.expected:
            slot = _Slot(message.partition, message.offset)
            slots.append(slot)
            self._ahead[event.sequence] = (event, slot)
            return ()
        self._settle_now(message, slots)
        self.expected += 1
        return (event, *self._next()) if self._ahead else (event,)

    def overtaken(self) -> set[str]:
        """The partitions that have come so far that the next event is on another, if on any."""
        enough = self.expected + self._horizon
        return {partition for partition, reached in self._reached.items() if reached > enough}

    def skip_missing(self, behind: Collection[str]) -> Iterator[Numbered]:
        """Go on without an event that is not on the stream, and pass on those after it.

        It is taken as missing when more than `horizon` events wait for it and each partition was
        read to its end or to where it can no longer come. `behind`: the partitions not at their
        end. A stream loses events when it keeps them for a limited time only.
        """
        while len(self._ahead) > self._horizon and set(behind) <= self.overtaken():
            earliest = min(self._ahead)
            self.missing += earliest - self.expected
            self.expected = earliest
            yield from self._next()

    def _next(self) -> Iterator[Numbered]:
        while self.expected in self._ahead:
            event, slot = self._ahead.pop(self.expected)
            slot.settled = True
            self._advance(slot.partition)
            self.expected += 1
            yield event

    def _settle_now(self, message: Incoming, slots: deque[_Slot]) -> None:
        if slots:
            slots.append(_Slot(message.partition, message.offset, settled=True))
        else:
            self.positions[message.partition] = message.offset

    def _advance(self, partition: str) -> None:
        slots = self._unsettled[partition]
        while slots and slots[0].settled:
            self.positions[partition] = slots.popleft().offset


class _Slot:
    """A message that was read and, until `settled`, is to be read again after a restart."""

    __slots__ = ("offset", "partition", "settled")

    def __init__(self, partition: str, offset: str, settled: bool = False) -> None:
        self.partition = partition
        self.offset = offset
        self.settled = settled
