"""Inputs that try every rule of the data: as a hypothesis strategy, and seeded.

Both draw from one generator that takes a `random.Random`; hypothesis brings its own, which it
can replay and shrink. A value is `{source: {path below the source's folder: bytes on disk}}`.
"""

from __future__ import annotations

import bz2
import gzip
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from random import Random

import zstandard
from hypothesis import strategies as st

AS_OF = date(2018, 6, 30)
FOLDERS = {"user_updates": "UserUpdates", "page_views": "PageViews", "clickstream": "Clickstream"}
LIMIT = 1 << 20

_STRUCTURE = {"record_too_long", "invalid_utf8"}
_CSV = {"unclosed_quote", "wrong_field_count"}
_TIME = {"invalid_time", "time_out_of_range"}
REASONS = {
    "user_updates": _STRUCTURE
    | _CSV
    | _TIME
    | {"missing_environment", "invalid_user_id", "invalid_email"},
    "page_views": _STRUCTURE
    | _TIME
    | {
        "malformed_json",
        "not_an_object",
        "missing_environment",
        "invalid_user_id",
        "missing_url",
    },
    "clickstream": _STRUCTURE | _CSV | _TIME | {"missing_visitor", "missing_url"},
}

Files = dict[str, dict[str, bytes]]
# A record: the values of its columns, or, where it is broken, its bytes.
Record = tuple[str, ...] | bytes

# ------------------------------------------------------------------ values of the fields

_DAYS = ("2018-03-31", "2018-04-01", "2018-04-30", "2018-05-01")
_CLOCKS = ("00:00:00", "23:59:59", "23:59:59.999999", "23:59:59.9999999", "12:30:00.5", "12:30:00")
_ZONES = ("", "Z", "+00:00", "-0000", "+02:00", "+0545", "-23:59")

BAD_ISO = (
    "",
    "2018-02-29T00:00:00Z",
    "2018-04-31 00:00:00",
    "2018-00-10T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "2018-04-01T24:00:00Z",
    "2018-04-01T23:59:60Z",
    "2018-04-01T12:60:00",
    "2018-04-01T12:00:00.",
    "2018-04-01T12:00:00.1234567890Z",
    "2018-04-01T12:00:00,5Z",
    "2018-04-01t12:00:00Z",
    "2018-04-01T12:00:00z",
    "2018-04-01  12:00:00",
    "2018-04-01T12:00:00 Z",
    "2018-04-01T12:00:00+24:00",
    "2018-04-01T12:00:00+01:60",
    "2018-04-01T12:00:00+01",
    "2018-04-01T12:00:00+1:00",
    "2018-04-01T12:00:00−01:00",
    "2018-04-01T12:00",
    "2018-04-01",
    "2018-4-1T12:00:00Z",
    "18-04-01T12:00:00Z",
    "+2018-04-01T12:00:00Z",
    "12018-04-01T12:00:00Z",
    "２０１８-04-01T12:00:00Z",
    "1522584000",
    "now",
)
EDGE_ISO = (
    "2000-01-01T00:00:00Z",
    "1999-12-31T23:59:59.999999Z",
    "1999-12-31T23:59:59.999999-00:01",
    "2000-01-01T00:00:00+00:01",
    "2018-07-01T23:59:59.999999999Z",
    "2018-07-02T00:00:00Z",
    "2018-07-02T01:00:00+01:00",
    "2018-07-02T00:59:59.999999+01:00",
    "2016-02-29T00:00:00Z",
    "1900-02-28T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "1969-12-31T23:59:59.5Z",
    " 2018-04-01T12:30:00Z\t",
)

