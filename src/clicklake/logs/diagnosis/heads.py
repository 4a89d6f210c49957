"""The beginning of a file, through the parser."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from clicklake.logs.headers import without_end, without_header
from clicklake.parse import csv, rows
from clicklake.parse.blocks import BOM, blocks
from clicklake.parse.rows import Source, TimeRange


@dataclass(frozen=True)
class Head:
    """The beginning of a file.

    `stored`: its bytes as they lie there; `text`: whole lines of them, decompressed. What was
    found in `text`: `layout`, None where the header is none; the `fault` for which a
    run would take it for a bad file; how many rows were `read` and `filtered`; the `rejects`,
    each a reason and the row's text.
    """

    source: Source
    path: str
    stored: bytes
    text: bytes
    time_range: TimeRange
    multiline: bool = False
    layout: csv.Layout | None = None
    fault: str | None = None
    read: int = 0
    filtered: int = 0
    rejects: tuple[tuple[str, str], ...] = ()

    @cached_property
    def lines(self) -> list[str]:
        """The lines that are not blank; bytes that are no UTF-8 are replaced."""
        lines = self.text.decode("utf-8", errors="replace").splitlines()
        return [line for line in lines if line.strip(" \t\r")]

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the source's CSV, as a header has them."""
        layout = self.source.layout
        return tuple(self.source.header.values() or (layout.positions if layout else ()))

    @property
    def is_mostly_bad(self) -> bool:
        return self.fault is not None or 2 * len(self.rejects) > self.read

    @property
    def is_all_filtered(self) -> bool:
        return 0 < self.read == self.filtered


def parsed(
    source: Source,
    path: str,
    stored: bytes,
    text: bytes,
    time_range: TimeRange,
    *,
    multiline: bool = False,
    fault: str | None = None,
) -> Head:
    """The beginning of a file, with the fates of its rows.

    `text`: whole lines, decompressed. `fault`: why there are no more of them.
    """
    text = text.removeprefix(BOM)
    given = (source, path, stored, text, time_range, multiline)
    body, layout = text, source.layout
    if source.header:
        body, lines, _ = without_header(text, source.dialect)
        first = text[: len(text) - len(body)].splitlines(keepends=True)[lines - 1 : lines]
        try:
            record = without_end(first[0]) if first else b""
            layout, _ = csv.header(record, source.header, source.dialect)
        except ValueError as error:
            return Head(*given, fault=fault or str(error))
    read = filtered = 0
    rejects: list[tuple[str, str]] = []
    multiline = multiline and source.format == "csv"
    for block in blocks([body]):
        found = rows.parse(source, block, time_range, layout, multiline=multiline)
        read, filtered = read + found.read, filtered + found.filtered
        rejects += zip(found.rejects.reasons, found.rejects.raws, strict=True)
    return Head(*given, layout, fault, read, filtered, tuple(rejects))
