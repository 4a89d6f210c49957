"""One event as a message: JSON with a sequence number, an id and the columns of `clickstream`."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection
from datetime import datetime
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from clicklake.derive.fields import described
from clicklake.schemas import CLICKSTREAM
from clicklake.streaming.marks import Mark, of_body

TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
_TIME_LENGTH = len("2018-04-01T00:00:00.000000Z")
_ID_DIGITS = 32
_FIRST_YEAR, _LAST_YEAR = (
    2000,
    9000,
)  # the lake's first, and one that leaves room for a window's end
MAX_SEQUENCE = 2**53  # what every reader of JSON holds exactly

# What a message has.
MESSAGE = pa.schema(
    [
        described("sequence", pa.int64(), "the event's number on the stream, from 1 on"),
        described("event_id", pa.string(), "the event's own, on every stream"),
        *CLICKSTREAM.schema,
    ]
)
# What a correction has: the labels, which late rows may change.
LABELS = ("session_id", "is_bot", "bot_reason")
CORRECTION = pa.schema(
    [
        described("sequence", pa.int64(), "the correction's number on its topic, from 1 on"),
        *(MESSAGE.field(name) for name in ("event_id", *LABELS)),
    ]
)


class BadMessageError(Exception):
    """A message that is no event of the publisher; its text is the reason."""


class Event(NamedTuple):
    """What the statistics need of a message."""

    sequence: int
    time: str  # TIME_FORMAT, so that text order is time order
    visitor: str
    session: str
    path: str
    source: str | None  # utm_source
    is_bot: bool
    mark: Mark | None = None  # where the message itself carries it


class Retraction(NamedTuple):
    """All events of a visitor are taken back.

    `sequence`: 0 where it is not the publisher's and has no turn. `digest`: that of the visitor;
    "" where an event with that number stood until its visitor was forgotten.
    """

    sequence: int
    digest: str
    mark: Mark | None = None


def microseconds(time: str) -> int:
    """A time written as TIME_FORMAT, as microseconds since 1970.

    >>> microseconds("2018-04-01T09:12:40.120000Z")
    1522573960120000
    """
    return int(np.datetime64(time[:-1], "us").astype(np.int64))


def time_text(microseconds: int) -> str:
    """A time as TIME_FORMAT.

    >>> time_text(1522573960120000)
    '2018-04-01T09:12:40.120000Z'
    """
    return f"{np.datetime64(int(microseconds), 'us')}Z"


def digest_of(visitor: str) -> str:
    """What a retraction names a visitor by: it is to be known by who holds the id, told to nobody.

    >>> digest_of("v1")
    '3bfc269594ef649228e9a74bab00f042'
    """
    return hashlib.sha256(visitor.encode(errors="surrogatepass")).hexdigest()[:_ID_DIGITS]


def retracts(visitor: str) -> bytes:
    """The message that takes a visitor's events back, as long as it has no number."""
    return b'{"retracts":"%b"}' % digest_of(visitor).encode()


def names(raw: str, digests: Collection[str]) -> bool:
    """Whether a message that could not be understood names one of these visitors."""
    words = {*re.findall(r'"((?:[^"\\]|\\.)*)"', raw), *re.split(r'[\s",:;{}\[\]]+', raw)}
    return any(digest_of(word) in digests for word in words)


def event_id(key: tuple[str | None, ...]) -> str:
    """The id of the event whose six key columns are `key`, `time` written as TIME_FORMAT.

    128 bits of SHA-256 over the columns as netstrings ("4:text,", "-" for null), so that no two
    keys are written alike. It depends on nothing else: not on the run, the stream or the session.

    >>> event_id(("v1", "/a", "2018-04-01T00:00:00.000000Z", None, None, None))
    '31241f9c1d547615458ecdb1eb2e85a6'
    """
    parts = ["-" if text is None else f"{len(text)}:{text}," for text in key]
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:_ID_DIGITS]


def event_id_sql(time: str) -> str:
    """`event_id` as a DuckDB expression; `time` is the SQL of the time's text."""
    columns = [time if name == CLICKSTREAM.time else f'"{name}"' for name in CLICKSTREAM.key]
    netstrings = " || ".join(
        f"coalesce(length({column}) || ':' || {column} || ',', '-')" for column in columns
    )
    return f"left(sha256({netstrings}), {_ID_DIGITS})"


