"""Other people's logs: each key of a mapping by hand, and logs in random shapes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest

import fuzz
import hostile
import oracle
import respelt
from clicklake.logs.diagnosis import parsed
from clicklake.parse import compiled as kernels
from clicklake.parse import csv, fields, rows, sources, texts, zones

NOON = 1_522_584_000_000_000  # 2018-04-01 12:00:00 UTC


@pytest.fixture(params=["compiled", "Python"])
def reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Small files as well are read by compiled code, or large ones by Python."""
    monkeypatch.setattr(texts, "_INTERPRETED", -1 if request.param == "compiled" else 1 << 60)
    return request.param


# ------------------------------------------------------------------ by hand

CLICK = ("v1", "/a", NOON, "Firefox", "Linux", "1x1")
VIEW = (NOON, 7, "/a")
UPDATE = (NOON, 7, "a@b", "Ann")
NO_TIME = ("invalid_time",)
OTHER_NAMES = {"anonymous_user_id": "Visitor", "url": "page", "time": "ts"}
NESTED = {"ts": "when", "url": "context.page.url", "user_id": "context.user", "environment": ""}
BY_NUMBER = {"header": "no", "time": "1", "anonymous_user_id": "2", "url": "4", "browser": "5",
             "os": "6", "screen_resolution": "", "columns": "7"}  # fmt: skip

