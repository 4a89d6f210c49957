"""Visits: the events of a visitor without a long pause between them.

All events of a visitor are looked at together, as columns of codes: whatever depends on a URL,
a browser or a screen alone is computed once for each distinct one, and only numbers are sorted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clicklake.derive import columns as derived_columns
from clicklake.parse import fields
from clicklake.parse.rows import CLICKS
from clicklake.parse.texts import kernels
from clicklake.parse.values import SECOND
from clicklake.rules.bots import names_crawler
from clicklake.schemas import CLICKSTREAM, SESSIONS, TIMESTAMP, Table

# Parsed events, and those of other months with the start of the session that they belong to.
EVENTS = pa.schema([*CLICKS, pa.field("started_at", TIMESTAMP)])

TEXTS = [field.name for field in EVENTS if pa.types.is_string(field.type)]
_TIES = TEXTS[1:]  # all but the visitor: the order of events at the same time
# The columns of a session that are those of its first event.
_OF_THE_FIRST = [
    name for name in SESSIONS.columns if name in CLICKSTREAM.columns and name != "is_bot"
]
_MINUTE = 60 * SECOND
_REASONS = ("agent", "rate")
_NULL = -1  # the code of null
_PORTION = 1 << 17  # rows of a table that is made at once: a row group of its file


@dataclass(frozen=True)
class Rules:
    """The settings that labels and sessions depend on."""

    gap_minutes: int
    bot_views_per_minute: int

    @property
    def gap(self) -> timedelta:
        return timedelta(minutes=self.gap_minutes)


@dataclass(frozen=True)
class CodedTexts:
    """A column of texts: a code for each row, -1 for null, and what each code stands for."""

    codes: np.ndarray
    values: pa.Array

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> CodedTexts:
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        encoded = column.unify_dictionaries().combine_chunks()
        codes = encoded.indices.fill_null(_NULL) if encoded.null_count else encoded.indices
        return cls(codes.to_numpy(), encoded.dictionary)

    def take(self, at: np.ndarray) -> CodedTexts:
        return CodedTexts(self.codes[at], self.values)

    def by_value(self, values: pa.Array) -> CodedTexts:
        """The column in which each text is replaced by one that depends on it alone."""
        texts = CodedTexts.of(pa.chunked_array([values]))
        return CodedTexts(self._looked_up(texts.codes, _NULL), texts.values)

    def numbers(self, values: pa.Array) -> pa.Array:
        """The column of numbers in which each text is replaced by its own."""
        known = values.is_valid().to_numpy(zero_copy_only=False)
        numbers = values.fill_null(0).to_numpy()
        return pa.array(self._looked_up(numbers, 0), mask=~self._looked_up(known, False))

    def flags(self, values: list[bool]) -> np.ndarray:
        """Which rows have a text that is flagged."""
        return self._looked_up(np.array(values, bool), False)

    def _looked_up(self, by_code: np.ndarray, of_null: object) -> np.ndarray:
        """A value for each row; null's code, -1, finds the one that is put last."""
        return np.append(by_code, np.array([of_null], by_code.dtype))[self.codes]

    def to_arrow(self) -> pa.DictionaryArray:
        """The column with those of its texts alone that it holds."""
        compiled = kernels()
        if compiled:
            codes, held = compiled.renumbered(self.codes, len(self.values))
        else:
            held, codes = np.unique(self.codes, return_inverse=True)
            if len(held) and held[0] == _NULL:
                held, codes = held[1:], codes - 1
        is_null = codes == _NULL
        indices = pa.array(codes.astype(np.int32), mask=is_null if is_null.any() else None)
        values = self.values.take(pa.array(held))
        return pa.DictionaryArray.from_arrays(indices, values, safe=False)

    def ranks(self) -> np.ndarray:
        """The place of each row's text in the order of texts, null first."""
        held, places = np.unique(self.codes, return_inverse=True)
        texts = self.values.take(pa.array(held, mask=held == _NULL))
        ranks = np.empty(len(held), np.int64)
        ranks[pc.array_sort_indices(texts, null_placement="at_start")] = np.arange(len(held))
        return ranks[places]


