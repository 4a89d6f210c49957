"""CSV: a quote counts only as a field's first character, and is doubled inside quotes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from clicklake.parse.blocks import MAX_RECORD, Block
from clicklake.parse.records import TOO_LONG, Plain, Records, columns, is_blank, structural_fault


@dataclass(frozen=True)
class Dialect:
    """One character of ASCII between fields, and one that quotes them, if any.

    `comment`: what a line begins with that is no record; empty for none.
    """

    delimiter: str = ","
    quote: str = '"'
    comment: str = ""

    def is_blank(self, record: bytes) -> bool:
        """Whether a line is no record: a comment, or nothing but blanks that are no delimiters."""
        if self.comment and record.startswith(self.comment.encode()):
            return True
        return is_blank(record) and self.delimiter.encode() not in record

    @cached_property
    def field_end(self) -> re.Pattern[bytes]:
        return re.compile(b"[" + re.escape(self.delimiter).encode() + rb"\n]")

    @property
    def codes(self) -> tuple[int, int]:
        """Delimiter and quote as compiled code knows them; -1 for none."""
        return ord(self.delimiter), ord(self.quote) if self.quote else -1


USUAL = Dialect()


@dataclass(frozen=True)
class Layout:
    """How many fields a record has, and at which position each column stands."""

    width: int
    positions: dict[str, int]
    dialect: Dialect = USUAL


def header(
    record: bytes, names: Mapping[str, str], dialect: Dialect = USUAL
) -> tuple[Layout, list[str]]:
    """Find a header's names of our columns: the layout, and the names that are not ours.

    Case and blanks around a name do not count. Raises ValueError with what is wrong.
    """
    fault = structural_fault(record)
    fields = None if fault else split(record.decode("utf-8"), dialect)
    if fields is None:
        raise ValueError(f"its header cannot be read ({fault or 'unclosed_quote'})")
    given = [name.strip(" \t").lower() for name in fields]
    missing = [name for name in names.values() if name not in given]
    if missing:
        raise ValueError("its header lacks " + ", ".join(missing))
    doubled = [name for name in names.values() if given.count(name) > 1]
    if doubled:
        raise ValueError("its header has twice " + ", ".join(doubled))
    positions = {column: given.index(name) for column, name in names.items()}
    ours = set(names.values())
    return Layout(len(fields), positions, dialect), [name for name in given if name not in ours]


def split(record: str, dialect: Dialect = USUAL) -> list[str] | None:
    """The fields of a record; None if a quote is not closed."""
    fields, at = [], 0
    quote, delimiter = dialect.quote, dialect.delimiter
    while True:
        value = ""
        if quote and record.startswith(quote, at):
            quoted = _quoted(record, at + 1, quote)
            if quoted is None:
                return None
            value, at = quoted
        end = record.find(delimiter, at)
        fields.append(value + (record[at:] if end < 0 else record[at:end]))
        if end < 0:
            return fields
        at = end + 1


def _quoted(record: str, at: int, quote: str) -> tuple[str, int] | None:
    """The text from `at` to the closing quote, and the position behind it."""
    parts = []
    while True:
        end = record.find(quote, at)
        if end < 0:
            return None
        parts.append(record[at:end])
        if not record.startswith(quote, end + 1):
            return "".join(parts), end + 1
        parts.append(quote)
        at = end + 2


def read(block: Block, layout: Layout, *, multiline: bool = False, final: bool = True) -> Records:
    """The records of a block. Columns: those of the layout.

    `multiline` lets a record go on over line ends inside quotes; a record that is still open at
    the end of the block is left in `rest`, unless the block is `final`.
    """
    plain = _plain(block, layout)
    are_plain = np.zeros(len(block), np.bool_)
    are_plain[plain.lines] = True
    odd = _Odd(layout)
    rest = odd.read(block, are_plain, multiline=multiline, final=final)
    plain = plain.where(are_plain)
    return Records(
        columns=columns(list(layout.positions), block, plain, odd.values),
        first=np.concatenate([plain.lines, np.array(odd.first, np.int64)]),
        last=np.concatenate([plain.lines, np.array(odd.last, np.int64)]),
        broken=odd.broken,
        rest=rest,
    )


def _plain(block: Block, layout: Layout) -> Plain:
    """The lines that are a record each, every quote of theirs closed at a field's end."""
    fields = np.full(layout.width, -1, np.int32)
    fields[list(layout.positions.values())] = np.arange(len(layout.positions))
    return Plain.read(block, "csv_fields", len(layout.positions), *layout.dialect.codes, fields)


