"""The oracle against cases worked out by hand: whoever checks the job must be right first."""

from __future__ import annotations

import bz2
import gzip
import json
from datetime import date

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import hostile
import oracle

AS_OF = date(2018, 6, 30)
NOON = 1_522_584_000  # 2018-04-01 12:00:00
HEADER = "anonymous_user_id,url,time,browser,os,screen_resolution\n"


def run(**files) -> oracle.Result:
    """`run(page_views="…")`: one file of text or bytes a source, or {path: text or bytes}."""
    options = {name: files.pop(name) for name in list(files) if name not in oracle.SOURCES}
    return oracle.compute(
        {
            source: {
                path: data.encode() if isinstance(data, str) else data
                for path, data in (given if isinstance(given, dict) else {"f": given}).items()
            }
            for source, given in files.items()
        },
        AS_OF,
        **options,
    )


def clicks(*rows: str, **options) -> oracle.Result:
    return run(clickstream=HEADER + "\n".join(rows), **options)


def click(*, who="v", url="/", at=NOON, browser="Chrome", os="Linux", screen="1x1") -> str:
    return f"{who},{url},{at},{browser},{os},{screen}"


def view(**changes) -> str:
    row = {"ts": "2018-04-01T12:00:00Z", "url": "/a", "environment": "production", "user_id": 1}
    return json.dumps({**row, **changes}, ensure_ascii=False)


def update(
    at="2018-04-01 12:00:00", user="1", email="a@b", name="Ann", environment="production"
) -> str:
    return f"{at},{user},{email},{name},{environment}"


def reasons(result: oracle.Result, source: str) -> list[str]:
    """The reason of each quarantined row, in the order of the lines."""
    return [reason for origin, _, _, reason, _ in result.quarantine if origin == source]


def fate(line: str | bytes, source: str) -> str:
    """The fate of a single row, with its reason where it has one."""
    data = line if isinstance(line, bytes) else line.encode()
    result = run(**{source: HEADER.encode() + data if source == "clickstream" else data})
    (fate,) = [f for f, n in result.books[source].items() if n and f != "read"] or ["none"]
    return reasons(result, source)[0] if fate == "quarantined" else fate


# ------------------------------------------------------------------ files


def test_every_format_of_file_is_read():
    line = [f"{view(user_id=n)}\n".encode() for n in range(6)]
    result = run(
        page_views={
            "a.json": b"\xef\xbb\xbf" + line[0],
            "b.gz": gzip.compress(line[1]) + gzip.compress(line[2]),
            "c/d.bz2": bz2.compress(line[3]),
            "e.zst": zstandard.compress(line[4]) + zstandard.compress(line[5]),
            "empty": b"",
            "nothing.gz": gzip.compress(b""),
            "_SUCCESS": b"not read",
            ".hidden/f": b"not read",
            "g/_temporary/h": b"not read",
        }
    )
    assert [row[1] for row in result.tables["page_views"]] == [0, 1, 2, 3, 4, 5]
    assert result.books["page_views"]["read"] == 6
    assert result.refused == []


def test_a_broken_archive_is_refused_by_name():
    ((source, file, why),) = run(page_views={"a.gz": b"no gzip"}).refused
    assert (source, file) == ("page_views", "a.gz")
    assert "decompressed" in why


def test_lines_end_with_lf_or_crlf_and_blank_ones_are_not_counted():
    result = run(page_views=f"\n{view(url='/1')}\r\n \t \r\n{view(url='/2')}\n\n{view(url='/3')}")
    assert result.books["page_views"]["read"] == 3
    assert result.books["page_views"]["kept"] == 3


def test_any_other_carriage_return_is_content():
    result = run(user_updates=b"a,b\r,c\r\r\nd\r")
    assert [(line, raw) for _, _, line, _, raw in result.quarantine] == [
        (1, "a,b\r,c\r"),
        (2, "d\r"),
    ]