# Seconds from which the times of clicks are counted: a month's border, noon, two years' ends.
_UNIX_BASES = (1_525_132_800, 1_522_584_000, 1_514_764_800, 1_483_228_799)
_UNIX_OFFSETS = (
    "0",
    "-1800",
    "-1799.999999",
    "-0.000001",
    "0.000001",
    "1",
    "59.999999",
    "60",
    "1800",
    "1800.000001",
    "3600",
    "3600.000002",
)
BAD_UNIX = (
    "",
    "x",
    "1522584000.",
    ".5",
    "1.5e9",
    "1e9",
    "0x5AC0C840",
    "1_522_584_000",
    "1,522,584,000",
    "--1",
    "+-1",
    "+",
    "- 1",
    "1522584000Z",
    "nan",
    "inf",
    "١٥٢٢٥٨٤٠٠٠",
    "2018-04-01T12:00:00Z",
)
EDGE_UNIX = (
    "946684800",
    "946684799.999999",
    "946684799.9999999",
    "1530489599.9999999",
    "1530489600",
    "1530489600.0",
    "+1522584000",
    "0001522584000",
    "1522584000.1234567891234",
    "-1522584000",
    "0",
    "-0",
    "-0.5",
    "1522584000000",
    "9223372036854775807",
    "9223372036854775808",
    "9" * 30,
    "9" * 5000,
    "0" * 5000 + "1522584000",
    "1522584000." + "0" * 5000,
    "1e400",
)

_USER_IDS = ("1", "2", "3", "2280")
EDGE_IDS = (
    "0",
    "-0",
    "+1",
    "007",
    "-5",
    " 1 ",
    "9223372036854775807",
    "-9223372036854775808",
    "+0009223372036854775807",
    "0" * 5000 + "2",
)
BAD_IDS = (
    "",
    "2280.0",
    "1e3",
    "true",
    "null",
    "9223372036854775808",
    "-9223372036854775809",
    "9" * 30,
    "9" * 5000,
    "١",
    "１",
    "0x1",
    "1_000",
    "1 000",
    "+",
    "--1",
    "1\u00a0",
    "²",
)
# As JSON: integers, and what is none.
JSON_IDS = (
    "1",
    "2",
    "-0",
    "0",
    "-5",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "9" * 30,
    "9" * 5000,
    "2280.0",
    "1e3",
    "1E400",
    "0.0",
    "true",
    "false",
    "null",
    "[]",
    "[1]",
    "{}",
)

_EMAILS = ("ann@example.com", "bob@example.org", "zoë@example.com", "ANN@example.com")
EDGE_EMAILS = (
    "a@b",
    " ann@example.com\t",
    "a\u00a0b@c",
    '"q"@x',
    "a\0@b",
    "\u200b@\u200b",
    "a,b@c",
)
BAD_EMAILS = ("", " ", "a", "@", "a@", "@b", "a@@b", "a@b@c", "a b@c", "a\tb@c", "a@b c", "a＠b")

_NAMES = ("Ann", "Zoë", "", "李小龙")
EDGE_NAMES = (
    "null",
    'O\'Neil, "Bob"',
    '"',
    '""',
    "\u00a0",
    "e\u0301 é",
    "\U0001f600",
    "\ufffd",
    "\ufeff",
    "\uffff",
    "a\0b",
    "a\rb",
    "a\x0bb\x0c\x1c\x85\u2028",
    "x" * 300,
    "\\N",
    "\\",
    "a\tb",
    "line\nbreak",
    "line\r\nbreak",
    "\n",
    "=1+1",
)
_ENVIRONMENTS = ("production",) * 6 + ("staging",)
EDGE_ENVIRONMENTS = (" production\t", "Production", "production\u00a0", "test", "", " ", "prod\0")

