"""CSV: comma, a quote counts only as a field's first character, doubled inside quotes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from clicklake.parse.blocks import BOM, MAX_RECORD, Block
from clicklake.parse.records import (
    TOO_LONG,
    Columns,
    Records,
    combine,
    is_blank,
    selected,
    structural_fault,
    text_array,
)

_FIELD = r'(?:[^",\r\n]*|"(?:[^"\r\n]|"")*")'
_FIELD_END = re.compile(rb"[,\n]")


@dataclass(frozen=True)
class Layout:
    """How many fields a record has, and at which position each column stands."""

    width: int
    positions: dict[str, int]


def header(record: bytes, names: Sequence[str]) -> tuple[Layout, list[str]]:
    """Find `names` in a header: the layout, and the names that are not ours.

    Case and blanks around a name do not count. Raises ValueError with what is wrong.
    """
    fault = structural_fault(record)
    fields = None if fault else split(record.decode("utf-8"))
    if fields is None:
        raise ValueError(f"its header cannot be read ({fault or 'unclosed_quote'})")
    given = [name.strip(" \t").lower() for name in fields]
    missing = [name for name in names if name not in given]
    if missing:
        raise ValueError("its header lacks " + ", ".join(missing))
    doubled = [name for name in names if given.count(name) > 1]
    if doubled:
        raise ValueError("its header has twice " + ", ".join(doubled))
    layout = Layout(len(fields), {name: given.index(name) for name in names})
    return layout, [name for name in given if name not in names]


def split(record: str) -> list[str] | None:
    """The fields of a record; None if a quote is not closed."""
    fields, at = [], 0
    while True:
        value = ""
        if record.startswith('"', at):
            quoted = _quoted(record, at + 1)
            if quoted is None:
                return None
            value, at = quoted
        comma = record.find(",", at)
        fields.append(value + (record[at:] if comma < 0 else record[at:comma]))
        if comma < 0:
            return fields
        at = comma + 1


def _quoted(record: str, at: int) -> tuple[str, int] | None:
    """The text from `at` to the closing quote, and the position behind it."""
    parts = []
    while True:
        quote = record.find('"', at)
        if quote < 0:
            return None
        parts.append(record[at:quote])
        if not record.startswith('"', quote + 1):
            return "".join(parts), quote + 1
        parts.append('"')
        at = quote + 2


def read(block: Block, layout: Layout, *, multiline: bool = False, final: bool = True) -> Records:
    """The records of a block.

    `multiline` lets a record go on over line ends inside quotes; a record that is still open at
    the end of the block is left in `rest`, unless the block is `final`.
    """
    proven = block.sound & _candidates(block, layout.width)
    table, taken = _by_pyarrow(block, proven, layout)
    proven[:] = False
    proven[taken] = True
    odd = _Odd(layout)
    rest = odd.read(block, proven, multiline=multiline, final=final)
    fast = proven[taken]  # less those that a record over several lines has swallowed
    if not fast.all():
        table, taken = table.filter(pa.array(fast)), taken[fast]
    parts = [{name: combine(table[name].chunks) for name in layout.positions}] if len(taken) else []
    parts += [odd.columns()] if odd.first or not parts else []
    return Records(
        columns={name: combine([part[name] for part in parts]) for name in layout.positions},
        first=np.concatenate([taken, np.array(odd.first, np.int64)]),
        last=np.concatenate([taken, np.array(odd.last, np.int64)]),
        broken=odd.broken,
        rest=rest,
    )


def _candidates(block: Block, width: int) -> np.ndarray:
    """Which lines pyarrow reads as we do, or refuses: every quote closed at a field's end."""
    lines = block.ends > block.starts
    # pyarrow takes a byte order mark at the start of what it is given for no content.
    lines[block.first_bytes == BOM[0]] = False
    special = np.flatnonzero(block.marked(_special(block)))
    if len(special):
        lines[special] &= _match_form(block.lines.take(pa.array(special)), width)
    return lines


def _special(block: Block) -> np.ndarray:
    """Where quotes are, and carriage returns that do not belong to a line's end."""
    data = np.frombuffer(block.data, np.uint8)
    found = [np.zeros(0, np.int64)]
    if b'"' in block.data:
        found.append(np.flatnonzero(data == ord('"')))
    if b"\r" in block.data:
        returns = np.flatnonzero(data == ord("\r"))
        after = data[np.minimum(returns + 1, len(data) - 1)]
        found.append(returns[after != ord("\n")])
    return np.concatenate(found)


def _match_form(lines: pa.Array, width: int) -> np.ndarray:
    pattern = rf"\A{_FIELD}(?:,{_FIELD}){{{width - 1}}}(?:\r?\n)?\z"
    try:
        return pc.match_substring_regex(lines, pattern).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:  # a header wider than the expression engine's limits
        return np.zeros(len(lines), bool)


