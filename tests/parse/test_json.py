"""Compiled code and Python read the same from a line of JSON, as Python's own parser does."""

from __future__ import annotations

import json
from random import Random
from types import ModuleType
from typing import Any

import pytest

from clicklake.parse import compiled as kernels
from clicklake.parse import jsonl
from clicklake.parse.blocks import Block
from clicklake.parse.sources import SOURCES

PAGE_VIEWS_KEYS = SOURCES["page_views"].keys
NAMES = [key.name for key in PAGE_VIEWS_KEYS]
LIKE = '{"ts": "t1", "url": "/a", "environment": "production", "user_id": 1}'
FIRST = {
    "as most": LIKE,
    "compact, another order": '{"user_id":1,"url":"/a","environment":"production","ts":"t1"}',
    "a key as a value": '{"ts": "url", "url": "/a", "environment": "production", "user_id": 1}',
    "keys as all values": '{"ts": "url", "url": "ts", "environment": "user_id", "user_id": 1}',
    "empty texts": '{"ts": "", "url": "", "environment": "", "user_id": 0}',
    "a null": '{"ts": null, "url": "/a", "environment": "production", "user_id": 1}',
    "a key more": '{"ts": "t1", "url": "/a", "environment": "x", "user_id": 1, "more": "y"}',
    "an escape": r'{"ts": "t\u0031", "url": "/a", "environment": "x", "user_id": 1}',
}
REST = [
    LIKE,
    '{"ts": "t2", "url": "/b", "environment": "production", "user_id": -22}',
    '{"ts": "t2", "url": "/\u00fc", "environment": "production", "user_id": 999999999999999999}',
    '{"user_id":7,"url":"/c","environment":"staging","ts":"t9"}',
    '{"ts": "t2", "url": "/b", "url": "/last", "environment": "production", "user_id": 2}',
    '{"ts": "t2", "ts": "/b", "environment": "production", "user_id": 2}',
    r'{"ts": "t2", "url": "/\"b", "environment": "production", "user_id": 2}',
    r'{"ts": "t2", "url": "http:\/\/h\/\u00e4\u20ac\uD83D\uDE00\\", "environment": "production"}',
    r'{"ts": "t2", "url": "http:\/\/h\/\u00e4\u20AC\\", "environment": "a", "user_id": "3"}',
    r'{"ts": "t2", "url": "/\n", "environment": "production", "user_id": 2}',
    '{"ts": 1, "url": -0.5e+7, "environment": true, "user_id": null}',
    '{"ts": "t2", "more": [1, {"url": "/x"}, []], "environment": "production", "user_id": 2}',
    r'{"more": {"a": {}, "b": [[], -1.5E3, "\n\ud83d\ude00", null]}, "ts": {"url": 1}, "url": []}',
    '{"more": ' + "[" * 70 + "]" * 70 + ', "ts": "t2"}',
    "{}",
    ' { "url" : "/b" } ',
    '{"ts": "t2", "url": "/b", "environment": "production", "user_id": 2}  ',
]
BROKEN = [
    '{"ts": "t2", "url": "/b", "environment": "production", "user_id": 2}}',
    '{"ts": "t2", "url": "/b", "environment": "production", "user_id": 02}',
    '{"ts": "t2", "url": "/b", "environment": "production", "user_id": 2},',
    '{"ts": "t2", "url": "/\x01b", "environment": "production", "user_id": 2}',
    '{"ts": "t2", "url": "/b" "environment": "production", "user_id": 2}',
    '{"ts": "t2", "url": "/b", "environment": "production", "user_id": 2}' * 2,
    '"ts": "t2", "url": "/b", "environment": "production", "user_id": 2',
    '{"ts": "t2", "url": "/b", "environment": "production", "user_id": 2.}',
    '{"ts": "t2", "url": "/b", "environment": "production", "user_id": -}',
    '{"ts": "t2", "url": "/b", "environment": "production", "user_id": 1e}',
    '{"ts": "t2", "url": "/b", "environment": "production", "user_id": nul}',
    '{"ts": "t2", "url": "/b", "environment": "production", "user_id": 2,}',
    '{"ts": "t2", "url": "/b", "environment": "production", "user_id": 2',
    r'{"ts": "t2", "url": "/\x", "environment": "production", "user_id": 2}',
    r'{"ts": "t2", "url": "/\u12", "environment": "production", "user_id": 2}',
    r'{"ts": "t2", "url": "/\ud800", "environment": "production", "user_id": 2}',
    r'{"ts": "t2", "x": "\ud83d\udb00", "environment": "production", "user_id": 2}',
    r'{"ts": "t2", "x": "\udc00", "environment": "production", "user_id": 2}',
    '{"more": [1,], "ts": "t2"}',
    '{"more": {"a": 1,}, "ts": "t2"}',
    '{"more": [,1], "ts": "t2"}',
    '{"more": {"a"}, "ts": "t2"}',
    '{"more": {"a": 1 "b": 2}, "ts": "t2"}',
    '{"more": [1 2], "ts": "t2"}',
    '{"more": [1}, "ts": "t2"}',
    '{"more": {"a": 1], "ts": "t2"}',
    '{"more": {1: 1}, "ts": "t2"}',
    '{"more": [[1], "ts": "t2"}',
    "{'ts': 't2'}",
    "{",
    '{"',
    '{"url',
    '{"url"',
    '{"url":',
    '{"url":"',
    '{"url":"\\',
]