_HOSTS = (
    "",
    "http://shop.example.com",
    "https://User:p@ss@Shop.Example.COM:8443",
    "http://[2001:DB8::1]:80",
    "http://[::1",
    "http://]x",
    "//cdn.example.com",
    "http://:80",
    "http://user@",
    "http://@h",
    "http://",
    "http:",
    "://x",
    "1a://x",
    "http://BÜCHER.example",
    "http://ΟΔΟΣ.example",
    "http://ΟΔΟΣ",
    "http://İ.example",
    "http://ẞ",
    "http://a:b:c",
    "http://a%2Fb",
    "mailto:a@b",
    "HTTP://EXAMPLE.COM\\@evil",
    "http://a b",
)
_PATHS = ("", "/", "/products/1", "/products/1/", "/Ünïcode", "/%2e/../x", ";p", "//x", "a:b", "*")
_QUERIES = (
    "",
    "?",
    "?utm_source=news&utm_medium=email&utm_campaign=spring",
    "?utm_campaign=spring+sale%21&utm_source=",
    "?utm_source=&utm_source=%20+%09&utm_source=second&utm_source=third",
    "?utm_source",
    "?utm_source&utm_source==",
    "?UTM_SOURCE=x&utm%5Fsource=x&xutm_source=x&utm_source =x",
    "?utm_source=%C3%A9t%c3%a9",
    "?utm_source=%ff%E2%82|%F0%9F%98%80|%ED%A0%80|%C0%AF",
    "?utm_source=%zz%4%&utm_medium=%",
    "?utm_source=%2B+%26+%3D&utm_medium=a=b",
    "?utm_source=a;utm_source=b",
    "?utm_source=a?b/c:d@e",
    "?utm_source=%00",
    "?utm_source=%0A",
    "?utm_source=%u00e9",
    "?utm_source=\u00e9%C3",
    "?&&=&=x&utm_medium=cpc&",
    "?utm_source=%C2%A0",
    "?utm_source=%25%34%31",
    "?utm_medium=%e3%80%80x",
)
_FRAGMENTS = (
    "",
    "",
    "",
    "#",
    "#top",
    "#?utm_source=no",
    "#/a&utm_medium=no",
    "#a#b?utm_campaign=x",
)
_URL_TOKENS = (
    *("http", ":", "//", "/", "?", "#", "&", "=", "@", "[", "]", "%41", "%zz", "%", "+", "É", " "),
    *("utm_source=", "utm_source", "utm_medium=", "a", "B", ".", "\\", '"', ",", "\x7f", "%F0%9F"),
)

_VISITORS = ("v1", "v2", "v2", "v3")
EDGE_VISITORS = (
    " v1 ",
    "V1",
    "",
    "\t",
    "é",
    "e\u0301",
    "\0",
    "v1\u00a0",
    '"v1"',
    "v,1",
    "0",
    "null",
)
_BROWSERS = ("Chrome 65", "Firefox", "", "Safari")
EDGE_BROWSERS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "GOOGLEBOT",
    "HeadlessChrome/65.0",
    "python-requests/2.18.4",
    "curl/7.58.0",
    "Chrome on CUBOT NOTE S",
    "Cubot",
    "Yandex Browser",
    "DuckDuckGo",
    "goog lebot",
    "googleboİt",
    "İgooglebot",
    "CRAWLER",
    "ſpider",
    "SPİDER",
    "Chrome\0",
)
_SYSTEMS = ("Linux", "Windows", "", "Android 8")
EDGE_SYSTEMS = ("Baiduspider", "compatible; BingBot", "robot", "Cubot King Kong", "iOS, 11")
_SCREENS = ("1920x1080", "1366x768", "", "375X667")
EDGE_SCREENS = (
    " 800 x\t600 ",
    "0x0",
    "007x08",
    "2147483647x1",
    "2147483648x1",
    "1x99999999999999999999",
    "0" * 50 + "1x1",
    "-1x1",
    "1x",
    "x1",
    "1x1x1",
    "1×1",
    "٣x٣",
    "1.5x2",
    "1x1px",
    "1\u00a0x1",
    "1\rx1",
)

_EDGE_COLUMNS = {
    "user_updates": (
        BAD_ISO + EDGE_ISO,
        BAD_IDS + EDGE_IDS,
        BAD_EMAILS + EDGE_EMAILS,
        EDGE_NAMES,
        EDGE_ENVIRONMENTS,
    ),
    "clickstream": (
        EDGE_VISITORS,
        ("", " ", "\t", "line\nbreak", "a,b", '"', "\u00a0"),
        BAD_UNIX + EDGE_UNIX,
        EDGE_BROWSERS,
        EDGE_SYSTEMS,
        EDGE_SCREENS,
    ),
    # ts, url, environment, user_id, each as JSON writes it.
    "page_views": (
        (*map(json.dumps, BAD_ISO + EDGE_ISO), "1522584000", "null", "[]", "1.5"),
        (*map(json.dumps, ("", " \t", "\0", "a\nb", " /a ")), "null", "7", '{"a":1}'),
        (*map(json.dumps, EDGE_ENVIRONMENTS), "null", "1", "true", '["production"]'),
        (*map(json.dumps, BAD_IDS + EDGE_IDS), *JSON_IDS),
    ),
}


