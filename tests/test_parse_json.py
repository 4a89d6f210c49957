"""Lines that are alike are read together; what only looks alike is read by itself."""

from __future__ import annotations

import json

import pytest

from clicklake.parse import jsonl
from clicklake.parse.blocks import Block

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
]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("first", FIRST.values(), ids=FIRST.keys())
def test_every_line_is_read_as_json_reads_it(first: str, end: str) -> None:
    lines = [first, *REST, "", *BROKEN, LIKE]
    records = jsonl.read(Block(end.join(lines).encode()))
    columns = {key: values.to_pylist() for key, values in records.columns.items()}
    read = {
        int(line): {key: columns[key][at] for key in jsonl.KEYS}
        for at, line in enumerate(records.first)
    }
    sound = [at for at, line in enumerate(lines) if line and line not in BROKEN]
    expected = {at: {key: json.loads(lines[at]).get(key) for key in jsonl.KEYS} for at in sound}
    assert read == expected
    assert sorted(line for line, *_ in records.broken) == [
        at for at, line in enumerate(lines) if line in BROKEN
    ]