def test_the_quarantine_tells_file_line_reason_and_raw():
    result = clicks("", click(url=""), "caf\xe9,1")
    assert result.quarantine == [
        ("clickstream", "f", 3, "missing_url", f"v,,{NOON},Chrome,Linux,1x1"),
        ("clickstream", "f", 4, "wrong_field_count", "caf\xe9,1"),
    ]
    result = run(user_updates=b"\xef\xbb\xbf\xff\xe2\x82,\xc3\xa9\r\n")
    assert result.quarantine == [("user_updates", "f", 1, "invalid_utf8", "\\xff\\xe2\\x82,\xe9")]


def test_a_record_longer_than_a_mebibyte_is_cut_off():
    limit = 1 << 20
    good = update(name="x" * (limit - len(update(name=""))))
    result = run(user_updates=f"{good}\r\n{good}é\n{update()}")
    assert len(good) == limit
    assert result.books["user_updates"]["kept"] == 2
    assert result.quarantine == [("user_updates", "f", 2, "record_too_long", good)]


# ------------------------------------------------------------------ CSV


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("a,,b", ["a", "", "b"]),
        ('"a,b",c', ["a,b", "c"]),
        ('"a""b"', ['a"b']),
        ('"a"b"c",d', ['ab"c"', "d"]),
        ('a"b,"c"', ['a"b', "c"]),
        (' "a,b"', [' "a', 'b"']),
        ('""', [""]),
        ('"""",', ['"', ""]),
    ],
)
def test_fields_of_a_csv_record(text, fields):
    assert oracle._fields(text) == fields


@pytest.mark.parametrize("text", ['"', 'a,"b', '"a""', '"a","'])
def test_a_quote_that_stays_open(text):
    assert fate(text, "user_updates") == "unclosed_quote"


def test_columns_of_clickstream_in_any_order_and_case():
    result = run(
        clickstream=' OS ,extra,"URL",Time,BROWSER,\tscreen_resolution,Anonymous_User_Id,extra\n'
        f"Linux,x,/p,{NOON},Chrome,1x2,v,y\n"
    )
    assert result.tables["clickstream"][0][:6] == (
        "v",
        "/p",
        NOON * 1_000_000,
        "Chrome",
        "Linux",
        "1x2",
    )


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("anonymous_user_id,url,time,browser,os", "missing column: screen_resolution"),
        (HEADER.strip() + ",URL ", "doubled column: url"),
        (HEADER.strip() + ',"', "unreadable header: unclosed_quote"),
        (b"\xff," + HEADER.encode(), "unreadable header: invalid_utf8"),
    ],
)
def test_a_wrong_header_refuses_the_file(header, why):
    data = header if isinstance(header, bytes) else header.encode()
    result = run(clickstream={"bad": data + b"\n" + click().encode(), "good": HEADER + click()})
    assert result.refused == [("clickstream", "bad", why)]
    assert result.books["clickstream"]["read"] == 1


def test_a_header_after_blank_lines_and_a_file_of_blank_lines():
    result = run(clickstream={"a": f"\n \r\n{HEADER}{click()}", "b": "\n\t\n"})
    assert result.refused == []
    assert result.books["clickstream"]["kept"] == 1


def test_records_over_several_lines():
    text = '2018-04-01 12:00:00,1,a@b,"a\r\n\n b",production\r\n\n"open\n\nto the end\n'
    result = run(user_updates=text, multiline=True)
    assert result.tables["users"][0][2] == "a\r\n\n b"
    assert result.quarantine == [
        ("user_updates", "f", 5, "unclosed_quote", '"open\n\nto the end'),
    ]
    assert reasons(run(user_updates=text), "user_updates") == [
        "unclosed_quote",
        "wrong_field_count",
        "unclosed_quote",
        "wrong_field_count",
    ]


