"""The report's pages: what they say, to whom, and that data never becomes markup."""

from __future__ import annotations

import doctest
import re
from datetime import date, timedelta
from typing import Any

import pytest

from clicklake.lake.metrics import RunMetrics
from clicklake.report import charts, index, layout, markup, masks, page
from clicklake.report.facts import Facts, Sample
from clicklake.report.findings import findings
from html_reader import Reader

FATES = ("kept", "duplicate", "filtered", "quarantined")


def books(read: int, quarantined: int = 0, duplicate: int = 0) -> dict[str, int]:
    kept = read - quarantined - duplicate
    return {
        "read": read,
        "kept": kept,
        "duplicate": duplicate,
        "filtered": 0,
        "quarantined": quarantined,
    }


def run(number: int = 1, **changes: Any) -> RunMetrics:
    """The metrics of a run; a test names what it is about."""
    raw = {
        "run_id": f"2018040{number}T000000-aaaaaa",
        "status": "committed",
        "engine": "sail",
        "seconds": 4.25,
        "books": {"clickstream": books(1000, 10)},
        "reasons": {"clickstream": {"invalid_time": 10}},
        "tables": {"clickstream": {"rows": 990, "bytes": 5000, "files": 1}},
        "months": {"clickstream": ["2018-03", "2018-04"]},
        "started_at": f"2018-04-0{number}T00:00:00+00:00",
        "as_of": "2018-04-01",
        "settings": {"session_gap_minutes": 30, "bot_views_per_minute": 60},
        "stages": [{"name": "read clickstream", "seconds": 1.5, "rows": 1000}],
        "vanished": {},
        **changes,
    }
    return RunMetrics.from_json(raw)


def test_the_page_tells_the_books_the_reasons_the_tables_and_the_stages():
    shown = Reader(page.render(run(), [], Facts())).text
    assert "1,000 rows were read, and each of them is accounted for." in shown
    assert "clickstream 1,000 990 0 0 10" in shown  # the row of the table of books
    assert "invalid_time no time that exists 10" in shown
    assert "clickstream 990 first run 5.0 kB 1 2018-03 2018-04" in shown
    assert "read clickstream 1.5 s 100 % 1,000 667" in shown
    assert "This is the lake's first run." in shown
    assert "Worth a look" not in shown


def test_a_run_is_compared_with_the_run_before():
    tables = {"clickstream": {"rows": 1480, "bytes": 9000, "files": 2}}
    now = run(2, books={"clickstream": books(500, 10)}, tables=tables)
    shown = Reader(page.render(now, [run(1)], Facts())).text
    assert "clickstream: rows read 1,000 500 -500" in shown
    assert "clickstream: quarantined 1.00% 2.00% +1.00 points" in shown
    assert "clickstream 1,480 +490 9.0 kB" in shown


def test_each_fate_is_as_wide_as_its_share_and_named():
    html = page.render(run(), [], Facts())
    styles = {
        attributes["class"]: attributes["style"]
        for tag, attributes in Reader(html).tags
        if tag == "span" and (attributes.get("style") or "").startswith("flex")
    }
    assert styles == {"kept": "flex:0.990000", "quarantined": "flex:0.010000"}
    assert 'aria-label="clickstream: 99.0 % kept, 1.0 % quarantined"' in html.replace("\xa0", " ")


def test_traffic_is_drawn_for_each_day_bots_apart():
    first = date(2018, 4, 1)
    facts = Facts(people={first: 70, first + timedelta(days=2): 30}, bots={first: 20})
    html = page.render(run(), [], facts)
    titles = re.findall(r"<title>(\d.*?)</title>", html)
    assert titles == [
        "1 Apr 2018: 70 by people, 20 by bots",
        "2 Apr 2018: 0 by people, 0 by bots",
        "3 Apr 2018: 30 by people, 0 by bots",
    ]
    drawn = [attributes for tag, attributes in Reader(html).tags if tag == "rect"]
    assert [(bar["class"], bar["x"], bar["y"], bar["height"]) for bar in drawn] == [
        ("main", "0.1", "0", "70"),
        ("bots", "0.1", "70", "20"),
        ("main", "2.1", "0", "30"),
    ]