# source, mapping, file, rows or reasons
CASES: dict[str, tuple[str, Mapping[str, str], str, list[tuple[object, ...]]]] = {
    "columns by other names": (
        "clickstream", OTHER_NAMES,
        "VISITOR ,page,ts,browser,os,screen_resolution,url\nv1,/a,1522584000,Firefox,Linux,1x1,x",
        [CLICK]),
    "columns that are not there": (
        "clickstream", {"browser": "", "os": "", "screen_resolution": ""},
        "time,anonymous_user_id,url\n1522584000,v1,/a", [("v1", "/a", NOON, None, None, None)]),
    "columns by number": (
        "clickstream", BY_NUMBER,
        "1522584000,v1,,/a,Firefox,Linux,x\n1522584000,v1,,/a,Firefox,Linux\n,v1,,/a,,,",
        [(*CLICK[:5], None), ("wrong_field_count",), NO_TIME]),
    "no header, the usual order": (
        "clickstream", {"header": "no"}, "v1,/a,1522584000,Firefox,Linux,1x1", [CLICK]),
    "a header where usually none is": (
        "user_updates", {"header": "yes", "updated_at": "At", "environment": ""},
        "name,email,user_id,at\nAnn,a@b,7,2018-04-01T12:00:00Z", [UPDATE]),
    "tabs": (
        "user_updates", {"delimiter": "\t"},
        '2018-04-01 12:00:00\t7\ta@b\t"Ann\t"\tproduction\n\t\t\t\t\n \n',
        [UPDATE, ("missing_environment",)]),
    "spaces": (
        "clickstream", {"delimiter": " ", "header": "no"},
        "v1 /a 1522584000 Firefox Linux 1x1\n     \n\t\n", [CLICK, ("missing_visitor",)]),
    "another quote": (
        "user_updates", {"delimiter": ";", "quote": "'"},
        "2018-04-01 12:00:00;7;a@b;'A;n''n\"';production\n"
        "2018-04-01 12:00:00;7;a@b;'Ann;production",
        [(*UPDATE[:3], "A;n'n\""), ("unclosed_quote",)]),
    "no quote": (
        "user_updates", {"quote": ""}, '2018-04-01 12:00:00,7,a@b,"Ann,production',
        [(*UPDATE[:3], '"Ann')]),
    "objects in objects": (
        "page_views", NESTED,
        '{"when": "2018-04-01T12:00:00Z", "context": {"x": {}, "page": {"url": "/a"}, "user": 7}}\n'
        '{"context": {"page": {}, "user": 7}, "when": "2018-04-01T12:00:00Z", "url": "/x"}\n'
        '{"context": {"page": {"url": "/a"}}, "context": {"user": 7}, "when": ""}\n'
        '{"context": {"page": "/a", "user": 7}}\n'
        '{"context": {"page": {"url": "/b", "url": "/a"}, "user": 7,}, "when": ""}\n'
        '{"when": "2018-04-01T12:00:00Z","context":{"user":"7" ,"page":{"url":"\\u002fa" } } }',
        [VIEW, ("missing_url",), ("missing_url",), ("missing_url",), ("malformed_json",), VIEW]),
    "a dot of a key's own, and long keys": (
        "page_views", {"url": r"page\.url", "user_id": "the number of the user", "environment": ""},
        '{"ts": "2018-04-01T12:00:00Z", "page.url": "/a", "the number of the user": 7}\n'
        '{"ts": "2018-04-01T12:00:00Z", "page.url": "/a", "the number OF the user": 7}',
        [VIEW, ("invalid_user_id",)]),
    "clicks in JSON": (
        "clickstream", {"format": "json", "time_format": "unix_ms", "time": "t"},
        '{"anonymous_user_id": "v1", "url": "/a", "t": 1522584000000, "browser": "Firefox", '
        '"os": "Linux", "screen_resolution": "1x1"}\n'
        '{"anonymous_user_id": 12, "url": "/a", "t": "1522584000000.0009"}\n'
        '{"anonymous_user_id": "v1", "url": "/a", "t": 1.5e12}\n[]',
        [CLICK, ("12", "/a", NOON, None, None, None), NO_TIME, ("not_an_object",)]),
    "views in CSV": (
        "page_views", {"format": "csv"},
        "url,user_id,environment,ts\n/a,7,production,2018-04-01 12:00:00\n/a,7,production",
        [VIEW, ("wrong_field_count",)]),
    "texts for none": (
        "clickstream", {"nulls": r"-, \N, null"},
        'url,time,anonymous_user_id,browser,os,screen_resolution\n/a,1522584000,v1,-,"\\N", null \n'
        "/a,1522584000,-,,,\n-,1522584000,v1,,,\n/a,null,v1,,,\n/a,1522584000,--,NULL,\\n,- -",
        [("v1", "/a", NOON, None, None, None), ("missing_visitor",), ("missing_url",), NO_TIME,
         ("--", "/a", NOON, "NULL", "\\n", "- -")]),
    "comments": (
        "user_updates", {"comment": "#", "nulls": "-"},
        "#Version: 1.0\n#\n2018-04-01 12:00:00,7,a@b,Ann,production\n #x,7,a@b,Ann,production\n"
        "2018-04-01 12:00:00,7,a@b,#,production\n##,,,,",
        [UPDATE, (*UPDATE[:3], "#"), NO_TIME]),
    "comments between objects": (
        "page_views", {"comment": "//", "environment": ""},
        '// {"ts": "2018-04-01T12:00:00Z", "url": "/a", "user_id": 7}\n/\n'
        '{"ts": "2018-04-01T12:00:00Z", "url": "/a", "user_id": 7}\n//',
        [VIEW, ("malformed_json",)]),
    "another environment": (
        "user_updates", {"keep_environment": "live"},
        "2018-04-01 12:00:00,7,a@b,Ann,live\n2018-04-01 12:00:00,7,a@b,Bob,production", [UPDATE]),
    "any environment": (
        "user_updates", {"keep_environment": "*"},
        "2018-04-01 12:00:00,7,a@b,Ann,\n2018-04-01 12:00:00,7,a@b,Ann,x", [UPDATE, UPDATE]),
    "clicks of an environment": (
        "clickstream", {"environment": "env", "screen_resolution": ""},
        "anonymous_user_id,url,time,browser,os,env\nv1,/a,1522584000,,,production\n"
        "v1,/a,1522584000,,,test\nv1,/a,1522584000,,,",
        [("v1", "/a", NOON, None, None, None), ("missing_environment",)]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_by_hand(reading: str, case: str) -> None:
    """Product and oracle alike."""
    source, words, text, expected = CASES[case]
    texts.expect(1)
    wanted = [row for row in expected if len(row) > 1]
    reasons = Counter(str(row[0]) for row in expected if len(row) == 1)
    assert _parsed(source, words, text) == (wanted, reasons)
    result = oracle.compute({source: {"f": text.encode()}}, hostile.AS_OF, mapping={source: words})
    assert result.reasons[source] == reasons
    assert {row[: fuzz.ROWS[source]] for row in result.tables[source]} == set(wanted)


def _parsed(source: str, words: Mapping[str, str], text: str) -> tuple[list[object], Counter[str]]:
    mapped = sources.shaped(source, respelt.shape(source, words))
    data = text.encode()
    layout = None
    if mapped.header:
        head, _, data = data.partition(b"\n")
        layout, _ = csv.header(head, mapped.header, mapped.dialect)
    found = rows.parse(mapped, data, fields.time_range(hostile.AS_OF), layout)
    head = parsed(mapped, "f", text.encode(), text.encode(), fields.time_range(hostile.AS_OF))
    assert sorted(reason for reason, _ in head.rejects) == sorted(found.rejects.reasons)
    plain = list(fuzz._plain(pa.Table.from_batches([found.rows])))
    return plain, Counter(found.rejects.reasons)


TIMES = {
    ("2018-04-01 14:00:00", "Europe/Berlin"): NOON,
    ("2018-04-01 12:00:00Z", "Europe/Berlin"): NOON,
    ("2018-04-01 13:00:00+01:00", "Europe/Berlin"): NOON,
    ("2018-04-01 02:30:00", "-0930"): NOON,
    ("2018-04-01T17:30:00.000001", "+05:30"): NOON + 1,
    # Clocks went from 02:00 to 03:00: a time between is as before they went.
    ("2018-03-25 01:59:59", "Europe/Berlin"): 1_521_939_599_000_000,
    ("2018-03-25 02:30:00", "Europe/Berlin"): 1_521_941_400_000_000,
    ("2018-03-25 03:30:00", "Europe/Berlin"): 1_521_941_400_000_000,
    # Clocks went back from 03:00 to 02:00: the first of the two.
    ("2017-10-29 02:30:00", "Europe/Berlin"): 1_509_237_000_000_000,
    ("2017-10-29 02:59:59.5", "Europe/Berlin"): 1_509_238_799_500_000,
    ("2017-10-29 03:00:00", "Europe/Berlin"): 1_509_242_400_000_000,
}


@pytest.mark.parametrize(("text", "zone"), TIMES)
def test_a_time_without_a_zone(reading: str, text: str, zone: str) -> None:
    line = f"{text},7,a@b,Ann,production"
    [(found, *_)], _ = _parsed("user_updates", {"zone": zone}, line)
    assert found == TIMES[text, zone]
    assert oracle._iso_micros(text, zone) == found


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "America/Caracas"])
def test_the_hours_around_every_change(zone: str) -> None:
    """Compiled code and Python agree from 2000 to 2100 and beyond."""
    edges, _ = zones.offsets(zone)
    second = 1_000_000
    every = [int(edge) + step * second for edge in edges for step in (-3600, -1, 0, 1, 1800, 7200)]
    moments = [datetime(1970, 1, 1) + timedelta(microseconds=at) for at in every]
    words = [moment.isoformat() for moment in moments] + [
        "0001-01-01T00:00:00",
        "2150-07-01T00:00:00",
    ]
    column = _column(words, kernels)
    assert fields.iso_time(column, zone).tolist() == [
        oracle._iso_micros(word, zone) for word in words
    ]