def test_a_record_over_lines_that_is_too_long_ends_where_it_passed_the_limit():
    half = "x" * (1 << 19)
    result = run(user_updates=f'"{half}\n{half}\n{update()}\n"{half}', multiline=True)
    assert [(line, reason) for _, _, line, reason, _ in result.quarantine] == [
        (1, "record_too_long"),
        (4, "unclosed_quote"),
    ]
    assert result.quarantine[0][4] == f'"{half}\n{half}'[: 1 << 20]
    assert result.books["user_updates"]["kept"] == 1


# ------------------------------------------------------------------ JSON


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (view(), "kept"),
        (view().replace("ts", "\\u0074s"), "kept"),
        (view(extra={"a": [1e300, -0.0, None, True]}), "kept"),
        (view().replace("{", '{"n": 1e400, "i": ' + "9" * 5000 + ", "), "kept"),
        (view().replace("{", '{"user_id": "x", '), "kept"),
        (view().replace("}", ', "environment": "test"}'), "filtered"),
        (view(extra="\U0001f600"), "kept"),
        (view().replace("/a", "\\ud83d\\ude00"), "kept"),
        (view().replace("/a", "\\ud83d"), "malformed_json"),
        (view().replace("{", '{"\\udc00": 1, '), "malformed_json"),
        (view().replace("{", '{"x": "\\udc00", "x": [["\\ud800"]], '), "malformed_json"),
        (view().replace("{", '{"x": "\\udc00", "x": 1, '), "malformed_json"),
        (view().replace("{", '{"x": NaN, '), "malformed_json"),
        (view().replace("{", '{"x": -Infinity, '), "malformed_json"),
        (view().replace("{", '{"x": 01, '), "malformed_json"),
        (view().replace("/a", "a\tb"), "malformed_json"),
        (view().replace('"', "'"), "malformed_json"),
        (view().replace("}", ",}"), "malformed_json"),
        (view() + view(), "malformed_json"),
        (view() + " // note", "malformed_json"),
        ("\r", "malformed_json"),
        ("\v" + view(), "malformed_json"),
        ("\ufeff" + "\ufeff" + view(), "malformed_json"),
        ("\r\t " + view() + " \r", "kept"),
        ("[" + view() + "]", "not_an_object"),
        ("null", "not_an_object"),
        ('"\\ud800"', "malformed_json"),
        (view().replace("{", '{"x": ' + "[" * 511 + "]" * 511 + ", "), "kept"),
        (view().replace("{", '{"x": ' + "[" * 512 + "]" * 512 + ", "), "malformed_json"),
        (view().replace("{", '{"x": "' + "[" * 600 + '", '), "kept"),
        (b"\xff" + view().encode(), "invalid_utf8"),
        (b"{\xed\xa0\x80", "invalid_utf8"),
    ],
)
def test_a_line_of_json(text, expected):
    assert fate(text, "page_views") == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"environment": None}, "missing_environment"),
        ({"environment": 1}, "missing_environment"),
        ({"environment": " \t"}, "missing_environment"),
        ({"environment": " production\t"}, "kept"),
        ({"environment": "\u00a0production"}, "filtered"),
        ({"environment": "Production", "user_id": "x"}, "filtered"),
        ({"user_id": " +0002280 "}, "kept"),
        ({"user_id": -(2**63)}, "kept"),
        ({"user_id": 2**63}, "invalid_user_id"),
        ({"user_id": "9" * 5000}, "invalid_user_id"),
        ({"user_id": "0" * 5000 + "1"}, "kept"),
        ({"user_id": 2280.0}, "invalid_user_id"),
        ({"user_id": True}, "invalid_user_id"),
        ({"user_id": None}, "invalid_user_id"),
        ({"user_id": "1e3"}, "invalid_user_id"),
        ({"user_id": "\u0661"}, "invalid_user_id"),
        ({"user_id": "- 1"}, "invalid_user_id"),
        ({"user_id": "x", "url": None, "ts": None}, "invalid_user_id"),
        ({"url": None, "ts": None}, "missing_url"),
        ({"url": ["/a"]}, "missing_url"),
        ({"url": "\t"}, "missing_url"),
        ({"ts": 1522584000}, "invalid_time"),
        ({"ts": None}, "invalid_time"),
    ],
)
def test_fields_of_a_page_view(changes, expected):
    assert fate(view(**changes), "page_views") == expected