def _by_pyarrow(block: Block, mask: np.ndarray, layout: Layout) -> tuple[pa.Table, np.ndarray]:
    """Of the lines that `mask` selects, those that have as many fields as they should."""
    names = [str(position) for position in range(layout.width)]
    lines = np.flatnonzero(mask)
    table, refused = read_delimited(
        selected(block, mask),
        names,
        pa.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            include_columns=[str(position) for position in layout.positions.values()],
            strings_can_be_null=True,
            null_values=[""],
            check_utf8=False,
        ),
    )
    return table.rename_columns(list(layout.positions)), np.delete(lines, refused)


def read_delimited(
    data: pa.Buffer, names: list[str], convert: pa.csv.ConvertOptions, **parse: Any
) -> tuple[pa.Table, list[int]]:
    """Lines, none of them empty, by pyarrow; and which of them have another number of fields."""
    if not data.size:
        return pa.table({name: text_array([]) for name in convert.include_columns or names}), []
    refused: list[int] = []

    def refuse(row: pa.csv.InvalidRow) -> str:
        refused.append(row.number - 1)
        return "skip"

    table = pa.csv.read_csv(
        pa.BufferReader(data),
        # One block: pyarrow numbers the rows of each anew.
        read_options=pa.csv.ReadOptions(
            column_names=names, block_size=max(data.size, 1), use_threads=False
        ),
        parse_options=pa.csv.ParseOptions(invalid_row_handler=refuse, **parse),
        convert_options=convert,
    )
    return table, refused


class _Odd:
    """The records that need care, one by one."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.first: list[int] = []
        self.last: list[int] = []
        self.values: list[list[str]] = []
        self.broken: list[tuple[int, int, str]] = []

    def columns(self) -> Columns:
        return {
            name: text_array([value[position] for value in self.values])
            for name, position in self.layout.positions.items()
        }

    def read(self, block: Block, proven: np.ndarray, *, multiline: bool, final: bool) -> bytes:
        """Take the lines that are not proven; return the bytes of an open record at the end.

        An empty line is part of a record or blank: no record begins with one.
        """
        after = 0
        for first in np.flatnonzero(~proven & (block.ends > block.starts)).tolist():
            if first < after:
                continue
            last, fault = _extent(block, first) if multiline else (first, None)
            start = int(block.starts[first])
            if fault == "open":
                if not final:
                    proven[first:] = False
                    return block.data[start:]
                fault = "unclosed_quote"
            proven[first : last + 1] = False
            self._take(block.data[start : int(block.ends[last])], first, last, fault)
            after = last + 1
        return b""

    def _take(self, record: bytes, first: int, last: int, fault: str | None) -> None:
        if is_blank(record):
            return
        reason = TOO_LONG if fault == TOO_LONG else structural_fault(record) or fault
        fields = None if reason else split(record.decode("utf-8"))
        if reason is None and fields is None:
            reason = "unclosed_quote"
        if fields is not None and len(fields) != self.layout.width:
            reason = "wrong_field_count"
        if reason or fields is None:
            self.broken.append((first, last, reason or ""))
        else:
            self.first.append(first)
            self.last.append(last)
            self.values.append(fields)


def _extent(block: Block, first: int) -> tuple[int, str | None]:
    """The last line of the record that begins in line `first`, and what is wrong with it.

    "open" means that a quote is open at the end of the block. A record that is too long ends
    with the line in which it passes the limit.
    """
    start = int(block.starts[first])
    end = _record_end(block.data, start)
    last = len(block) - 1 if end is None else _line_at(block, end)
    stop = len(block.data) if end is None else int(block.ends[last])
    if stop - start > MAX_RECORD:
        return _line_at(block, start + MAX_RECORD), TOO_LONG
    return last, "open" if end is None else None


def _line_at(block: Block, position: int) -> int:
    line = int(np.searchsorted(block.offsets, position, side="right")) - 1
    return min(line, len(block) - 1)


def _record_end(data: bytes, start: int) -> int | None:
    """The position of the line end that ends a record, quotes minded; None while one is open."""
    at = start
    while True:
        if data.startswith(b'"', at):
            closing = _closing_quote(data, at + 1)
            if closing is None:
                return None
            at = closing + 1
        field_end = _FIELD_END.search(data, at)
        if field_end is None:
            return len(data)
        if field_end.group() == b"\n":
            return field_end.start()
        at = field_end.end()


def _closing_quote(data: bytes, at: int) -> int | None:
    while (quote := data.find(b'"', at)) >= 0:
        if not data.startswith(b'"', quote + 1):
            return quote
        at = quote + 2
    return None
