"""The publisher's order, whatever order the partitions are read in, as TCP does for packets.

An event is passed on when its sequence number is the next one. One that came before is dropped:
it is on the stream twice, or was read twice. One that is ahead waits for those before it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa

from clicklake.streaming.decoding import EVENTS
from clicklake.streaming.stream import Incoming


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
        self._ahead = EVENTS.empty_table()  # by number
        self._reached: dict[str, int] = {}
        self._unsettled: dict[str, _Unsettled] = defaultdict(_Unsettled)

    @property
    def waiting(self) -> int:
        """How many events wait for one before them."""
        return len(self._ahead)

    def take(self, messages: Sequence[Incoming], events: pa.Table) -> pa.Table:
        """Take messages in, and the numbered events among them; returns those whose turn has come.

        `events`: as `EVENTS`; their `row` says which message each of them is.
        """
        numbers = np.zeros(len(messages), np.int64)  # 0: nothing that has a turn
        rows = events["row"].to_numpy()
        numbers[rows] = events["sequence"].to_numpy()
        known = pa.concat_tables([self._ahead, events])
        distinct, first = np.unique(known["sequence"].to_numpy(), return_index=True)
        first = first[distinct >= self.expected]
        is_first = np.zeros(len(known), bool)
        is_first[first] = True
        numbers[rows[~is_first[len(self._ahead) :]]] = 0
        self._note(messages, numbers)
        in_order = len(first) == len(known) and bool((first[:-1] < first[1:]).all())
        self._ahead = known if in_order else known.take(first)
        return self._next()

    def overtaken(self) -> set[str]:
        """The partitions that have come so far that the next event is on another, if on any."""
        enough = self.expected + self._horizon
        return {partition for partition, reached in self._reached.items() if reached > enough}

    def skip_missing(self, behind: Collection[str]) -> pa.Table:
        """Go on without an event that is not on the stream, and pass on those after it.

        It is taken as missing when more than `horizon` events wait for it and each partition was
        read to its end or to where it can no longer come. `behind`: the partitions not at their
        end. A stream loses events when it keeps them for a limited time only.
        """
        passed = [EVENTS.empty_table()]
        while len(self._ahead) > self._horizon and set(behind) <= self.overtaken():
            earliest = self._ahead["sequence"][0].as_py()
            self.missing += earliest - self.expected
            self.expected = earliest
            passed.append(self._next())
        return pa.concat_tables(passed)

    def _next(self) -> pa.Table:
        numbers = self._ahead["sequence"].to_numpy()
        gaps = numbers - np.arange(len(numbers)) - self.expected
        run = int(np.searchsorted(gaps, 0, side="right"))
        ready, self._ahead = self._ahead.slice(0, run), self._ahead.slice(run)
        self.expected += run
        for partition, unsettled in list(self._unsettled.items()):
            if offset := unsettled.settle(self.expected):
                self.positions[partition] = offset
            if not unsettled:
                del self._unsettled[partition]
        return ready

    def _note(self, messages: Sequence[Incoming], numbers: np.ndarray) -> None:
        """Note what was read of each partition."""
        partitions = pa.array([m.partition for m in messages], pa.string()).dictionary_encode()
        offsets = np.array([message.offset for message in messages], object)
        for code, partition in enumerate(partitions.dictionary.to_pylist()):
            own = partitions.indices.to_numpy() == code
            self._unsettled[partition].add(numbers[own], offsets[own])
            if (found := numbers[own & (numbers > 0)]).size:
                self._reached[partition] = int(found[-1])


class _Unsettled:
    """The messages of a partition from the first on that is to be read again after a restart."""

    def __init__(self) -> None:
        self._numbers = np.empty(0, np.int64)
        self._offsets = np.empty(0, object)

    def __len__(self) -> int:
        return len(self._offsets)

    def add(self, numbers: np.ndarray, offsets: np.ndarray) -> None:
        self._numbers = np.concatenate([self._numbers, numbers])
        self._offsets = np.concatenate([self._offsets, offsets])

    def settle(self, expected: int) -> str:
        """Drop what lies before the first that still waits; the offset of its last, "" if none."""
        waits = self._numbers >= expected
        settled = int(waits.argmax()) if waits.any() else len(waits)
        last = str(self._offsets[settled - 1]) if settled else ""
        self._numbers, self._offsets = self._numbers[settled:], self._offsets[settled:]
        return last