def _column(words: list[str], compiled: ModuleType) -> texts.TextColumn:
    parts = [word.encode() for word in words]
    edges = np.cumsum([0, *map(len, parts)], dtype=np.int32)
    return texts.TextColumn(b"".join(parts), edges[:-1], edges[1:], compiled)


# ------------------------------------------------------------------ random logs

_BAD_TIMES = ("", "now", "2018-02-29T00:00:00Z", "2018-04-01T12:00:00+01", "1e9")
_TIME = {"user_updates": "updated_at", "page_views": "ts", "clickstream": "time"}
_DEFAULT = {"user_updates": "iso", "page_views": "iso", "clickstream": "unix_s"}


def _records(rng: Random, source: str) -> list[dict[str, str | None]]:
    """Rows of texts, good and bad; under `micros` a moment, None for a bad time."""
    made = []
    for _ in range(rng.randrange(12)):
        values = hostile._record(rng, source)
        if isinstance(values, bytes):
            continue
        names = oracle._PLACES[source]
        record: dict[str, str | None] = dict(zip(names, values, strict=True))
        if source == "page_views":
            record = {name: _of_json(value) for name, value in record.items()}
        record = {
            name: value and value.translate({10: "_", 13: "_"}) for name, value in record.items()
        }
        record["environment"] = rng.choice(
            ("production", "production", "production", "staging", "")
        )
        made.append(record)
    return made


def _of_json(fragment: str) -> str | None:
    try:
        value = json.loads(fragment, parse_int=str, parse_float=lambda _: None)
    except ValueError:
        return None
    is_text = isinstance(value, str) and not any(0xD800 <= ord(char) < 0xE000 for char in value)
    return value if is_text else None


def _timed(rng: Random, source: str, records: list, *shapes: Mapping[str, str]) -> list[list]:
    """The same records with times as each of some shapes writes them."""
    written: list[list] = [[] for _ in shapes]
    for record in records:
        micros = rng.choice((NOON, NOON + 500_000, NOON + 1, 0, 1_509_237_000_000_000,
                             1_509_240_600_000_000, 1_530_489_599_999_999, 2**52))  # fmt: skip
        bad = rng.choice(_BAD_TIMES) if rng.randrange(5) == 0 else None
        for words, out in zip(shapes, written, strict=True):
            time = respelt.time(micros, words, _DEFAULT[source]) if bad is None else bad
            out.append({**record, _TIME[source]: time})
    return written


def _plain_words(rng: Random, source: str) -> dict[str, str]:
    """A mapping that tells all that the usual shape tells, and keeps the same rows."""
    words = respelt.any_words(rng, source)
    words.pop("keep_environment", None)
    words.pop("comment"), words.pop("nulls")
    if source == "clickstream":
        words.pop("environment", None)
    if words["format"] == "csv" and not words["quote"]:
        words["quote"] = "\x02"
    return words