# ------------------------------------------------------------------ times


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2018-04-01T12:00:00Z", 0),
        ("2018-04-01 12:00:00", 0),
        ("2018-04-01T12:00:00.1234567+00:00", 123_456),
        ("2018-04-01T12:00:00.999999999", 999_999),
        ("2018-04-01T14:30:00+0230", 0),
        ("2018-03-31T12:01:00.5-23:59", 500_000),
    ],
)
def test_an_iso_time(text, micros):
    assert oracle._iso_micros(text) == NOON * 1_000_000 + micros


@pytest.mark.parametrize(
    "text",
    [
        "2018-02-29T00:00:00Z",
        "2018-13-01T00:00:00",
        "0000-01-01T00:00:00",
        "2018-04-01T24:00:00",
        "2018-04-01T23:59:60",
        "2018-04-01T12:00:00.",
        "2018-04-01T12:00:00.1234567890",
        "2018-04-01t12:00:00",
        "2018-04-01T12:00:00z",
        "2018-04-01  12:00:00",
        "2018-04-01T12:00:00 Z",
        "2018-04-01T12:00:00+24:00",
        "2018-04-01T12:00:00+00:60",
        "2018-04-01T12:00:00+02",
        "2018-04-01T12:00",
        "2018-4-1T12:00:00",
        "2018-04-01",
        "1522584000",
        "\u0662018-04-01T12:00:00",
    ],
)
def test_no_iso_time(text):
    assert fate(view(ts=text), "page_views") == "invalid_time"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2000-01-01T00:00:00Z", "kept"),
        ("1999-12-31T23:59:59.999999Z", "time_out_of_range"),
        ("2000-01-01T00:00:00+00:01", "time_out_of_range"),
        ("2018-07-01T23:59:59.9999999Z", "kept"),
        ("2018-07-02T00:00:00Z", "time_out_of_range"),
        ("2018-07-02T00:59:59+01:00", "kept"),
        ("0001-01-01T00:00:00+23:59", "time_out_of_range"),
        ("9999-12-31T23:59:59-23:59", "time_out_of_range"),
    ],
)
def test_the_range_of_times(text, expected):
    assert fate(view(ts=text), "page_views") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("946684800", "kept"),
        ("946684799.999999", "time_out_of_range"),
        ("1530489599.9999999", "kept"),
        ("1530489600", "time_out_of_range"),
        ("+1522584000.0", "kept"),
        ("-1522584000", "time_out_of_range"),
        ("0" * 5000 + "1522584000", "kept"),
        ("9" * 5000, "time_out_of_range"),
        ("1522584000000", "time_out_of_range"),
        ("1.5e9", "invalid_time"),
        ("1522584000.", "invalid_time"),
        (".5", "invalid_time"),
        ("2018-04-01T12:00:00", "invalid_time"),
        ("\u0661522584000", "invalid_time"),
        ("", "invalid_time"),
    ],
)
def test_a_unix_time(text, expected):
    assert fate(click(at=text), "clickstream") == expected


def test_a_unix_time_is_cut_toward_zero():
    assert oracle._unix_micros("1522584000.1234569") == NOON * 1_000_000 + 123_456
    assert oracle._unix_micros("-1.0000019") == -1_000_001


