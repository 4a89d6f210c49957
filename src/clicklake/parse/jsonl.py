"""JSON lines: one object a line, RFC 8259 to the letter."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json

from clicklake.parse.blocks import Block
from clicklake.parse.csv import read_delimited
from clicklake.parse.fields import whole_number
from clicklake.parse.records import (
    Columns,
    Records,
    combine,
    is_blank,
    selected,
    structural_fault,
    text_array,
)

MAX_DEPTH = 512
_TEMPLATES = 3  # so many forms of lines are looked for in a block

KEYS = ("ts", "url", "environment", "user_id")

_WS = r"[ \t]*"
_CHAR = r'[^"\\\x00-\x1f]'
_STRING = f'"{_CHAR}*"'
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_SCALAR = f"(?:{_STRING}|{_NUMBER}|true|false|null)"
_ID_FORMS = (
    (r"(?:-?(?:0|[1-9][0-9]{0,17})|null)", pa.int64()),
    (rf"(?:{_STRING}|null)", pa.string()),
)


def _other_than(words: Sequence[str]) -> str:
    """An expression for every string without escapes that is none of `words`."""
    prefixes = {word[:end] for word in words for end in range(len(word) + 1)}
    forms = []
    for prefix in sorted(prefixes):
        goes_on = "".join(sorted({p[len(prefix)] for p in prefixes if p[:-1] == prefix and p}))
        forms.append(rf'{prefix}[^{goes_on}"\\\x00-\x1f]{_CHAR}*')
        if prefix not in words:
            forms.append(prefix)
    return "(?:" + "|".join(forms) + ")"


def _flat_object(user_id: str) -> str:
    """An expression for a line that holds one object of scalars, our keys with our types."""
    colon = f"{_WS}:{_WS}"
    text = f'"(?:ts|url|environment)"{colon}(?:{_STRING}|null)'
    other = f'"{_other_than(KEYS)}"{colon}{_SCALAR}'
    member = f'(?:{text}|"user_id"{colon}{user_id}|{other})'
    members = f"(?:{member}(?:{_WS},{_WS}{member})*)"
    return rf"\A{_WS}\{{{_WS}{members}{_WS}\}}{_WS}\r?\n?\z"


_SHORT_NUMBER = "-?(?:0|[1-9][0-9]{0,17})"
_NUMBER_PIECE = re.compile(rf"({_WS}:{_WS}){_SHORT_NUMBER}({_WS}[,}}].*)")

_FAST = [(_flat_object(form), type_) for form, type_ in _ID_FORMS]
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


def read(block: Block) -> Records:
    """The records of a block. Columns: `KEYS` as text, but `user_id` as int64."""
    left = np.ones(len(block), bool)
    plain = block.sound & (block.ends > block.starts) & ~_has_special(block)
    parts: list[Columns] = []
    lines = []
    for _ in range(_TEMPLATES):
        if uniform := _uniform(block, plain & left):
            parts.append(uniform[0])
            lines.append(uniform[1])
            left[uniform[1]] = False
    for pattern, id_type in _FAST:
        if not left.any():
            break
        mask = block.sound & _matching(block, left, pattern)
        columns = _fast_columns(block, mask, id_type) if mask.any() else None
        if columns is not None:
            parts.append(columns)
            lines.append(np.flatnonzero(mask))
            left &= ~mask
    odd, odd_lines, broken = _odd(block, left)
    parts.append(odd)
    lines.append(odd_lines)
    at = np.concatenate(lines)
    return Records(columns=_merge(parts), first=at, last=at, broken=broken)


@dataclass(frozen=True)
class _Template:
    """A line as its program writes all of them: the same text but for the four values.

    A line is cut at its quotes. `constants` are the pieces that every line has, `texts` the
    positions of the values, `number` that of a `user_id` which is no text, with what stands
    before and behind it.
    """

    width: int
    constants: dict[int, str]
    texts: dict[str, int]
    number: tuple[int, str, str] | None


def _template(record: str) -> _Template | None:
    """The template of a line; None if it is not an object of texts, `user_id` perhaps a number."""
    value = None if "\\" in record else loads(record)
    if not isinstance(value, dict) or set(value) != set(KEYS):
        return None
    texts = [key for key in KEYS if isinstance(value[key], str)]
    pieces = record.split('"')
    if len(pieces) != 1 + 2 * (len(KEYS) + len(texts)) or any(pieces.count(k) != 1 for k in KEYS):
        return None
    number = None
    if "user_id" not in texts:
        at = pieces.index("user_id") + 1
        match = _NUMBER_PIECE.fullmatch(pieces[at])
        number = (at, match.group(1), match.group(2)) if match else None
    if len(texts) + (number is not None) != len(KEYS):
        return None
    places = {key: pieces.index(key) + 2 for key in texts}
    variable = {*places.values(), *(number or ())[:1]}
    constants = {place: piece for place, piece in enumerate(pieces) if place not in variable}
    return _Template(len(pieces), constants, places, number)


def _uniform(block: Block, plain: np.ndarray) -> tuple[Columns, np.ndarray] | None:
    """The columns of the lines that are like the first `plain` one, and which lines these are.

    Without a backslash or a control character, a line that has a template's pieces is the same
    object with other values: the cheapest way to know that a line is RFC 8259.
    """
    first = int(plain.argmax()) if plain.any() else -1
    template = _template(block.line(first).decode()) if first >= 0 else None
    if template is None:
        return None
    names = [str(place) for place in range(template.width)]
    table, refused = read_delimited(
        selected(block, plain),
        names,
        pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), check_utf8=False),
        delimiter='"',
        quote_char=False,
    )
    pieces = [combine(column.chunks) for column in table.columns]
    alike = _alike(pieces, template)
    taken = np.delete(np.flatnonzero(plain), refused)
    if not pc.all(alike).as_py():
        pieces = [piece.filter(alike) for piece in pieces]
        taken = taken[alike.to_numpy(zero_copy_only=False)]
    columns = {key: pieces[place] for key, place in template.texts.items()}
    if template.number:
        at, before, behind = template.number
        digits = pc.utf8_slice_codeunits(pieces[at], len(before), -len(behind))
        columns["user_id"] = digits.cast(pa.int64())
    return columns, taken


def _alike(pieces: list[pa.Array], template: _Template) -> pa.Array:
    """Which lines have the template's pieces."""
    same = [pc.equal(pieces[place], piece) for place, piece in template.constants.items()]
    if template.number:
        at, before, behind = template.number
        form = rf"\A{re.escape(before)}{_SHORT_NUMBER}{re.escape(behind)}\z"
        same.append(pc.match_substring_regex(pieces[at], form))
    return reduce(pc.and_, same)


