"""Every record's fate: a typed row, a reason to be quarantined, or filtered out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from clicklake.parse import csv, fields, jsonl
from clicklake.parse.blocks import Block, as_text
from clicklake.parse.interning import Interner
from clicklake.parse.records import Columns, Records
from clicklake.parse.texts import TextColumn, kernels
from clicklake.parse.values import INVALID
from clicklake.schemas import CLICKSTREAM

FILTERED = "filtered"  # a fate, not a reason: a row of another environment


def nullable(schema: pa.Schema) -> pa.Schema:
    return pa.schema([each.with_nullable(True) for each in schema])


# A clickstream row before it is labelled and part of a session: the table's key.
CLICKS = nullable(pa.schema([CLICKSTREAM.schema.field(name) for name in CLICKSTREAM.key]))

Values = dict[str, TextColumn | np.ndarray]  # columns; times are microseconds since 1970
Checks = list[tuple[str, np.ndarray]]
TimeRange = tuple[int, int]


@dataclass(frozen=True)
class Source:
    """How a source is read: its files' shape, its rows' schema, and the check of its fields.

    `person`: the column that says whose row it is. `columns`: all that the check takes; those that
    the files do not have are null. Of CSV: `header`, our columns and their names in a file's
    header, or, where there is none, `layout`. Of JSON: `keys`.
    `environment`: whose rows are kept; None keeps all. `nulls`: texts that stand for none.
    """

    name: str
    schema: pa.Schema
    check: Callable[[Source, Columns, TimeRange], tuple[Values, Checks]]
    person: str
    columns: tuple[str, ...] = ()
    format: str = "csv"
    dialect: csv.Dialect = csv.USUAL
    header: Mapping[str, str] = field(default_factory=dict)
    layout: csv.Layout | None = None
    keys: tuple[jsonl.Key, ...] = ()
    clock: fields.Clock = field(default_factory=fields.Clock)
    environment: str | None = None
    nulls: tuple[str, ...] = ()

    @property
    def time(self) -> str:
        """The column with a row's time."""
        return next(each.name for each in self.schema if pa.types.is_timestamp(each.type))


@dataclass(frozen=True)
class Rejects:
    """Quarantined records: line (from 0, in the block), reason and text."""

    lines: list[int]
    reasons: list[str]
    raws: list[str]


@dataclass(frozen=True)
class Parsed:
    """What a block held. `read` counts the records, `line_ends` what its lines end with.

    `rest` belongs before the next block.
    """

    rows: pa.RecordBatch
    rejects: Rejects
    read: int
    filtered: int
    line_ends: int
    rest: bytes


def parse(
    source: Source,
    data: bytes,
    time_range: TimeRange,
    layout: csv.Layout | None = None,
    *,
    multiline: bool = False,
    final: bool = True,
    interners: Mapping[str, Interner] | None = None,
) -> Parsed:
    """The rows of a block of whole lines. `layout`: of this file, where a header gives it.

    Columns of text that have an interner come as its codes, once compiled code reads them.
    """
    block = Block(data, kernels(), source.dialect.comment.encode())
    if source.format == "json":
        records = jsonl.read(block, source.keys)
    else:
        known = layout or source.layout
        if known is None:
            raise ValueError("a source with a header needs the file's layout")
        records = csv.read(block, known, multiline=multiline, final=final)
    return _decide(source, block, records, time_range, interners or {})


def _decide(
    source: Source,
    block: Block,
    records: Records,
    time_range: TimeRange,
    interners: Mapping[str, Interner],
) -> Parsed:
    values, checks = source.check(source, _all_columns(source, records), time_range)
    fates = np.full(len(records.first), -1)
    for code in range(len(checks) - 1, -1, -1):  # so that the first check that fails stands
        fates[checks[code][1]] = code
    kept = fates < 0
    filtered = sum(
        int((fates == k).sum()) for k, (name, _) in enumerate(checks) if name == FILTERED
    )
    refused = [
        (int(records.first[at]), int(records.last[at]), checks[fates[at]][0])
        for at in np.flatnonzero(~kept)
        if checks[fates[at]][0] != FILTERED
    ]
    return Parsed(
        rows=_batch(source, values, np.flatnonzero(kept), interners),
        rejects=_rejects(block, records.broken + refused),
        read=len(records.first) + len(records.broken),
        filtered=filtered,
        line_ends=block.line_ends,
        rest=records.rest,
    )