# ------------------------------------------------------------------ fates


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (update(), "kept"),
        (update(name=""), "kept"),
        (update(environment=""), "missing_environment"),
        (update(environment="staging", user="", email=""), "filtered"),
        (update(user="", at="", email=""), "invalid_user_id"),
        (update(at="", email=""), "invalid_time"),
        (update(at="1999-01-01 00:00:00", email=""), "time_out_of_range"),
        (update(email=""), "invalid_email"),
        (update(email="a@"), "invalid_email"),
        (update(email="@b"), "invalid_email"),
        (update(email="a@b@c"), "invalid_email"),
        (update(email="a b@c"), "invalid_email"),
        (update(email='" a@b "'), "kept"),
        (update(email="a\u00a0b@c"), "kept"),
        (update() + ",", "wrong_field_count"),
        ("a\r\r", "wrong_field_count"),
    ],
)
def test_the_fate_of_an_update(line, expected):
    assert fate(line, "user_updates") == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (click(), "kept"),
        (click(browser="", os="", screen=""), "kept"),
        (click(who=" ", url="", at=""), "missing_visitor"),
        (click(url='""', at=""), "missing_url"),
        (click(at="x"), "invalid_time"),
        (click(at="1"), "time_out_of_range"),
        (click() + ",", "wrong_field_count"),
        (click(who="\0"), "kept"),
    ],
)
def test_the_fate_of_a_click(line, expected):
    assert fate(line, "clickstream") == expected


def test_a_key_is_compared_after_parsing_and_over_files():
    result = run(
        page_views={
            "a": view(),
            "b": f"{view(ts=' 2018-04-01 14:00:00+0200', user_id='+01', url='/a ')}\n{view()}",
        },
        user_updates=f"{update(name='')}\n{update(name=' ')}\n{update()}",
        clickstream=f"{HEADER}{click(os='')}\n{click(os=' ')}\n{click()}",
    )
    fates = {"filtered": 0, "quarantined": 0}
    assert result.books == {
        "user_updates": {"read": 3, "kept": 2, "duplicate": 1, **fates},
        "page_views": {"read": 3, "kept": 1, "duplicate": 2, **fates},
        "clickstream": {"read": 3, "kept": 2, "duplicate": 1, **fates},
    }


# ------------------------------------------------------------------ tables


def test_users_take_the_greatest_update():
    result = run(
        user_updates="\n".join(
            [
                update(at="2018-04-02 00:00:00", email="b@b", name=""),
                update(at="2018-04-02 00:00:00", email="a@b", name="Zoe"),
                update(at="2018-04-01 00:00:00", email="c@b", name="Zoe"),
                update(user="2", name=""),
                update(user="2", name="A"),
            ]
        ),
        page_views="\n".join(
            [view(), view(ts="2018-05-01T00:00:00"), view(url="/b"), view(user_id=9)]
        ),
    )
    noon, day = NOON * 1_000_000, 86_400_000_000
    assert result.tables["users"] == [
        (1, "b@b", None, noon - day // 2, noon + day // 2),
        (2, "a@b", "A", noon, noon),
    ]
    assert result.tables["user_page_views"] == [
        (1, "b@b", "/a", 2, 1_525_132_800_000_000),
        (1, "b@b", "/b", 1, noon),
        (9, None, "/a", 1, noon),
    ]
    assert result.tables["page_views"][-1] == (1_525_132_800_000_000, 1, "/a", 2018, 5)


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("http://User:p@Example.COM:80/A?x#y", "example.com", "/A"),
        ("https://a@b@c/", "c", "/"),
        ("http://[2001:DB8::1]:80", "[2001:db8::1]", "/"),
        ("http://[::1/x", "[", "/x"),
        ("//cdn.x?q", "cdn.x", "/"),
        ("/products/1", None, "/products/1"),
        ("http:///p", None, "/p"),
        ("http://:80", None, "/"),
        ("mailto:a@b", None, "a@b"),
        ("1:/a", None, "/a"),
        (":x", None, ":x"),
        ("?utm_source=a", None, "/"),
        ("http://МОСКВА.example/é", "москва.example", "/é"),
    ],
)
def test_host_and_path(url, host, path):
    assert oracle._host_and_path(url) == (host, path)


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("/?utm_source=a", "a"),
        ("/?utm_source=&utm_source=%20&utm_source=b", "b"),
        ("/?utm_source&utm_source=b", "b"),
        ("/#?utm_source=a", None),
        ("/?UTM_SOURCE=a&utm%5Fsource=b&xutm_source=c", None),
        ("/?utm_source=a=b?c", "a=b?c"),
        ("/?utm_source=+%2B+", "+"),
        ("/?utm_source=%C3%A9%ff%zz%4", "é\ufffd%zz%4"),
        ("/?utm_source=%E2%82|", "\ufffd|"),
        ("/?utm_source=%09a%00", "a\0"),
        ("/?utm_source=a;utm_source=b", "a;utm_source=b"),
        ("/?utm_source=%26amp", "&amp"),
    ],
)
def test_utm(url, source):
    assert oracle._utm(url, "utm_source") == source


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1920x1080", (1920, 1080)),
        ("0768 X\t1024", (768, 1024)),
        ("2147483647x0", (2147483647, 0)),
        ("2147483648x1", (None, None)),
        ("1x" + "9" * 5000, (None, None)),
        ("-1x1", (None, None)),
        ("1x1px", (None, None)),
        ("1×1", (None, None)),
        ("٣x1", (None, None)),
        (None, (None, None)),
    ],
)
def test_screen(text, size):
    assert oracle._screen(text) == size


