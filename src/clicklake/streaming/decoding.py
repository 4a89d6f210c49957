"""Many messages at once, as columns: what `parse` says of each of them.

Arrow and DuckDB read the usual ones. What is unusual in any way is left to `parse`, which says what
holds: they may leave any message, and must agree with it where they do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clicklake.schemas import CLICKSTREAM
from clicklake.streaming.marks import Mark, foreign
from clicklake.streaming.messages import (
    MAX_SEQUENCE,
    BadMessageError,
    Event,
    Retraction,
    event_id_sql,
    microseconds,
    parse,
)
from clicklake.streaming.stream import Incoming

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# `row`: the message's place among those decoded. `time`: microseconds since 1970, UTC.
# `digest`: that of a retraction, which has nothing else; null of an event.
# `publisher`: of the mark in the message itself.
EVENTS = pa.schema(
    {
        "row": pa.int64(),
        "sequence": pa.int64(),
        "time": pa.int64(),
        "visitor": pa.string(),
        "session": pa.string(),
        "path": pa.string(),
        "source": pa.string(),
        "is_bot": pa.bool_(),
        "digest": pa.string(),
        "publisher": pa.string(),
    }
)
_FEW = 32  # are sooner parsed one by one
_PARTS = 16


def understood(
    messages: Sequence[Incoming], own: Mark | None, can_hold: Callable[[int, Incoming], bool]
) -> tuple[pa.Table, dict[int, str]]:
    """The publisher's events and retractions, as `EVENTS`; the reason for each other, by row.

    `own`: the publisher's mark, where it is known. `can_hold`: as a source has it.
    """
    events, bad = decode([message.body for message in messages])
    bad |= {row: message.fault for row, message in enumerate(messages) if message.fault}
    headers = pa.array([m.mark.publisher if m.mark else None for m in messages], pa.string())
    publishers = pc.coalesce(headers.take(events["row"]), events["publisher"])
    sure = pc.is_valid(publishers)
    if own is not None:
        before_marks = pc.less(events["sequence"], own.since)
        sure = pc.if_else(sure, pc.equal(publishers, own.publisher), before_marks)
    doubtful = pc.invert(sure)
    rows, numbers = (events.filter(doubtful)[name].to_pylist() for name in ("row", "sequence"))
    for row, number, name in zip(
        rows, numbers, publishers.filter(doubtful).to_pylist(), strict=True
    ):
        found = Mark(name, 0) if name is not None else None
        is_possible = bool(own or found) or can_hold(number, messages[row])
        if reason := foreign(own, found, number, is_possible):
            bad[row] = reason
    if rows:
        events = events.filter(pc.invert(pc.is_in(events["row"], pa.array(list(bad), pa.int64()))))
    return events, dict(sorted(bad.items()))


def decode(bodies: Sequence[bytes]) -> tuple[pa.Table, dict[int, str]]:
    """The events and retractions among messages, in their order; why others are none, by row."""
    usual = np.arange(len(bodies))
    if not _are_usual(bodies):
        usual = np.flatnonzero([_are_usual([body]) for body in bodies])
    tables = list(_read(bodies, usual))
    read = np.zeros(len(bodies), bool)
    for table in tables:
        read[table["row"].to_numpy()] = True
    found, bad = {}, {}
    for row in np.flatnonzero(~read).tolist():
        try:
            found[row] = parse(bodies[row])
        except BadMessageError as reason:
            bad[row] = str(reason)
    if found:
        tables.append(table_of(list(found.values()), list(found)))
    events = pa.concat_tables(tables) if tables else EVENTS.empty_table()
    return (events.sort_by("row") if len(tables) > 1 else events), bad


def table_of(found: Sequence[Event | Retraction], rows: Sequence[int]) -> pa.Table:
    """What `parse` has found, as `EVENTS`."""
    return pa.Table.from_pylist(
        [{"row": row, **_columns(one)} for row, one in zip(rows, found, strict=True)], EVENTS
    )


def _columns(found: Event | Retraction) -> dict[str, Any]:
    publisher = _sound(found.mark.publisher) if found.mark else None
    if isinstance(found, Retraction):
        none = dict.fromkeys(("visitor", "session", "path"), "")
        told = {"time": 0, "is_bot": False, "digest": _sound(found.digest)}
        return {"sequence": found.sequence, **none, **told, "publisher": publisher}
    return {**found._asdict(), "time": microseconds(found.time), "publisher": publisher}


def _sound(text: str) -> str:
    """What others wrote may have halves of surrogate pairs, which Arrow refuses."""
    return text.encode(errors="replace").decode()


def _are_usual(bodies: Sequence[bytes]) -> bool:
    """Whether each body is on one line and has one object only, with its keys as they are.

    Then Arrow finds as many objects as there are bodies, or fails. It nests deeper than `parse`,
    and would find a key that is spelled with escapes.
    """
    lines = b"\n".join(bodies)
    return (
        lines.count(b"{") == len(bodies)
        and lines.count(b"\n") == len(bodies) - 1
        and b"[" not in lines
        and (b"\\" not in lines or b"\\u" not in lines)
        and b"retracts" not in lines
        and all(map(bytes.startswith, bodies, repeat(b"{")))
    )


def _read(bodies: Sequence[bytes], rows: np.ndarray) -> Iterator[pa.Table]:
    """The events that are understood of these rows; where one spoils the reading, those around."""
    if len(rows) < _FEW:
        return
    try:
        yield _events([bodies[row] for row in rows.tolist()], rows)
    except (pa.ArrowInvalid, UnicodeDecodeError):
        if len(rows) >= _FEW * _PARTS:
            for part in np.array_split(rows, _PARTS):
                yield from _read(bodies, part)


def _events(bodies: list[bytes], rows: np.ndarray) -> pa.Table:
    import pyarrow.json as arrow_json

    lines = b"\n".join(bodies)
    lines.decode()
    messages = arrow_json.read_json(
        pa.BufferReader(lines),
        read_options=arrow_json.ReadOptions(block_size=_BLOCK),
        parse_options=arrow_json.ParseOptions(
            explicit_schema=_MESSAGE, unexpected_field_behavior="ignore"
        ),
    )
    connection = _duckdb()
    connection.register("messages", messages.append_column("row", pa.array(rows)))
    found = connection.sql(_UNDERSTOOD).to_arrow_table()
    connection.unregister("messages")
    return found.cast(EVENTS)


@cache
def _duckdb() -> DuckDBPyConnection:
    import duckdb

    return duckdb.connect()


_BLOCK = 1 << 22
_TEXTS = ("event_id", *CLICKSTREAM.key, "path", "utm_source", "session_id", "publisher")
_MESSAGE = pa.schema(
    {name: pa.string() for name in _TEXTS}
    | {"sequence": pa.int64(), "publisher_since": pa.int64(), "is_bot": pa.bool_()}
)
_NEEDED = ("event_id", "anonymous_user_id", "url", "session_id", "path", "is_bot")
# What `try_strptime` alone would read in more forms than one, and of years that are no event's.
_TIME = r"[2-8]\d{3}-\d\d-\d\dT\d\d:\d\d:[0-5]\d\.\d{6}Z"
_UNDERSTOOD = f"""
    SELECT row, sequence, epoch_us(moment) AS time, anonymous_user_id AS visitor,
           session_id AS session, path, utm_source AS source, is_bot,
           NULL::VARCHAR AS digest,
           CASE WHEN publisher_since IS NOT NULL THEN publisher END AS publisher
    FROM (SELECT *, try_strptime(time, '%Y-%m-%dT%H:%M:%S.%fZ') AS moment FROM messages)
    WHERE sequence BETWEEN 1 AND {MAX_SEQUENCE} AND moment IS NOT NULL
      AND regexp_full_match(time, '{_TIME}')
      AND {" AND ".join(f"{name} IS NOT NULL" for name in _NEEDED)}
      AND event_id = {event_id_sql('"time"')}
"""  # noqa: S608 - names from schemas.py only