def test_many_days_share_bars_and_no_event_is_lost():
    first = date(2010, 1, 1)
    days = {first + timedelta(days=number): 1 for number in range(1000)}
    html = str(charts.by_day([charts.Series("events", "main", days)], "all"))
    counts = [int(count) for count in re.findall(r": (\d+) events", html)]
    assert len(counts) <= charts.MAX_BARS
    assert sum(counts) == 1000


def test_hostile_data_stays_text():
    evil = '"><script>alert(1)</script>'
    facts = Facts(
        people={date(2018, 4, 1): 1},
        pages=[(evil, 1)],
        campaigns=[(evil, 1)],
        samples=[Sample("clickstream", "invalid_time", evil, 1, evil)],
    )
    metrics = run(reasons={"clickstream": {"invalid_time": 1}}, vanished={"clickstream": [evil]})
    read = Reader(page.render(metrics, [], facts))
    assert "script" not in {tag for tag, _ in read.tags}
    assert read.text.count("alert(1)") == 4  # two of the sample, a page, a campaign


def test_the_page_asks_for_nothing():
    html = page.render(run(), [run(1)], Facts(people={date(2018, 4, 1): 1}))
    for _, attributes in Reader(html).tags:
        assert not {"src", "srcset", "data", "xlink:href", "action"} & attributes.keys()
        assert attributes.get("href") in (None, "../index.html")
    assert "url(" not in html
    assert "@import" not in html


def test_a_run_without_rows_has_a_page():
    empty = run(books={"clickstream": books(0)}, reasons={"clickstream": {}}, tables={}, months={})
    shown = Reader(page.render(empty, [], Facts())).text
    assert "No new rows were read" in shown
    assert "every row of this run was understood" in shown


def test_the_page_of_a_forgotten_person_has_no_books():
    gone = run(books={}, reasons={}, months={}, engine="duckdb", forgotten={"users": 1})
    shown = Reader(page.render(gone, [], Facts())).text
    assert "A person was forgotten. Rows that left the lake: 1." in shown
    assert "on DuckDB" in shown
    assert "Every row has one fate" not in shown


def test_one_replayed_row_is_told():
    one = run(books={"clickstream": books(1)}, replayed=["clickstream"])
    shown = Reader(page.render(one, [], Facts())).text
    assert "Refused rows were replayed: 1 row was read" in shown


RATE = {"mean": 0.4, "standard_error": 0.02}
QUALITY = {"hit_rate@3": RATE, "ndcg@3": {"mean": 0.3, "standard_error": 0.01}}
POPULAR = {**QUALITY, "hit_rate@3": {"mean": 0.1, "standard_error": 0.01}}
RECOMMENDATION = {
    "model": "ease",
    "users": 1200,
    "pages": 80,
    "candidates": [{}, {}],
    "judged_users": 1000,
    "quality": QUALITY,
    "popularity": POPULAR,
}


def test_recommendations_are_told_beside_popularity():
    shown = Reader(page.render(run(recommendation=RECOMMENDATION), [], Facts())).text
    assert "Of 100 people 40 (36 to 44) found their next page among the three; " in shown
    assert "shown the most popular pages: 10 (8 to 12)." in shown
    assert "the model that is published 40.0% ± 2.0% 0.300" in shown
    assert "popularity 10.0% ± 1.0%" in shown
    assert "The model is EASE, of 1,200 users and 80 pages. 2 were tried." in shown
    nothing = {"model": None, "warnings": ["There are no page views to recommend from."]}
    assert "Recommendations" not in page.render(run(recommendation=nothing), [], Facts())