@pytest.mark.parametrize(
    ("browser", "os", "is_bot"),
    [
        ("Mozilla/5.0 (compatible; Googlebot/2.1)", "", True),
        ("Chrome", "Baiduspider", True),
        ("HeadlessChrome 65", "Linux", True),
        ("python-requests/2.18", "", True),
        ("Chrome on CUBOT NOTE S", "Android", False),
        ("Yandex Browser", "Windows", False),
        ("DuckDuckGo", "iOS", False),
        ("Samsung Internet", "Android", False),
    ],
)
def test_crawlers_by_name(browser, os, is_bot):
    row = clicks(click(browser=browser, os=os)).tables["clickstream"][0]
    assert (row.is_bot, row.bot_reason) == ((True, "agent") if is_bot else (False, None))


@pytest.mark.parametrize(("events", "reason"), [(60, None), (61, "rate")])
def test_crawlers_by_rate(events, reason):
    rows = [click(at=f"{NOON}.{n:06d}") for n in range(events)]
    later = click(at=NOON + 60)
    result = clicks(*rows, *rows, later)
    early = [row for row in result.tables["clickstream"] if row.time < (NOON + 60) * 10**6]
    assert {row.bot_reason for row in early} == {reason}
    assert result.tables["clickstream"][-1].bot_reason is None
    assert result.tables["sessions"][0].is_bot is bool(reason)


def test_a_gap_longer_than_30_minutes_starts_a_session():
    result = clicks(
        click(url="/in?utm_source=a", at=NOON, browser="A"),
        click(url="/mid?utm_source=b", at=NOON + 1800, browser="B"),
        click(url="/out", at=f"{NOON + 3600}.000001"),
    )
    start, end = NOON * 10**6, (NOON + 1800) * 10**6
    assert result.tables["sessions"][0] == (
        ("v", start),
        "v",
        start,
        end,
        2,
        "/in",
        "/mid",
        "a",
        None,
        None,
        "A",
        "Linux",
        False,
        2018,
        4,
    )
    assert len(result.tables["sessions"]) == 2


def test_events_of_one_time_are_ordered_by_their_other_columns_nulls_first():
    result = clicks(
        click(url="/b"),
        click(url="/a", browser="x"),
        click(url="/a", browser="", os="z"),
        click(url="/a", browser="", os=""),
    )
    (session,) = result.tables["sessions"]
    assert (session.events, session.landing_path, session.exit_path) == (4, "/a", "/b")
    assert (session.browser, session.os) == (None, None)