def _iso(rng: Random) -> str:
    separator = rng.choice("T ")
    return f"{rng.choice(_DAYS)}{separator}{rng.choice(_CLOCKS)}{rng.choice(_ZONES)}"


def _unix(rng: Random) -> str:
    base, offset = rng.choice(_UNIX_BASES), rng.choice(_UNIX_OFFSETS)
    whole, _, fraction = offset.partition(".")
    micros = base * 10**6 + int(whole) * 10**6
    micros += int(fraction or 0) * (-1 if whole.startswith("-") else 1)
    seconds, fraction = divmod(micros, 10**6)
    return f"{seconds}.{fraction:06d}" if fraction else str(seconds)


def _url(rng: Random) -> str:
    kind = rng.randrange(8)
    if kind == 0:
        return "".join(rng.choice(_URL_TOKENS) for _ in range(rng.randrange(12)))
    if kind < 5:
        return f"/products/{rng.randrange(4)}"
    parts = (_HOSTS, _PATHS, _QUERIES, _FRAGMENTS)
    return "".join(rng.choice(part) for part in parts)


def _user_update(rng: Random) -> tuple[str, ...]:
    return (
        _iso(rng),
        rng.choice(_USER_IDS),
        rng.choice(_EMAILS),
        rng.choice(_NAMES),
        rng.choice(_ENVIRONMENTS),
    )


def _page_view(rng: Random) -> tuple[str, ...]:
    values = (_iso(rng), _url(rng), rng.choice(_ENVIRONMENTS))
    user_id = rng.choice(_USER_IDS)
    as_json = [_json_text(rng, value) for value in values]
    return (*as_json, user_id if rng.randrange(2) else json.dumps(user_id))


def _click(rng: Random) -> tuple[str, ...]:
    return (
        rng.choice(_VISITORS),
        _url(rng),
        _unix(rng),
        rng.choice(_BROWSERS),
        rng.choice(_SYSTEMS),
        rng.choice(_SCREENS),
    )


_GOOD: dict[str, Callable[[Random], tuple[str, ...]]] = {
    "user_updates": _user_update,
    "page_views": _page_view,
    "clickstream": _click,
}


def _json_text(rng: Random, text: str) -> str:
    """`text` as a JSON string, one of its spellings."""
    spelling = rng.randrange(4)
    if spelling == 0:
        return json.dumps(text)
    if spelling == 1 and text:
        escaped = "".join(f"\\u{unit:04x}" for unit in _utf16(text[0]))
        return f'"{escaped}{json.dumps(text[1:], ensure_ascii=False)[1:]}'
    plain = json.dumps(text, ensure_ascii=False)
    return plain.replace("/", "\\/") if spelling == 2 else plain


def _utf16(char: str) -> Sequence[int]:
    data = char.encode("utf-16-be")
    return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]


# ------------------------------------------------------------------ broken and odd records

_VIEW = '{"ts": "2018-04-01T12:00:00Z", "url": "/a", "environment": "production", "user_id": 1}'


def _view_with(member: str) -> str:
    return "{" + member + ", " + _VIEW[1:]


