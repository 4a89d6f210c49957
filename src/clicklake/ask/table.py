"""An answer for people: a table that fits the terminal, or one value a line."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import islice
from typing import Any, Literal

import pyarrow as pa
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clicklake.ask.formats import rows, shown

LONGEST = 32  # cells of a column, where not all columns fit as they are
_UNBOUNDED = 1 << 20  # cells; in a file nothing is cut


def first(answer: pa.RecordBatchReader, limit: int) -> tuple[list[tuple[Any, ...]], bool]:
    """The names of the columns and the first rows (0: all), and whether there are more."""
    found = rows(answer)
    shown_rows = list(islice(found, limit or None))
    return [tuple(answer.schema.names), *shown_rows], next(found, None) is not None


def fit(natural: Sequence[int], width: int) -> list[int]:
    """The widths of the leading columns that fit into `width` cells.

    Of columns that do not fit as they are, long ones are cut and the last ones left out.
    """
    if _taken(natural) <= width:
        return list(natural)
    limits = [min(cells, LONGEST) for cells in natural]
    count = len(limits)
    while count > 1 and _taken(limits[:count]) > width:
        count -= 1
    widths = limits[:count]
    for at in range(count):  # what is left over goes to those that were cut
        spare = width - _taken(widths)
        widths[at] = max(1, min(natural[at], widths[at] + spare)) if spare else widths[at]
    return widths


def _taken(widths: Sequence[int]) -> int:
    """Cells of a line of the table: two blanks around a cell, one between, one at each end."""
    return sum(cells + 3 for cells in widths) + 1


def show(found: list[tuple[Any, ...]], more: bool, *, wide: bool, vertical: bool) -> None:
    """Print names and rows, and how many rows and columns that are."""
    names, *body = found
    notes = [f"{len(body):,} row{'' if len(body) == 1 else 's'}"]
    if more:
        notes = [f"the first {notes[0]}; --limit 0 shows all"]
    if vertical:
        _print_vertically(names, body)
    elif names:
        left_out = _print_table(names, body, wide=wide)
        if left_out:
            notes.append(
                f"{len(names) - left_out} of {len(names)} columns; "
                "--wide shows all, --vertical one value a line"
            )
    print(*(f"({note})" for note in notes), sep="\n")


def _print_vertically(names: Sequence[str], body: Sequence[Sequence[Any]]) -> None:
    longest = max(map(cell_len, names), default=0)
    for number, row in enumerate(body, 1):
        print(f"-[ row {number} ]".ljust(longest + 3, "-"))
        for name, value in zip(names, row, strict=True):
            blanks = " " * (longest - cell_len(name))
            print(f"{name}{blanks} | {'null' if value is None else shown(value)}")


def _print_table(names: Sequence[str], body: Sequence[Sequence[Any]], *, wide: bool) -> int:
    """Print a table; how many columns were left out."""
    console = Console(highlight=False)
    cells = [[Text("null", "dim") if v is None else Text(shown(v)) for v in row] for row in body]
    natural = [
        max([cell_len(name), *(row[at].cell_len for row in cells)]) for at, name in enumerate(names)
    ]
    is_bounded = console.is_terminal and not wide
    widths = fit(natural, console.width) if is_bounded else natural
    if not is_bounded:
        console.width = _UNBOUNDED
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for at, width in enumerate(widths):
        numbers = any(isinstance(row[at], int | float | Decimal) for row in body)
        justify: Literal["left", "right"] = "right" if numbers else "left"
        table.add_column(
            Text(names[at]), justify=justify, width=width, no_wrap=True, overflow="ellipsis"
        )
    for row in cells:
        table.add_row(*row[: len(widths)])
    with console.capture() as printed:
        console.print(table, soft_wrap=not is_bounded)
    print(*(line.rstrip() for line in printed.get().splitlines()), sep="\n")
    return len(names) - len(widths)