class Visits:
    """The events of some visitors, each key once, in their order, labelled and in sessions.

    `events`: all there are of these visitors, columns `EVENTS`. Those with a `started_at` are
    taken to belong to the session that began then; the others are `own`.
    """

    def __init__(self, events: pa.Table, rules: Rules) -> None:
        texts = {name: CodedTexts.of(events[name]) for name in TEXTS}
        time = _micros(events["time"])
        order = _distinct(_ordered(texts, time), texts, time)
        self.texts = {name: column.take(order) for name, column in texts.items()}
        self.time = time[order]
        visitor = self.texts["anonymous_user_id"].codes
        self.own = events["started_at"].is_null().to_numpy()[order]
        known = None if self.own.all() else _micros(events["started_at"].fill_null(0))[order]
        self.start = _starts(visitor, self.time, known, self.own, rules.gap_minutes * _MINUTE)
        self.is_fast = _is_fast(visitor, self.time, rules.bot_views_per_minute)
        self.is_crawler = np.logical_or(*(self._names_crawler(name) for name in ("browser", "os")))
        self.is_first = _changes(visitor, self.start)

    def _names_crawler(self, name: str) -> np.ndarray:
        column = self.texts[name]
        return column.flags([names_crawler(value) for value in column.values.to_pylist()])

    @cached_property
    def _derived(self) -> dict[str, CodedTexts]:
        """The columns of texts that follow from another one, or from visitor and start."""
        first = np.flatnonzero(self.is_first)
        visitors = self.texts["anonymous_user_id"].take(first).to_arrow().dictionary_decode()
        starts = pa.array(self.start[first]).cast(pa.string())
        sessions = pc.binary_join_element_wise(visitors, starts, "-")
        number = np.cumsum(self.is_first, dtype=np.int32) - 1
        reason = np.where(self.is_crawler, 0, np.where(self.is_fast, 1, _NULL))
        return {
            **{
                name: self.texts[source].by_value(values)
                for source, name, values in self._by_value
                if pa.types.is_string(values.type)
            },
            "session_id": CodedTexts(number, sessions),
            "bot_reason": CodedTexts(reason, pa.array(_REASONS)),
        }

    @cached_property
    def _by_value(self) -> list[tuple[str, str, pa.Array]]:
        """For each derived column its source, its name, and a value for each of the source's."""
        return [
            (source, name, values)
            for source in derived_columns.SOURCES
            for name, values in derived_columns.derived(source, self.texts[source].values).items()
        ]

    @cached_property
    def pages(self) -> CodedTexts:
        """The page of each event: host, if there is one, and path of its URL."""
        parts = {name: values for _, name, values in self._by_value}
        hosts = parts["host"].fill_null("")
        return self.texts["url"].by_value(pc.binary_join_element_wise(hosts, parts["path"], ""))

    @cached_property
    def _numbers(self) -> dict[str, pa.Array]:
        """The columns of numbers that follow from another one."""
        return {
            name: self.texts[source].numbers(values)
            for source, name, values in self._by_value
            if not pa.types.is_string(values.type)
        }

    def clickstream(self) -> Iterator[tuple[tuple[int, int], pa.Table]]:
        """The `own` events by month, in portions; texts as dictionaries."""
        is_bot = self.is_crawler | self.is_fast
        for month, at in _by_month(self.time, np.flatnonzero(self.own)):
            texts = {**self.texts, **self._derived}
            columns = {name: column.take(at).to_arrow() for name, column in texts.items()}
            columns |= {name: side.take(pa.array(at)) for name, side in self._numbers.items()}
            columns |= {"time": fields.timestamps(self.time[at]), "is_bot": pa.array(is_bot[at])}
            yield month, as_table(CLICKSTREAM, columns)

    def sessions(self) -> Iterator[tuple[tuple[int, int], pa.Table]]:
        """The sessions whose first event is there, by month of their start, in portions."""
        first = np.flatnonzero(self.is_first)
        if not len(first):
            return
        last = np.append(first[1:], len(self.time)) - 1
        is_bot = np.logical_or.reduceat(self.is_crawler | self.is_fast, first)
        texts = {**self.texts, **self._derived}
        whole = np.flatnonzero(self.start[first] == self.time[first])
        for month, at in _by_month(self.start[first], whole):
            begins, ends = first[at], last[at]
            columns = {name: texts[name].take(begins).to_arrow() for name in _OF_THE_FIRST}
            columns |= {
                "started_at": fields.timestamps(self.start[begins]),
                "ended_at": fields.timestamps(self.time[ends]),
                "events": pa.array(ends - begins + 1),
                "landing_path": texts["path"].take(begins).to_arrow(),
                "exit_path": texts["path"].take(ends).to_arrow(),
                "is_bot": pa.array(is_bot[at]),
            }
            yield month, as_table(SESSIONS, columns)