def test_a_session_belongs_to_the_month_of_its_start():
    may = 1_525_132_800
    result = clicks(click(at=may - 60), click(at=may))
    assert [(row.year, row.month) for row in result.tables["clickstream"]] == [(2018, 4), (2018, 5)]
    assert [(row.year, row.month) for row in result.tables["sessions"]] == [(2018, 4)]
    assert len({row.session_id for row in result.tables["clickstream"]}) == 1


def test_steps_are_counted_by_session_and_month():
    """Two sessions go from / to /b; one of them twice, and in May once more, alone."""
    may = 1_525_132_800
    result = clicks(
        *(click(url=url, at=may - 300 + 60 * n) for n, url in enumerate(("/", "/b", "/", "/b"))),
        click(url="/", at=may),
        click(url="/b", at=may + 60),
        click(who="w", url="/", at=NOON),
        click(who="w", url="/b?x", at=NOON + 60),
        click(who="b", url="/", at=NOON, browser="Googlebot"),
        click(who="b", url="/b", at=NOON + 60, browser="Googlebot"),
    )
    april = 1_522_540_800 * 10**6
    assert result.tables["page_steps"] == [("/", "/b", 2, april, 2018, 4)]
    assert result.tables["page_follows"] == [("/", 1, "/b", 2, 1.0, 1.0)]


def test_folders_are_read_with_the_other_sources_left_out(tmp_path):
    (tmp_path / "UserUpdates" / "2018").mkdir(parents=True)
    (tmp_path / "UserUpdates" / "2018" / "u.csv").write_text("u")
    (tmp_path / "clicks.csv").write_text("c")
    folders = {"user_updates": "UserUpdates", "page_views": "PageViews", "clickstream": "."}
    assert oracle.read_folder(tmp_path, folders) == {
        "user_updates": {"2018/u.csv": b"u"},
        "clickstream": {"clicks.csv": b"c"},
    }


# ------------------------------------------------------------------ the hostile inputs


@pytest.mark.parametrize("seed", range(5))
def test_a_hostile_build_reaches_every_fate_and_reason(seed):
    files = hostile.build(seed)
    result = oracle.compute(files, hostile.AS_OF)
    assert hostile.build(seed) == files
    assert {source: set(found) for source, found in result.reasons.items()} == hostile.REASONS
    for source, books in result.books.items():
        nothing = {fate for fate, rows in books.items() if not rows}
        assert nothing == ({"filtered"} if source == "clickstream" else set())
    assert result.refused == []
    at_noon = [row for row in result.tables["clickstream"] if row.time == NOON * 10**6]
    bots = {row.anonymous_user_id: row.bot_reason for row in at_noon}
    assert (bots["burst60"], bots["burst61"]) == (None, "rate")


@pytest.mark.slow
def test_a_hostile_build_can_hold_files_that_are_refused(tmp_path):
    files = hostile.build(0, refused=True)
    result = oracle.compute(files, hostile.AS_OF)
    assert len(result.refused) == len(hostile.REFUSED_HEADERS)
    assert oracle.read_folder(hostile.write(files, tmp_path)) == files


@settings(max_examples=100, deadline=None)
@given(hostile.inputs(refused=True), st.booleans())
def test_the_books_of_any_input_add_up(files, multiline):
    result = oracle.compute(files, hostile.AS_OF, multiline=multiline)
    for source, books in result.books.items():
        fates = ("kept", "duplicate", "filtered", "quarantined")
        assert books["read"] == sum(books[fate] for fate in fates)
        assert books["quarantined"] == sum(result.reasons[source].values())
        assert books["kept"] == len(result.tables[source])
    assert sum(row.count for row in result.tables["user_page_views"]) == len(
        result.tables["page_views"]
    )
    assert sum(row.events for row in result.tables["sessions"]) == len(result.tables["clickstream"])