_BROKEN_JSON = (
    "{",
    "}",
    "{}",
    "{}{}",
    "[]",
    "null",
    '"text"',
    "1",
    "-",
    "NaN",
    "\r",
    "\x0b",
    "\xa0" + _VIEW,
    "\ufeff" + _VIEW,
    " \t\r" + _VIEW + "\r ",
    "[" + _VIEW + "]",
    _VIEW + _VIEW,
    _VIEW + " " + _VIEW,
    _VIEW + ",",
    _VIEW + "\0",
    _VIEW + "// comment",
    "/* comment */" + _VIEW,
    _VIEW[:-1],
    _VIEW[:-1] + ",}",
    _VIEW.replace('"', "'"),
    _VIEW.replace("/a", "a\tb"),
    _VIEW.replace("/a", "a\0b"),
    _VIEW.replace("/a", "a\x7fb\u2028"),
    _VIEW.replace("/a", "a\\qb"),
    _VIEW.replace("/a", "a\\u12"),
    _VIEW.replace("/a", "a\\u+123"),
    _VIEW.replace("/a", "\\u0000"),
    _VIEW.replace("/a", "\\uD83D\\uDE00"),
    _VIEW.replace("/a", "\\ud83d\\u0041"),
    _VIEW.replace("/a", "\\ud83d"),
    _VIEW.replace("/a", "\\ude00\\ud83d"),
    _VIEW.replace("/a", "\\ud83d\\ud83d\\ude00"),
    _VIEW.replace("/a", "\\\\ud800"),
    _VIEW.replace("/a", "\ud800"),
    _VIEW.replace(": 1}", ": 01}"),
    _VIEW.replace(": 1}", ": +1}"),
    _VIEW.replace(": 1}", ": 1.}"),
    _VIEW.replace(": 1}", ": .5}"),
    _VIEW.replace(": 1}", ": 0x1}"),
    _VIEW.replace(": 1}", ": NaN}"),
    _VIEW.replace(": 1}", ": Infinity}"),
    _VIEW.replace(": 1}", ": True}"),
    _VIEW.replace(": 1}", ": \uff11}"),
    _VIEW.replace("user_id", "USER_ID"),
    _VIEW.replace("user_id", "us\\u0065r_id"),
    _VIEW.replace("user_id", "user_id "),
    _VIEW[:-1] + ', "user_id": "x"}',
    _VIEW[:-1] + ', "url": null}',
    _VIEW[:-1] + ', "environment": "staging"}',
    _VIEW[:-1] + ', "us\\u0065r_id": 2}',
    _view_with('"user_id": {"a": NaN}'),
    _view_with('"x": NaN'),
    _view_with('"x": -Infinity'),
    _view_with('"x": 1e400'),
    _view_with('"x": -0.0e-5'),
    _view_with('"x": ' + "9" * 5000),
    _view_with('"x": "\\ud800"'),
    _view_with('"x": "\\ud800", "x": 1'),
    _view_with('"\\udc00": 1'),
    _view_with('"x": {"y": ["\\udfff"]}'),
    _view_with('"": "", "\\u0000": "\\"\\\\\\/\\b\\f\\n\\r\\t"'),
    _view_with('"x": {"ts": 1, "user_id": [], "environment": "staging"}'),
    _view_with('"x": ' + "[" * 511 + "]" * 511),
    _view_with('"x": ' + "[" * 512 + "]" * 512),
    _view_with('"x": ' + '{"x":' * 511 + "1" + "}" * 511),
    _view_with('"x": ' + '{"x":' * 512 + "1" + "}" * 512),
    _view_with('"x": ' + "[" * 100_000),
    _view_with('"x": "' + "[{" * 600 + '\\"]"'),
    "[" * 513 + "]" * 513,
    "[" * 512 + "]" * 512,
)

BROKEN: dict[str, tuple[bytes, ...]] = {
    "user_updates": (
        b"\xff",
        b"2018-04-01 12:00:00,1,a@b,\xc3,production",
        b"2018-04-01 12:00:00,1,a@b,\xed\xa0\x80,production",
        b"2018-04-01 12:00:00,1,a@b,\xc0\xaf,staging",
        b'2018-04-01 12:00:00,1,a@b,\xf4\x90\x80\x80,"production',
        b'2018-04-01 12:00:00,1,a@b,"Ann,production',
        b'"2018-04-01 12:00:00","1","a@b","Ann","production',
        b'2018-04-01 12:00:00,1,a@b,Ann,"production""',
        b'"',
        b",",
        b",,,,",
        b",,,,,",
        b"2018-04-01 12:00:00,1,a@b,Ann",
        b"2018-04-01 12:00:00,1,a@b,Ann,production,",
        b"2018-04-01 12:00:00;1;a@b;Ann;production",
        b"2018-04-01 12:00:00,1,a@b,Ann,production\r",
        b'2018-04-01 12:00:00,1,a@b,"Ann"\r,production',
        b'2018-04-01 12:00:00,1,a@b, "A,nn",production',
        b'2018-04-01 12:00:00,1,"a"@b,"A"n"n",production',
        b'"2018-04-01 12:00:00"Z,"1"2,a@b,""x,"production" ',
        b"\xef\xbb\xbf2018-04-01 12:00:00,1,a@b,Ann,production",
        b"\xe2\x80\xa8",
        b"\x0b",
        b"\0",
        b"# comment",
        b"updated_at,user_id,email,name,environment",
    ),
    "clickstream": (
        b"\xfe\xff",
        b"v1,/a,1522584000,\xe9,Linux,1x1",
        b'v1,/a,1522584000,"Chrome,Linux,1x1',
        b'v1,"/a""',
        b"v1",
        b"v1,/a,1522584000,Chrome,Linux",
        b"v1,/a,1522584000,Chrome,Linux,1x1,extra,extra,extra",
        b"\r\r",
        b"anonymous_user_id,url,time,browser,os,screen_resolution",
        b",,,,,",
    ),
    "page_views": (
        *(text.encode("utf-8", "surrogatepass") for text in _BROKEN_JSON),
        b'{"ts": "\xff"}',
        b"\xe9",
        b'\xed\xa0\x80{"',
        _VIEW.encode("utf-16"),
    ),
}