def test_logs_in_another_shape_mean_the_same(tmp_path: Path, reading: str) -> None:
    rng = Random(f"respelt {reading}")
    fates: Counter[str] = Counter()
    for number in range(120):
        source = rng.choice(list(oracle.SOURCES))
        words = _plain_words(rng, source)
        usual, other = _timed(rng, source, _records(rng, source), {}, words)
        found = []
        for name, rows_, how in (("usual", usual, {}), ("other", other, words)):
            root = tmp_path / f"{number}-{name}"
            hostile.write({source: {"f": respelt.written(source, rows_, how)}}, root)
            shape = respelt.shape(source, how)
            found.append(fuzz.read(root / hostile.FOLDERS[source], source, shape=shape))
        one, two = found
        assert (one.read, one.filtered, one.reasons) == (two.read, two.filtered, two.reasons), words
        assert sorted(map(repr, one.rows)) == sorted(map(repr, two.rows)), words
        assert not one.refused and not two.refused
        fates.update(two.reasons)
        fates.update(kept=len(two.rows), filtered=two.filtered)
    assert fates.keys() >= {"kept", "filtered", "missing_url", "invalid_time", "invalid_email"}


def test_mutated_files_in_any_shape(tmp_path: Path, reading: str) -> None:
    """Product and oracle agree on what nobody would write."""
    rng = Random(f"mutated {reading}")
    fates: Counter[str] = Counter()
    for number in range(150):
        source = rng.choice(list(oracle.SOURCES))
        words = respelt.any_words(rng, source)
        if words.get("quote") == "":
            words["delimiter"] = "\x01"
        [records] = _timed(rng, source, _records(rng, source), words)
        data = respelt.written(source, records, words)
        files = {source: {"f": fuzz.mutated(rng, data)}}
        try:
            fates.update(fuzz.check(
                tmp_path / str(number), files, multiline=rng.randrange(3) == 0,
                split_bytes=rng.choice((1, 50, 300, 64 << 20)), buckets=rng.choice((0, 1, 3)),
                mapping={source: words},
            ))  # fmt: skip
        except BaseException:
            print(f"file {number}: {words} {files!r}")
            raise
    assert fates.keys() >= {"kept", "filtered", "wrong_field_count", "malformed_json", "refused"}


SWAP = bytes.maketrans(b",;\"'", b";,'\"")


def test_other_characters_for_the_same_structure(tmp_path: Path, reading: str) -> None:
    """Delimiter and quote change places with two others, in mutated files: so do they in texts."""
    rng = Random(f"swapped {reading}")
    words = {"delimiter": ";", "quote": "'"}

    def swapped(value: object) -> object:
        return value.encode().translate(SWAP).decode() if isinstance(value, str) else value

    for number in range(100):
        files = fuzz.fuzzed(rng)
        [source] = files
        if source == "page_views":
            continue
        other = {source: {"f": files[source]["f"].translate(SWAP)}}
        multiline = rng.randrange(2) == 0
        found = []
        for name, written, how in (("usual", files, {}), ("other", other, words)):
            hostile.write(written, tmp_path / f"{number}-{name}")
            folder = tmp_path / f"{number}-{name}" / hostile.FOLDERS[source]
            shape = respelt.shape(source, how)
            found.append(fuzz.read(folder, source, multiline=multiline, shape=shape))
        usual, mapped = found
        assert sorted(map(repr, usual.rows)) == sorted(
            repr(tuple(map(swapped, row))) for row in mapped.rows
        )
        assert usual.quarantine == [(*row[:4], swapped(row[4])) for row in mapped.quarantine]
        assert usual.refused.keys() == mapped.refused.keys()


@pytest.mark.parametrize("multiline", [False, True])
def test_comments_before_a_header_and_in_a_quoted_field(
    tmp_path: Path, reading: str, multiline: bool
) -> None:
    """Line numbers count them; splits may begin with them."""
    text = (
        b"#Software: x\n\n# a,b\nurl,time,anonymous_user_id,browser,os,screen_resolution\n"
        b'#c\n/a,1522584000,v1,"Fire\n#fox",,\n# d\n/b,1522584000,v2,,,\n#e\nx\n#'
    )
    mapping = {"clickstream": {"comment": "#"}}
    files = {"clickstream": {"f": text}}
    for number, split_bytes in enumerate((1, 30, 64 << 20)):
        fates = fuzz.check(
            tmp_path / str(number), files, multiline=multiline, split_bytes=split_bytes,
            mapping=mapping,
        )  # fmt: skip
    assert fates["kept"] == (2 if multiline else 1)
