"""The header of a CSV file."""

from __future__ import annotations

from dataclasses import dataclass

from clicklake.parse import csv

HEAD = 1 << 16  # bytes in which a header is looked for at first


@dataclass(frozen=True)
class Header:
    layout: csv.Layout
    unknown: list[str]
    end: int  # how many bytes of text it and what is before it take, a byte order mark left out


def without_end(line: bytes) -> bytes:
    """A line without LF or CR LF; a CR that no LF follows belongs to the line."""
    return line[:-2] if line.endswith(b"\r\n") else line.removesuffix(b"\n")


def without_header(block: bytes, dialect: csv.Dialect) -> tuple[bytes, int, bool]:
    """A block without its blank lines and header at its start; how many lines went; if found."""
    at = lines = 0
    while at < len(block):
        end = block.find(b"\n", at) + 1 or len(block)
        record = without_end(block[at:end])
        at, lines = end, lines + 1
        if not dialect.is_blank(record):
            return block[at:], lines, True
    return b"", lines, False