def _all_columns(source: Source, records: Records) -> Columns:
    """The columns that were read, and those that the files do not have."""
    some = next(iter(records.columns.values()))
    nothing = np.zeros(len(some), np.int32)
    absent = replace(some, begins=nothing, ends=nothing)
    found = {name: records.columns.get(name, absent) for name in source.columns}
    return {name: _without(texts, source.nulls) for name, texts in found.items()}


def _without(texts: TextColumn, nulls: tuple[str, ...]) -> TextColumn:
    if not nulls:
        return texts
    is_null = np.logical_or.reduce([fields.equals(texts, null) for null in nulls])
    return replace(texts, ends=np.where(is_null, texts.begins, texts.ends))


def _batch(
    source: Source, values: Values, at: np.ndarray, interners: Mapping[str, Interner]
) -> pa.RecordBatch:
    """The rows `at`."""
    columns = [
        _column(values[each.name], each.type, at, interners.get(each.name))
        for each in source.schema
    ]
    return pa.RecordBatch.from_arrays(columns, names=source.schema.names)


def _column(
    values: TextColumn | np.ndarray, type_: pa.DataType, at: np.ndarray, interner: Interner | None
) -> pa.Array:
    if isinstance(values, TextColumn):
        return interner.encode(values, at) if interner and values.compiled else values.to_arrow(at)
    if pa.types.is_timestamp(type_):
        return fields.timestamps(values[at])
    return pa.array(values[at], type_)


def _rejects(block: Block, refused: list[tuple[int, int, str]]) -> Rejects:
    raws = [
        as_text(block.data[int(block.starts[first]) : int(block.ends[last])])
        for first, last, _ in refused
    ]
    return Rejects([first for first, _, _ in refused], [reason for *_, reason in refused], raws)


def _environment(source: Source, raw: Columns) -> Checks:
    if source.environment is None:
        return []
    return [
        ("missing_environment", raw["environment"].is_null),
        (FILTERED, ~fields.equals(raw["environment"], source.environment)),
    ]


def _time(times: np.ndarray, time_range: TimeRange) -> Checks:
    first, after = time_range
    return [
        ("invalid_time", times == INVALID),
        ("time_out_of_range", (times < first) | (times >= after)),
    ]


def user_updates(source: Source, raw: Columns, time_range: TimeRange) -> tuple[Values, Checks]:
    times = source.clock.times(raw["updated_at"])
    user_id, are_ids = fields.whole_number(raw["user_id"])
    values: Values = {**raw, "updated_at": times, "user_id": user_id}
    return values, [
        *_environment(source, raw),
        ("invalid_user_id", ~are_ids),
        *_time(times, time_range),
        ("invalid_email", ~fields.is_email(raw["email"])),
    ]


def page_views(source: Source, raw: Columns, time_range: TimeRange) -> tuple[Values, Checks]:
    times = source.clock.times(raw["ts"])
    user_id, are_ids = fields.whole_number(raw["user_id"])
    return {"ts": times, "user_id": user_id, "url": raw["url"]}, [
        *_environment(source, raw),
        ("invalid_user_id", ~are_ids),
        ("missing_url", raw["url"].is_null),
        *_time(times, time_range),
    ]


def clickstream(source: Source, raw: Columns, time_range: TimeRange) -> tuple[Values, Checks]:
    times = source.clock.times(raw["time"])
    return {**raw, "time": times}, [
        *_environment(source, raw),
        ("missing_visitor", raw["anonymous_user_id"].is_null),
        ("missing_url", raw["url"].is_null),
        *_time(times, time_range),
    ]