def parse(body: bytes) -> Event | Retraction:
    """Read a message. Raises BadMessageError with the reason if it is not one of the publisher's.

    The id is computed again: what passes here was made from the event that it claims to be.
    """
    try:
        message = _decode(body.decode())
    except UnicodeDecodeError:
        raise BadMessageError("invalid_utf8") from None
    except (ValueError, RecursionError):
        raise BadMessageError("malformed_json") from None
    if not isinstance(message, dict):
        raise BadMessageError("not_an_object")
    values: tuple[Any, ...] = tuple(map(message.get, _KINDS))
    kinds = tuple(map(type, values))
    if "retracts" in message:
        return _retraction(message)
    if kinds not in _WELL_TYPED:
        raise BadMessageError(f"invalid_{_ill_typed(kinds)}")
    sequence, time, visitor, session, path, source, is_bot, *_ = values
    if not 1 <= sequence <= MAX_SEQUENCE:
        raise BadMessageError("invalid_sequence")
    if not _is_time(time):
        raise BadMessageError("invalid_time")
    try:
        "".join((session, path, source or "")).encode()
        computed = event_id(tuple(map(message.get, CLICKSTREAM.key)))
    except UnicodeEncodeError:
        raise BadMessageError("lone_surrogate") from None
    if computed != message["event_id"]:
        raise BadMessageError("wrong_event_id")
    return Event(sequence, time, visitor, session, path, source, is_bot, _mark_in(message))


def id_of(body: bytes) -> str:
    """The event id of a message that `parse` has read; "" of a retraction."""
    return str(json.loads(body).get("event_id", ""))


def _retraction(message: dict[str, Any]) -> Retraction:
    sequence, digest = message.get("sequence", 0), message["retracts"] or ""
    if type(sequence) is not int or not 0 <= sequence <= MAX_SEQUENCE:
        raise BadMessageError("invalid_sequence")
    if not isinstance(digest, str):
        raise BadMessageError("invalid_retracts")
    return Retraction(sequence, digest, _mark_in(message))


def _mark_in(message: dict[str, Any]) -> Mark | None:
    return of_body(message.get("publisher"), message.get("publisher_since"))


_decoder = json.JSONDecoder()
_scan: Callable[[str, int], tuple[Any, int]] = _decoder.scan_once  # type: ignore[attr-defined]


def _decode(text: str) -> Any:
    """What `json.loads` gives, sooner for a text that has nothing around its value."""
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        end = -1
    return value if end == len(text) else _decoder.decode(text)


_TEXT = (str,)
_TEXT_OR_NULL = (str, type(None))
_KINDS: dict[str, tuple[type, ...]] = {
    "sequence": (int,),
    "time": _TEXT,
    "anonymous_user_id": _TEXT,
    "session_id": _TEXT,
    "path": _TEXT,
    "utm_source": _TEXT_OR_NULL,
    "is_bot": (bool,),
    "event_id": _TEXT,
    "url": _TEXT,
    "browser": _TEXT_OR_NULL,
    "os": _TEXT_OR_NULL,
    "screen_resolution": _TEXT_OR_NULL,
}
_WELL_TYPED = frozenset(product(*_KINDS.values()))


def _ill_typed(kinds: tuple[type, ...]) -> str:
    pairs = zip(kinds, _KINDS.items(), strict=True)
    return next(name for kind, (name, allowed) in pairs if kind not in allowed)


def _is_time(text: str) -> bool:
    # fromisoformat reads more forms than this one: week dates, other separators.
    return (
        len(text) == _TIME_LENGTH
        and text.isascii()
        and _is_minute(text[:16])
        and text[16] == ":"
        and text[17:19] in _SECONDS
        and text[19] == "."
        and text[20:26].isdigit()
        and text[26] == "Z"
    )


@lru_cache(maxsize=10_000)
def _is_minute(text: str) -> bool:
    if (text[4], text[7], text[10], text[13]) != tuple("--T:"):
        return False
    try:
        return _FIRST_YEAR <= datetime.fromisoformat(text).year < _LAST_YEAR
    except ValueError:
        return False


_SECONDS = frozenset(f"{second:02d}" for second in range(60))