def test_data_quality_is_told_over_runs():
    earlier = [run(1), run(2, books={"clickstream": books(500, 25)}), run(3, books={})]
    shown = Reader(page.render(run(4), earlier, Facts())).text
    table = shown[shown.index("Data quality over runs") :]
    assert re.findall(r"(\d) Apr 2018, 00:00 ([\d,]+) ([\d.]+%)", table) == [
        ("4", "1,000", "1.00%"),
        ("2", "500", "5.00%"),
        ("1", "1,000", "1.00%"),
    ]


def test_a_rebuild_s_rows_are_not_called_new():
    shown = Reader(page.render(run(rebuilt=["clickstream"]), [], Facts())).text
    assert "Rebuilt from all files: clickstream." in shown
    assert "Rebuilt" not in Reader(page.render(run(), [], Facts())).text


@pytest.mark.parametrize(
    ("read", "warned"), [(500, False), (499, True), (0, True), (1000, False), (3000, False)]
)
def test_a_source_below_half_of_its_usual_volume_is_a_warning(read, warned):
    earlier = [run(number) for number in (1, 2, 3)]
    found = findings(run(4, books={"clickstream": books(read)}), earlier)
    assert [text.startswith("clickstream: ") for text in found] == [True] * warned


def test_two_runs_are_no_habit_and_one_outlier_does_not_change_it():
    low = run(4, books={"clickstream": books(10)})
    assert findings(low, [run(1), run(2)]) == []
    first_load = run(1, books={"clickstream": books(1_000_000)})
    assert findings(run(4), [first_load, run(2), run(3)]) == []


def test_a_replay_says_nothing_about_the_usual_volume():
    few = {"books": {"clickstream": books(10)}, "replayed": ["clickstream"]}
    assert findings(run(4, **few), [run(1), run(2), run(3)]) == []
    habit = [run(1), run(2), *(run(number, **few) for number in (3, 4, 5))]
    assert findings(run(6, books={"clickstream": books(400)}), habit) == []


@pytest.mark.parametrize(("bad", "warned"), [(10, False), (19, False), (20, True), (300, True)])
def test_a_jump_in_bad_rows_is_a_warning(bad, warned):
    found = findings(run(2, books={"clickstream": books(1000, bad)}), [run(1)])
    assert len(found) == warned
    assert all("it used to be 1.0%" in text for text in found)


def test_a_jump_from_next_to_nothing_needs_a_point():
    clean = run(1, books={"clickstream": books(1000, 0)})
    assert findings(run(2, books={"clickstream": books(1000, 9)}), [clean]) == []
    assert len(findings(run(2, books={"clickstream": books(1000, 10)}), [clean])) == 1


def test_vanished_files_are_a_warning():
    (found,) = findings(run(vanished={"page_views": ["a.json", "b.json"]}), [])
    assert found.startswith("page_views: 2 of the files")


PEOPLE = [
    ("user_updates", '"2018-02-30 10:00:00","2083","ann.lee@example.com","Ann Lee","production"'),
    ("user_updates", "2018-04-01,2083,ann.lee at example.com,Ann Lee,production"),
    ("user_updates", '"2018-04-01T10:00:00Z",2083,"ann.lee@example.com,"Ann'),
    ("page_views", '{"ts": "x", "url": "/a?to=ann.lee%40example.com", "user_id": 2083}'),
    ("page_views", '{"ts": "x", "url": "/", "user_id": "2083"}'),
    ("page_views", '["2018-04-26T10:00:00Z", "/", "production", 2083]'),
    ("page_views", '["2018-04-26T10:00:00Z", "/", "production", "2083x"]'),
    ("page_views", '{"ts": "x", "user_id": 2083.5, "name": "Ann Lee"}'),
    ("page_views", "{'user_id': '2083x', name: Ann}"),
    ("page_views", '{"ts": "x", "url": "/", "user_id": "2083'),
    ("user_updates", '"2018-04-01 10:00:00","2083x","ann","Ann Lee","production"'),
    ("user_updates", '"2018-04-01 10:00:00",2083.5,"ann","Ann Lee","production"'),
    ("clickstream", "2083.5,https://shop.example/?user=ann,yesterday,Chrome 65,Linux,"),
    ("clickstream", "v1,https://shop.example/#token=2083,yesterday,Chrome 65,Linux,"),
    ("clickstream", "9f3a5c7e1b2d,/invite/ann.lee@example.com,yesterday,Chrome 65,Linux,"),
    ("clickstream", "2083,https://shop.example/,yesterday,Chrome 65,Linux,1920x1080"),
    ("clickstream", '1,https://shop.example/,550e8400-e29b-41d4-a716-446655440000,"a'),
]