def _long(source: str, extra: int) -> bytes:
    """A record of `extra` bytes more than the limit."""
    if source == "page_views":
        head, tail = _VIEW[:-1].encode() + b', "x": "', b'"}'
    elif source == "user_updates":
        head, tail = b"2018-04-01 12:00:00,1,a@b,", b",production"
    else:
        head, tail = b"v1,/a?", b",1522584000,Chrome,Linux,1x1"
    fill = LIMIT + extra - len(head) - len(tail)
    return head + "é".encode() * (fill // 2) + b"x" * (fill % 2) + tail


# ------------------------------------------------------------------ records to files


def _record(rng: Random, source: str) -> Record:
    kind = rng.randrange(8)
    if kind == 0:
        return rng.choice(BROKEN[source])
    values = list(_GOOD[source](rng))
    for _ in range((0, 0, 0, 0, 1, 1, 2)[kind - 1]):
        column = rng.randrange(len(values))
        values[column] = rng.choice(_EDGE_COLUMNS[source][column])
    return tuple(values)


def _csv_field(rng: Random, value: str) -> bytes:
    style = rng.randrange(6)
    quoted = '"' + value.replace('"', '""') + '"'
    if style == 0 and len(value) > 1 and not set(value[1:]) & set(',"\n'):
        quoted = '"' + value[0].replace('"', '""') + '"' + value[1:]
    elif style > 2 and not set(value) & set(',"\n'):
        quoted = (" " if style == 3 else "") + value
    elif style == 2:
        quoted += "\t"
    return quoted.encode("utf-8")


_JUNK_MEMBERS = ('"x": [1, {"y": null}]', '"ts ": 1', '"user_id": "first"', '"": 1e5')


def _line(rng: Random, source: str, record: Record, header: Sequence[str]) -> bytes:
    if isinstance(record, bytes):
        return record
    if source == "page_views":
        names = ("ts", "url", "environment", "user_id")
        members = [f'"{name}": {value}' for name, value in zip(names, record, strict=True)]
        if rng.randrange(4) == 0:
            rng.shuffle(members)
            members.insert(0, rng.choice(_JUNK_MEMBERS))
            return ("{ " + " ,\t".join(members) + "\r}").encode("utf-8", "surrogatepass")
        return ("{" + ", ".join(members) + "}").encode("utf-8", "surrogatepass")
    if source == "clickstream":
        named = dict(zip(_COLUMNS, record, strict=True))
        record = tuple(named.get(name, "ignored") for name in header)
    return b",".join(_csv_field(rng, value) for value in record)


_COLUMNS = ("anonymous_user_id", "url", "time", "browser", "os", "screen_resolution")
REFUSED_HEADERS = (
    b"anonymous_user_id,url,time,browser,os",
    b"anonymous_user_id,url,time,browser,os,screen_resolution,URL",
    b"v1,/a,1522584000,Chrome,Linux,1x1",
    b'anonymous_user_id,url,time,browser,os,"screen_resolution',
    b"anonymous_user_id,url,time,browser,os,screen_resolution,\xff",
    b"anonymous_user_id,url,time,browser,os,screen_resolution," + b"x" * LIMIT,
    b",,,",
)


def _header(rng: Random) -> tuple[list[str], bytes]:
    """The columns of a Clickstream file, and the line that says so."""
    names = list(_COLUMNS)
    if rng.randrange(3) == 0:
        rng.shuffle(names)
    if rng.randrange(3) == 0:
        for extra in ("extra", "", "extra")[: 1 + rng.randrange(3)]:
            names.insert(rng.randrange(len(names) + 1), extra)
    style = rng.randrange(3)
    shown = [name.upper() if style == 1 else name for name in names]
    return names, b",".join(
        _csv_field(rng, name) if style else name.encode("utf-8") for name in shown
    )


_BLANK_LINES = (b"", b" ", b"\t  ", b" \t")


def _file(rng: Random, source: str, records: Sequence[Record], refused: bool) -> bytes:
    """The text of a file: lines, their ends, blank ones between them, a BOM or none."""
    header: list[str] = []
    lines: list[bytes] = []
    if source == "clickstream":
        header, first = _header(rng)
        lines = [rng.choice(REFUSED_HEADERS) if refused else first]
    lines += [_line(rng, source, record, header) for record in records]
    if rng.randrange(2):
        for _ in range(rng.randrange(3)):
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(_BLANK_LINES))
    ends = ((b"\n",), (b"\r\n",), (b"\n", b"\r\n", b"\n\n"))[rng.randrange(3)]
    text = b"".join(line + rng.choice(ends) for line in lines)
    if rng.randrange(3) == 0:
        text = text.removesuffix(b"\n")
    return (b"\xef\xbb\xbf" if rng.randrange(4) == 0 else b"") + text


