"""A log, made day by day and in blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from typing import ClassVar

import numpy as np
import pyarrow as pa

from clicklake.samples.draws import Rows, daily_rhythm
from clicklake.samples.plan import DAY, Plan

LONG_RECORD = (1 << 20) + 1


class Log(ABC):
    """One source's log, made day by day."""

    folder: ClassVar[str]
    ending: ClassVar[str]
    number: ClassVar[int]  # keeps the logs' random numbers apart
    bytes_per_row: ClassVar[float]  # of text, for each row of the plan; measured
    header: ClassVar[bytes] = b""
    malformed_share = 0.008
    late_share = 0.015
    repeated_share = 0.004

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rhythm = daily_rhythm(plan)
        self._malformed_due = 0.0
        self._malformed = 0
        compressed = (
            d for d in range(plan.days) if plan.codecs[(d + self.number) % len(plan.codecs)]
        )
        self._day_of_long_record = next(compressed, 0)

    @abstractmethod
    def rows(self, rng: np.random.Generator, day: int) -> Iterator[Rows]:
        """What happened from one midnight to the next, in blocks; a visit may end after it."""

    @abstractmethod
    def lines(self, rows: Rows) -> pa.Array:
        """Each row as the text of its line, with the line's end."""

    @abstractmethod
    def malformed(self, day: date) -> list[bytes]:
        """One line for every reason to quarantine it, but for its length."""

    @abstractmethod
    def long_record(self) -> bytes: ...

    def files(self) -> Iterator[tuple[int, int, bytes]]:
        """(day, rows, text) of every file."""
        held: dict[int, list[Rows]] = defaultdict(list)  # until the day on which they arrive
        repeated: list[bytes] = []
        for day in range(self.plan.days):
            rng = np.random.default_rng([self.plan.seed, self.number, day])
            again: list[bytes] = []
            for block in self.rows(rng, day):
                arrived = np.concatenate([self._on_time(rng, block, day, held), *held.pop(day, [])])
                arrived = arrived[np.argsort(arrived["time"], kind="stable")]
                lines = self.lines(arrived)
                again += every_so_many(lines, round(1 / self.repeated_share))
                odd = [*repeated, *self._malformed_lines(len(lines), day)]
                yield day, len(lines) + len(odd), self.header + mixed_in(rng, lines, odd)
                repeated = []
            repeated = again

    def _on_time(
        self, rng: np.random.Generator, rows: Rows, day: int, held: dict[int, list[Rows]]
    ) -> Rows:
        """The rows that reach this day's files; the others are `held` for a later day's."""
        delay = rows["time"] // DAY - day
        late = rng.random(len(rows)) < self.late_share
        delay[late] += rng.choice([1, 2, 9], late.sum())
        for days in np.unique(delay[delay > 0]):
            held[day + int(days)].append(rows[delay == days])
        return rows[delay == 0]

    def _malformed_lines(self, rows: int, day: int) -> Iterator[bytes]:
        """The malformed lines for `rows` good ones; the reasons take turns."""
        if day == self._day_of_long_record:
            self._day_of_long_record = -1
            self._malformed_due -= 1
            yield self.long_record()
        self._malformed_due += rows * self.malformed_share
        lines = self.malformed(self.plan.start + timedelta(day))
        while self._malformed_due >= 1:
            yield lines[self._malformed % len(lines)] + b"\n"
            self._malformed_due -= 1
            self._malformed += 1


def _bounds(lines: pa.Array) -> tuple[np.ndarray, memoryview]:
    """Where each line begins, and after the last one its end, in the text of all of them."""
    _, offsets, data = lines.buffers()
    text = memoryview(data) if data is not None else memoryview(b"")
    return np.frombuffer(offsets, np.int32)[lines.offset : lines.offset + len(lines) + 1], text


def every_so_many(lines: pa.Array, step: int) -> list[bytes]:
    """Every so many lines one, and at least one."""
    places = np.arange(min(step, len(lines)) // 2, len(lines), step)
    return [line.encode() for line in lines.take(pa.array(places)).to_pylist()]


def mixed_in(rng: np.random.Generator, lines: pa.Array, odd: list[bytes]) -> bytes:
    """The text of `lines`, with the `odd` ones put between them."""
    bounds, text = _bounds(lines)
    places = np.sort(bounds[rng.integers(0, len(bounds), len(odd))])
    pieces: list[bytes | memoryview] = []
    begin = int(bounds[0])
    for place, line in zip(places.tolist(), odd, strict=True):
        pieces += [text[begin:place], line]
        begin = place
    pieces.append(text[begin : int(bounds[-1])])
    return b"".join(pieces)


def block_sizes(rows: float, plan: Plan) -> list[int]:
    """A day's rows in blocks of about equal size, none larger than a file may be."""
    total = max(1, round(rows))
    blocks = -(-total // plan.rows_per_file)
    return [total // blocks + (block < total % blocks) for block in range(blocks)]