def _micros(times: pa.ChunkedArray) -> np.ndarray:
    return times.cast(pa.int64()).to_numpy()


def _ordered(texts: dict[str, CodedTexts], time: np.ndarray) -> np.ndarray:
    """The rows' numbers by visitor, time and then `_TIES`; of visitors in no special order."""
    visitor = texts["anonymous_user_id"].codes
    order = np.argsort(time, kind="stable")
    order = order[_by_code(visitor[order])]
    tied = ~_changes(visitor[order], time[order])[1:]
    if not tied.any():
        return order
    places = np.flatnonzero(np.append(tied, False) | np.append(False, tied))
    rows = order[places]
    ranks = [texts[name].take(rows).ranks() for name in reversed(_TIES)]
    order[places] = rows[np.lexsort((*ranks, time[rows], visitor[rows]))]
    return order


def _by_code(codes: np.ndarray) -> np.ndarray:
    """A stable order of small integers, by their lower half and then by the upper one.

    Of 16 bits NumPy makes a radix sort, ten times as fast as one of 32.
    """
    order = np.argsort((codes & 0xFFFF).astype(np.uint16), kind="stable")
    return order[np.argsort((codes >> 16).astype(np.uint16)[order], kind="stable")]


def _distinct(order: np.ndarray, texts: dict[str, CodedTexts], time: np.ndarray) -> np.ndarray:
    """The same order without the rows whose key equals that of the row before."""
    differs = _changes(time[order], texts["anonymous_user_id"].codes[order])
    same = np.flatnonzero(~differs)
    for name in _TIES:
        codes = texts[name].codes
        differs[same] |= codes[order[same]] != codes[order[same - 1]]
    return order[differs]


def _changes(*columns: np.ndarray) -> np.ndarray:
    """Which rows differ from the row before in one of the columns; the first does."""
    changes = np.ones(len(columns[0]), bool)
    np.not_equal(columns[0][1:], columns[0][:-1], out=changes[1:])
    for column in columns[1:]:
        changes[1:] |= column[1:] != column[:-1]
    return changes


def _starts(
    visitor: np.ndarray, time: np.ndarray, known: np.ndarray | None, own: np.ndarray, gap: int
) -> np.ndarray:
    """The start of each event's session: of the last event that opens one, or is known to."""
    opens = _changes(visitor)
    opens[1:] |= np.diff(time) > gap
    start = time
    if known is not None:
        opens |= ~own
        start = np.where(own, time, known)
    latest = np.maximum.accumulate(np.where(opens, np.arange(len(time)), 0))
    return start[latest]


def _is_fast(visitor: np.ndarray, time: np.ndarray, most: int) -> np.ndarray:
    """Which events are in a minute in which their visitor has more than `most`."""
    begins = np.flatnonzero(_changes(visitor, time // _MINUTE))
    counts = np.diff(np.append(begins, len(time)))
    return np.repeat(counts > most, counts)


def _by_month(time: np.ndarray, at: np.ndarray) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """The rows `at`, apart by the month of their time, in their order and in portions."""
    months = fields.months(time[at])
    for month in np.unique(months).tolist():
        rows = at[months == month]
        for begin in range(0, len(rows), _PORTION):
            yield fields.year_and_month(month), rows[begin : begin + _PORTION]


def as_table(table: Table, columns: dict[str, pa.Array]) -> pa.Table:
    """Rows of a table; texts may be dictionaries."""
    fields_ = [field.with_type(columns[field.name].type) for field in table.schema]
    return pa.table([columns[field.name] for field in fields_], pa.schema(fields_))