def _two_members(compress: Callable[[bytes], bytes], data: bytes) -> bytes:
    half = len(data) // 2
    return compress(data[:half]) + compress(data[half:])


_CODECS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": lambda data: gzip.compress(data, 1, mtime=0),
    ".bz2": lambda data: bz2.compress(data, 1),
    ".zst": lambda data: zstandard.compress(data, 1),
}
_STEMS = (
    "part-0",
    "part-1.csv",
    "2018/04/01/a.json",
    "year=2018/b",
    "a b+%20c",
    "día.log",
    "x.gz.bak",
)
_NO_DATA = {
    "_SUCCESS": b"not read",
    ".part-0.crc": b"not read",
    "_temporary/0/part-0": b"not read",
    "2018/.hidden/x": b"not read",
    "empty": b"",
    "empty.gz": b"",
    "nothing.gz": gzip.compress(b"", mtime=0),
    "nothing.zst": zstandard.compress(b""),
    "blank": b"\n \n\r\n\t",
    "bom": b"\xef\xbb\xbf",
}


def _source(
    rng: Random, source: str, most_files: int, most_rows: int, refused: bool
) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    pool: list[Record] = []
    for number in range(rng.randrange(most_files + 1)):
        records: list[Record] = []
        for _ in range(rng.randrange(most_rows + 1)):
            repeat = pool and rng.randrange(5) == 0
            records.append(rng.choice(pool) if repeat else _record(rng, source))
            pool.append(records[-1])
        if rng.randrange(30) == 0:
            records.append(_long(source, rng.choice((-1, 0, 1, 2))))
        text = _file(rng, source, records, refused and rng.randrange(4) == 0)
        _add(rng, files, f"{number}/{rng.choice(_STEMS)}", text)
    if rng.randrange(4) == 0:
        name = rng.choice(list(_NO_DATA))
        files[name] = _NO_DATA[name]
    return files


def _add(rng: Random, files: dict[str, bytes], stem: str, text: bytes) -> None:
    ending = rng.choice(list(_CODECS))
    compress = _CODECS[ending]
    two = ending and rng.randrange(3) == 0
    files[stem + ending] = _two_members(compress, text) if two else compress(text)


def _make(rng: Random, most_files: int, most_rows: int, refused: bool) -> Files:
    sources = [source for source in FOLDERS if rng.randrange(8)] or ["clickstream"]
    return {source: _source(rng, source, most_files, most_rows, refused) for source in sources}