class _Odd:
    """The records that need care, one by one."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.first: list[int] = []
        self.last: list[int] = []
        self.values: list[list[str]] = []  # of each record, in the order of the layout's columns
        self.broken: list[tuple[int, int, str]] = []

    def read(self, block: Block, plain: np.ndarray, *, multiline: bool, final: bool) -> bytes:
        """Take the lines that are not plain, and no longer are if they are part of a record.

        Returns the bytes of a record that is open at the end.

        An empty line is part of a record or blank: no record begins with one.
        """
        after = 0
        for first in np.flatnonzero(~plain & (block.record_ends > block.starts)).tolist():
            if first < after:
                continue
            last, fault = _extent(block, first, self.layout.dialect) if multiline else (first, None)
            start = int(block.starts[first])
            if fault == "open":
                if not final:
                    plain[first:] = False
                    return block.data[start:]
                fault = "unclosed_quote"
            plain[first : last + 1] = False
            self._take(block.data[start : int(block.ends[last])], first, last, fault)
            after = last + 1
        return b""

    def _take(self, record: bytes, first: int, last: int, fault: str | None) -> None:
        dialect = self.layout.dialect
        if dialect.is_blank(record):
            return
        reason = TOO_LONG if fault == TOO_LONG else structural_fault(record) or fault
        fields = None if reason else split(record.decode("utf-8"), dialect)
        if reason is None and fields is None:
            reason = "unclosed_quote"
        if fields is not None and len(fields) != self.layout.width:
            reason = "wrong_field_count"
        if reason or fields is None:
            self.broken.append((first, last, reason or ""))
        else:
            self.first.append(first)
            self.last.append(last)
            self.values.append([fields[at] for at in self.layout.positions.values()])


def _extent(block: Block, first: int, dialect: Dialect) -> tuple[int, str | None]:
    """The last line of the record that begins in line `first`, and what is wrong with it.

    "open" means that a quote is open at the end of the block. A record that is too long ends
    with the line in which it passes the limit.
    """
    start = int(block.starts[first])
    end = _record_end(block.data, start, dialect)
    last = len(block) - 1 if end is None else _line_at(block, end)
    stop = len(block.data) if end is None else int(block.ends[last])
    if stop - start > MAX_RECORD:
        return _line_at(block, start + MAX_RECORD), TOO_LONG
    return last, "open" if end is None else None


def _line_at(block: Block, position: int) -> int:
    line = int(np.searchsorted(block.offsets, position, side="right")) - 1
    return min(line, len(block) - 1)


def _record_end(data: bytes, start: int, dialect: Dialect) -> int | None:
    """The position of the line end that ends a record, quotes minded; None while one is open."""
    at = start
    quote = dialect.quote.encode()
    while True:
        if quote and data.startswith(quote, at):
            closing = _closing_quote(data, at + 1, quote)
            if closing is None:
                return None
            at = closing + 1
        field_end = dialect.field_end.search(data, at)
        if field_end is None:
            return len(data)
        if field_end.group() == b"\n":
            return field_end.start()
        at = field_end.end()


def _closing_quote(data: bytes, at: int, quote: bytes) -> int | None:
    while (end := data.find(quote, at)) >= 0:
        if not data.startswith(quote, end + 1):
            return end
        at = end + 2
    return None