@pytest.mark.parametrize(("source", "raw"), PEOPLE)
def test_a_sample_shows_nobody(source, raw):
    masked = masks.sample(source, raw)
    for personal in ("ann", "lee", "2083", "9f3a5c7e1b2d", "446655440000"):
        assert personal not in masked.lower()


@pytest.mark.parametrize(
    ("source", "raw", "shown"),
    [
        ("page_views", '{"ts": "2018-03-29 25:00", "url": "/"}', "2018-03-29 25:00"),
        ("page_views", '{"user_id": 1003.5}', '{"user_id": •••.•••}'),
        ("page_views", '{"user_id": "1003x"}', '{"user_id": "•••"}'),
        ("page_views", '{"ts": "x", "url": "/p?utm_source=news&a=b"}', "/p?utm_source=news&a=•••"),
        ("page_views", '{"url": "https://shop.example/p/1", "user_id": null}', "example/p/1"),
        ("clickstream", "v1,/,1523102400000,Chrome 65,Windows 10,1920x1080", "1523102400000"),
        ("clickstream", "v1,/,1523102400,Chrome 65,Windows 10,1920x1080", "Chrome 65,Windows 10,1"),
        ("user_updates", '"2018-02-30 10:00:00","7","a@b.c","A","production"', "2018-02-30 10:0"),
        ("user_updates", '"2018-02-20 10:00:00","7","a@b.c","A","production"', "production"),
    ],
)
def test_a_sample_still_shows_what_was_wrong(source, raw, shown):
    assert shown in masks.sample(source, raw)


@pytest.mark.parametrize("module", [masks, markup])
def test_the_examples_of_the_documentation_are_true(module):
    assert doctest.testmod(module).failed == 0
    assert doctest.testmod(module).attempted > 0


def test_a_long_sample_is_cut():
    assert len(masks.sample("clickstream", "x" * 5000)) == masks.SHOWN


def test_the_index_lists_runs_newest_first_and_links_those_with_a_report():
    runs = [run(1), run(2), run(3), run(4, books={"clickstream": books(100, 50)})]
    reported = {runs[1].run_id, runs[3].run_id}
    html = index.render(runs, reported, more=7)
    read = Reader(html)
    links = [attributes["href"] for tag, attributes in read.tags if tag == "a"]
    assert links == [f"{runs[3].run_id}/report.html", f"{runs[1].run_id}/report.html"]
    days = re.findall(r"\d April 2018", read.text)
    assert days == ["4 April 2018", "3 April 2018", "2 April 2018", "1 April 2018"]
    assert "50.0 % 4.2 s 2 warnings" in read.text  # too few rows, and too many of them bad
    assert "7 older runs" in read.text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (279_226, "279 kB")]
)
def test_sizes_are_written_short(count, text):
    assert layout.size(count) == text.replace(" ", "\xa0")


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "0 %"),
        (0, 9, "0 %"),
        (9, 9, "100 %"),
        (1, 10**6, "< 0.1 %"),
        (10**6 - 1, 10**6, "99.9 %"),
    ],
)
def test_a_share_never_rounds_something_to_nothing(part, whole, text):
    assert layout.percent(part, whole) == text.replace(" ", "\xa0")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0091, "9 ms"), (7.7, "7.7 s"), (125, "2 min 05 s"), (3720, "1 h 02 min")],
)
def test_durations_are_written_short(seconds, text):
    assert layout.duration(seconds) == text.replace(" ", "\xa0")