# ------------------------------------------------------------------ for the tests


def inputs(
    most_files: int = 3, most_rows: int = 10, refused: bool = False
) -> st.SearchStrategy[Files]:
    """Small random inputs. `refused`: some Clickstream files have a header that refuses them."""
    return st.randoms(use_true_random=False).map(
        lambda rng: _make(rng, most_files, most_rows, refused)
    )


def build(seed: int, refused: bool = False) -> Files:
    """One larger input, the same for the same seed, with every odd value and reason in it.

    Each odd value stands in a row that is good but for it, so that it decides the row's fate.
    Some visitors have 60, others 61 events in a minute.
    """
    rng = Random(seed)
    files: Files = {}
    for source in FOLDERS:
        records: list[Record] = list(BROKEN[source])
        for column, values in enumerate(_EDGE_COLUMNS[source]):
            for value in values:
                row = _production(source, _GOOD[source](rng))
                records.append((*row[:column], value, *row[column + 1 :]))
        records += [_record(rng, source) for _ in range(100)]
        records += [_long(source, extra) for extra in (0, 1)]
        if source == "clickstream":
            records += [_good_click(url=url) for url in _all_urls()]
            records += [row for events in (60, 61) for row in _burst(events)]
            records += _walks(Random(seed))
        records += rng.sample(records, len(records) // 10)
        rng.shuffle(records)
        files[source] = dict(_NO_DATA)
        for number, stem in enumerate(_STEMS):
            text = _file(rng, source, records[number :: len(_STEMS)], False)
            _add(rng, files[source], f"{number}/{stem}", text)
    if refused:
        for number, header in enumerate(REFUSED_HEADERS):
            files["clickstream"][f"refused/{number}"] = header + b"\nv1,/a,1522584000,,,\n"
    return files


def _production(source: str, row: tuple[str, ...]) -> tuple[str, ...]:
    if source == "user_updates":
        return (*row[:4], "production")
    if source == "page_views":
        return (*row[:2], '"production"', row[3])
    return row


def _good_click(**changes: str) -> tuple[str, ...]:
    good = dict(zip(_COLUMNS, ("v4", "/a", "1522584000", "Chrome", "Linux", ""), strict=True))
    return tuple({**good, **changes}.values())


def _all_urls() -> list[str]:
    urls = [host + path for host in _HOSTS for path in _PATHS]
    return urls + [f"/q{query}{part}" for query in _QUERIES for part in sorted(set(_FRAGMENTS))]


def _burst(events: int) -> list[tuple[str, ...]]:
    """`events` of one visitor in the minute from 12:00, and one just before and after it."""
    visitor = f"burst{events}"
    last = "1522584059.999999"
    times = [f"152258400{n / 10:.1f}" for n in range(events - 1)]
    return [
        _good_click(anonymous_user_id=visitor, time=time)
        for time in ("1522583999.999999", *times, last, "1522584060")
    ]


def _walks(rng: Random) -> list[tuple[str, ...]]:
    """Visitors who go from one of few pages to another, over the end of a month."""
    urls = ("https://s.example", "//S.Example/?q", "/a", "/a?b#c", "/é", "http://u@s.example:8/a")
    may = 1525132800
    return [
        _good_click(
            anonymous_user_id=f"walker{rng.randrange(5)}",
            url=rng.choice(urls),
            time=str(may + 600 * rng.randrange(-30, 30)),
            browser=rng.choice(("Chrome", "Chrome", "Chrome", "Bingbot")),
        )
        for _ in range(150)
    ]


def write(
    files: Mapping[str, Mapping[str, bytes]],
    root: str | Path,
    folders: Mapping[str, str] = FOLDERS,
) -> Path:
    """Write the files below `root`, in each source's folder; an empty source is an empty folder.

    They were written an hour ago: no last line is taken for one that is being written.
    """
    hour_ago = time.time_ns() - 3600 * 10**9
    for source, contents in files.items():
        folder = Path(root, folders[source])
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in contents.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            os.utime(path, ns=(hour_ago, hour_ago))
    return Path(root)