def _has_special(block: Block) -> np.ndarray:
    """Which lines hold a backslash, or a control character that is not part of the line's end."""
    data = np.frombuffer(block.data, np.uint8)
    found = np.flatnonzero(((data < ord(" ")) & (data != ord("\n"))) | (data == ord("\\")))
    lines = block.lines_of(found)
    special = np.zeros(len(block), bool)
    special[lines[found < block.ends[lines]]] = True
    return special


def _matching(block: Block, mask: np.ndarray, pattern: str) -> np.ndarray:
    """Which of the lines that `mask` selects match."""
    at = np.flatnonzero(mask)
    lines = block.lines if len(at) == len(block) else block.lines.take(pa.array(at))
    matches = np.zeros(len(block), bool)
    matches[at] = pc.match_substring_regex(lines, pattern).to_numpy(zero_copy_only=False)
    return matches


def _merge(parts: list[Columns]) -> Columns:
    """One column each; a user id that is no whole number is null."""
    filled = [part for part in parts if len(part["user_id"])] or parts[-1:]
    for part in filled:
        part["user_id"] = whole_number(part["user_id"])
    return {key: combine([part[key] for part in filled]) for key in KEYS}


def _fast_columns(block: Block, mask: np.ndarray, id_type: pa.DataType) -> Columns | None:
    """The lines' columns by pyarrow; None where it refuses them (a key that is repeated)."""
    data = selected(block, mask)
    types = {key: id_type if key == "user_id" else pa.string() for key in KEYS}
    try:
        table = pa.json.read_json(
            pa.BufferReader(data),
            read_options=pa.json.ReadOptions(use_threads=False, block_size=max(data.size, 1)),
            parse_options=pa.json.ParseOptions(
                explicit_schema=pa.schema(list(types.items())), unexpected_field_behavior="ignore"
            ),
        )
    except pa.ArrowInvalid:
        return None
    return {key: combine(table[key].chunks) for key in KEYS}


def _odd(block: Block, mask: np.ndarray) -> tuple[Columns, np.ndarray, list[tuple[int, int, str]]]:
    """The lines that pyarrow does not take, one by one."""
    values: list[dict[str, str | None]] = []
    lines: list[int] = []
    broken: list[tuple[int, int, str]] = []
    for line in np.flatnonzero(mask & (block.ends > block.starts)).tolist():
        record = block.data[int(block.starts[line]) : int(block.ends[line])]
        if is_blank(record):
            continue
        reason = structural_fault(record)
        value = None if reason else loads(record.decode("utf-8"))
        if isinstance(value, dict):
            values.append({key: _as_text(value.get(key), key) for key in KEYS})
            lines.append(line)
        else:
            broken.append((line, line, reason or str(value)))
    columns = {key: text_array([value[key] for value in values]) for key in KEYS}
    return columns, np.array(lines, np.int64), broken


def _as_text(value: Any, key: str) -> str | None:
    """A value as the text that its column is checked by; null where it can be none."""
    if isinstance(value, _Whole) and key == "user_id":
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