@pytest.mark.parametrize("compiled", [None, kernels], ids=["Python", "compiled"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("first", FIRST.values(), ids=FIRST.keys())
def test_every_line_is_read_as_json_reads_it(
    first: str, end: str, compiled: ModuleType | None
) -> None:
    lines = [first, *REST, "", *BROKEN, LIKE]
    records = jsonl.read(Block(end.join(lines).encode(), compiled), PAGE_VIEWS_KEYS)
    columns = {key: texts.to_pylist(range(len(texts))) for key, texts in records.columns.items()}
    read = {
        int(line): {key: columns[key][at] for key in NAMES} for at, line in enumerate(records.first)
    }
    sound = [at for at, line in enumerate(lines) if line and line not in BROKEN]
    assert read == {at: _texts(json.loads(lines[at])) for at in sound}
    assert sorted(line for line, *_ in records.broken) == [
        at for at, line in enumerate(lines) if line in BROKEN
    ]


def test_compiled_code_leaves_little_to_python() -> None:
    """Escapes that programs write by themselves do not make a file slow to read."""
    usual = [LIKE, *FIRST.values(), *REST]
    block = Block("\n".join(usual).encode(), kernels)
    lines = jsonl._plain(block, PAGE_VIEWS_KEYS).lines
    left = {line for at, line in enumerate(usual) if at not in lines}
    rare = ("t\\u", "\\uD", "/\\n", "[[[")
    assert left == {line for line in usual if any(each in line for each in rare)}


def test_both_ways_agree_on_any_line() -> None:
    rng = Random(7)
    for _ in range(150):
        lines = [_mutated(rng, json.dumps(_object(rng))) for _ in range(40)]
        data = "\n".join(lines).encode()
        assert _found(Block(data, kernels)) == _found(Block(data))


def _object(rng: Random, depth: int = 0) -> dict[str, Any]:
    return {
        rng.choice((*NAMES, "more", "\u00fc", "")): _any(rng, depth)
        for _ in range(rng.randrange(7))
    }


def _any(rng: Random, depth: int) -> Any:
    kind = rng.randrange(9)
    if depth < 4 and kind == 0:
        return _object(rng, depth + 1)
    if depth < 4 and kind == 1:
        return [_any(rng, depth + 1) for _ in range(rng.randrange(4))]
    return rng.choice((1, -2.5e3, None, True, "x", ' \u00e9\n"\\/', "\U0001f600", "", 0))


def _mutated(rng: Random, line: str) -> str:
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        at = rng.randrange(len(line) + 1)
        token = rng.choice((*'"\\{}[],: 1e-.\t\x01', "\\u00e9", "\\ud83d", "\\udc00", "null"))
        line = line[:at] + token + line[at + rng.choice((0, 0, 1, 3)) :]
    return line


def _found(block: Block) -> tuple[list[Any], list[Any]]:
    records = jsonl.read(block, PAGE_VIEWS_KEYS)
    columns = [texts.to_pylist(range(len(texts))) for texts in records.columns.values()]
    rows = zip(records.first.tolist(), *columns, strict=True)
    return sorted(rows, key=str), sorted(records.broken)


def _texts(value: dict[str, Any]) -> dict[str, str | None]:
    """What the columns should hold: text, of a user_id also the digits of a number."""
    found: dict[str, str | None] = dict.fromkeys(NAMES)
    for key in found.keys() & value.keys():
        given = value[key]
        if key == "user_id" and isinstance(given, int) and not isinstance(given, bool):
            given = str(given)
        found[key] = given.strip(" \t") or None if isinstance(given, str) else None
    return found
