"""JSON lines: one object a line, RFC 8259 to the letter."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from clicklake.parse.blocks import Block
from clicklake.parse.records import Plain, Records, columns, is_blank, structural_fault

MAX_DEPTH = 512


@dataclass(frozen=True)
class Key:
    """A value that is read as text: the column's `name`, and the keys that lead to it.

    `is_number`: a number stands for its digits. `may_escape`: escapes are usual in it, so that
    compiled code undoes them.
    """

    name: str
    path: tuple[str, ...]
    may_escape: bool = False
    is_number: bool = False


_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


def read(block: Block, keys: Sequence[Key]) -> Records:
    """The records of a block, with a column for each of the `keys`."""
    names = [key.name for key in keys]
    plain = _plain(block, keys)
    values: list[list[str | None]] = []
    lines: list[int] = []
    broken: list[tuple[int, int, str]] = []
    is_odd = block.record_ends > block.starts
    is_odd[plain.lines] = False
    for line in np.flatnonzero(is_odd).tolist():
        record = block.line(line)
        if is_blank(record):
            continue
        reason = structural_fault(record)
        value = None if reason else loads(record.decode("utf-8"))
        if isinstance(value, dict):
            values.append([_as_text(value_at(value, key.path), key) for key in keys])
            lines.append(line)
        else:
            broken.append((line, line, reason or str(value)))
    at = np.concatenate([plain.lines, np.array(lines, np.int64)])
    return Records(columns(names, block, plain, values), first=at, last=at, broken=broken)


def _plain(block: Block, keys: Sequence[Key]) -> Plain:
    """What compiled code reads of a block."""
    layout = _layout(tuple(keys)) if block.compiled else ()
    return Plain.read(block, "json_fields", len(keys), *layout)


@cache
def _layout(keys: tuple[Key, ...]) -> tuple[np.ndarray, np.ndarray, int]:
    """The keys as compiled code knows them: those of one object side by side, outer ones first."""
    from clicklake.parse.compiled.json import AFTER, ESCAPES, FIRST, INNER, NUMBER, key_row

    found: list[list[int]] = []
    names = b""
    objects = [(INNER, 0, list(enumerate(keys)))]  # key that holds it, depth, what is in it
    for inside, depth, members in objects:
        first = len(found)
        for name in dict.fromkeys(key.path[depth] for _, key in members):
            within = [(at, key) for at, key in members if key.path[depth] == name]
            column, key = within[0]
            kind = INNER
            if len(key.path) == depth + 1:
                kind = ESCAPES * key.may_escape | NUMBER * key.is_number
            else:
                objects.append((len(found), depth + 1, within))
            found.append(key_row(name.encode(), kind, inside, column, len(names)))
            names += name.encode()
        if depth:
            found[inside][FIRST], found[inside][AFTER] = first, len(found)
    roots = sum(1 for _ in dict.fromkeys(key.path[0] for key in keys))
    return np.array(found), np.frombuffer(names, np.uint8), roots


def value_at(value: Any, path: Sequence[str]) -> Any:
    """What some keys lead to in objects within each other; None where nothing is."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _as_text(value: Any, key: Key) -> str | None:
    """A value as the text that its column is checked by; null where it can be none."""
    if isinstance(value, _Whole) and key.is_number:
        return str(value.digits)
    return value if isinstance(value, str) else None


class _Whole:
    """A whole number as its digits: of any size, and not to be taken for a text."""

    def __init__(self, digits: str) -> None:
        self.digits = digits


def loads(record: str) -> dict[str, Any] | str:
    """The object that a record holds, or the reason why it holds none."""
    if _too_deep(record) or _has_lone_surrogate(record):
        return "malformed_json"
    try:
        value = _DECODER.decode(record)
    except ValueError:
        return "malformed_json"
    return value if isinstance(value, dict) else "not_an_object"


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


_DECODER = json.JSONDecoder(parse_int=_Whole, parse_float=_Whole, parse_constant=_refuse)


def _too_deep(record: str) -> bool:
    """Whether values are nested deeper than `MAX_DEPTH` (RFC 8259, 9 allows a limit)."""
    if record.count("[") + record.count("{") <= MAX_DEPTH:
        return False
    depth = deepest = 0
    for match in _STRING_OR_BRACKET.finditer(record):
        if match.group() in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif match.group() in "]}":
            depth -= 1
    return deepest > MAX_DEPTH


def _has_lone_surrogate(record: str) -> bool:
    """Whether an escape names half a surrogate pair, anywhere in the record."""
    if "\\u" not in record:
        return False
    high_ends_at = -1  # where a high surrogate's escape ended that still lacks its low one
    for match in _ESCAPE.finditer(record):
        code = int(match.group(1) or "0", 16)
        if high_ends_at >= 0 and not (0xDC00 <= code <= 0xDFFF and match.start() == high_ends_at):
            return True
        if high_ends_at < 0 and 0xDC00 <= code <= 0xDFFF:
            return True
        high_ends_at = match.end() if 0xD800 <= code <= 0xDBFF else -1
    return high_ends_at >= 0
