"""Answers as files: CSV, JSON, Parquet, Markdown; and a value as text."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clicklake.config import Config
from clicklake.publish import csv

FORMATS = ("csv", "json", "parquet", "markdown")


def write(answer: pa.RecordBatchReader, file: Path, format_: str, config: Config) -> None:
    """Write an answer to a file in one of FORMATS."""
    if format_ == "parquet":
        with pq.ParquetWriter(file, answer.schema) as writer:
            for batch in answer:
                writer.write_batch(batch)
        return
    pieces = {
        "csv": lambda: _as_csv(answer, config),
        "json": lambda: _as_json(answer),
        "markdown": lambda: _as_markdown(answer),
    }
    with file.open("wb") as stream:
        for piece in pieces[format_]():
            stream.write(piece)


def _as_markdown(answer: pa.RecordBatchReader) -> Iterator[bytes]:
    def line(cells: Sequence[str]) -> bytes:
        escaped = (cell.replace("\\", "\\\\").replace("|", "\\|") for cell in cells)
        return f"| {' | '.join(escaped)} |\n".encode()

    if not answer.schema.names:
        return
    yield line([shown(name) for name in answer.schema.names])
    yield line(["---"] * len(answer.schema.names))
    for row in rows(answer):
        yield line(["" if value is None else shown(value) for value in row])


def _as_csv(answer: pa.RecordBatchReader, config: Config) -> Iterator[bytes]:
    names = answer.schema.names
    head = pa.RecordBatch.from_arrays([pa.array([name]) for name in names], names)
    for batch in (head, *answer) if names else ():
        columns = [_simple(column) for column in batch.columns]
        simple = pa.RecordBatch.from_arrays(columns, names)
        texts = [csv.lines(simple, config.csv.neutralise_formulas)]
        yield from (bytes(piece) for _, piece in csv.pieces(texts, limit=0, head=0))


def _simple(column: pa.Array) -> pa.Array:
    """A column as it is, or as text if CSV has no notion of its type."""
    is_simple = pa.types.is_primitive(column.type) or pa.types.is_decimal(column.type)
    if is_simple and not pa.types.is_interval(column.type):
        return column
    return pa.array([None if value is None else shown(value) for value in column.to_pylist()])


def _as_json(answer: pa.RecordBatchReader) -> Iterator[bytes]:
    """An array with one object on each line."""
    before = "[\n"
    names = _distinct(answer.schema.names)
    for row in rows(answer):
        pairs = zip(names, map(_plain, row), strict=True)
        yield f"{before}{json.dumps(dict(pairs), ensure_ascii=False)}".encode()
        before = ",\n"
    yield b"[]\n" if before == "[\n" else b"\n]\n"


def _distinct(names: Sequence[str]) -> list[str]:
    """`a, a` becomes `a, a_2`: an object has each name once."""
    return [
        f"{name}_{before + 1}" if (before := names[:at].count(name)) else name
        for at, name in enumerate(names)
    ]


def _plain(value: Any) -> Any:
    """A value as JSON knows it."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, datetime):
        return shown(value).replace(" ", "T")
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value if value is None or isinstance(value, str | int | float) else shown(value)


def rows(answer: pa.RecordBatchReader) -> Iterator[tuple[Any, ...]]:
    for batch in answer:
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def shown(value: Any) -> str:
    """A value as text. What a terminal would obey is written as an escape."""
    if isinstance(value, datetime):
        text = value.replace(tzinfo=None).isoformat(" ")
        return (text.rstrip("0") if value.microsecond else text) + ("Z" if value.tzinfo else "")
    if isinstance(value, bool):
        return str(value).lower()
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in str(value)
    )
