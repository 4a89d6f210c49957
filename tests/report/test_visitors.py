"""Sessions, visitors, campaigns and landing pages of a report, against plain Python."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date
from statistics import median
from zoneinfo import ZoneInfo

import pytest

import lakes
from clicklake.lake import snapshot
from clicklake.lake.metrics import RunMetrics
from clicklake.report import facts, page
from clicklake.report.visitors import Sessions
from clicklake.storage import open_storage
from html_reader import Reader


@pytest.fixture(scope="module")
def people(sample_lake):
    return [row for row in lakes._rows(sample_lake[0], "sessions") if not row["is_bot"]]


def found(sample_lake, zone: str = "UTC", **changes: object) -> facts.Facts:
    place, metrics = sample_lake
    told = RunMetrics.from_json({**metrics, **changes})
    return facts.gather(snapshot(open_storage(str(place))), told, zone)


def days_of(row: dict, zone: str) -> date:
    return row["started_at"].astimezone(ZoneInfo(zone)).date()


@pytest.mark.slow
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_sessions_and_bounces_by_day(sample_lake, people, zone):
    visitors = found(sample_lake, zone).visitors
    assert visitors.sessions == Counter(days_of(row, zone) for row in people)
    single = [row for row in people if row["events"] == 1]
    assert {day: n for day, n in visitors.bounced.items() if n} == Counter(
        days_of(row, zone) for row in single
    )
    assert visitors.total == Sessions(
        (), len(people), len(single), sum(row["events"] for row in people)
    )
    minutes = [
        (row["ended_at"] - row["started_at"]).total_seconds() / 60
        for row in people
        if row["events"] > 1
    ]
    assert visitors.usual == pytest.approx(median(minutes))


def test_visitors_are_new_once(sample_lake, people):
    visitors = found(sample_lake).visitors
    seen: set[str] = set()
    new, returning = Counter(), Counter()
    for row in sorted(people, key=lambda row: row["started_at"]):
        name, day = row["anonymous_user_id"], days_of(row, "UTC")
        new[day] += name not in seen
        seen.add(name)
    for day, _ in {(days_of(row, "UTC"), row["anonymous_user_id"]) for row in people}:
        returning[day] += 1
    assert {d: n for d, n in visitors.new.items() if n} == {d: n for d, n in new.items() if n}
    assert {d: n + visitors.new[d] for d, n in visitors.returning.items()} == returning


def test_who_came_before_the_months_that_are_shown_is_not_new(sample_lake, people):
    months = {**sample_lake[1]["months"], "sessions": ["2018-05"]}
    visitors = found(sample_lake, months=months).visitors
    may = {row["anonymous_user_id"] for row in people if row["started_at"].month == 5}
    before = {row["anonymous_user_id"] for row in people if row["started_at"].month < 5}
    assert min(visitors.sessions) == date(2018, 5, 1)
    assert sum(visitors.new.values()) == len(may - before) < len(may)


def test_campaigns_and_landing_pages(sample_lake, people):
    visitors = found(sample_lake).visitors
    names = ("utm_source", "utm_medium", "utm_campaign")
    campaigns = Counter(tuple(row[name] or "–" for name in names) for row in people)
    del campaigns["–", "–", "–"]
    assert {each.name: each.sessions for each in visitors.campaigns} == campaigns
    landings = Counter((row["landing_path"],) for row in people)
    assert [each.sessions for each in visitors.landings] == [n for _, n in landings.most_common(10)]
    for each in visitors.landings:
        theirs = [row for row in people if row["landing_path"] == each.name[0]]
        assert each.bounced == sum(row["events"] == 1 for row in theirs)
        assert each.events == sum(row["events"] for row in theirs)


def test_the_page_shows_them(sample_lake):
    told = found(sample_lake)
    shown = Reader(page.render(RunMetrics.from_json(sample_lake[1]), [], told)).text
    total = told.visitors.total
    assert f"sessions {total.sessions:,} on 56 days" in shown
    assert f"bounced {100 * total.bounced / total.sessions:.1f} %" in shown
    assert f"usual time {told.visitors.usual:.1f} min" in shown
    assert re.search(r"instagram social fête de la musique \d+ [\d.]+ % [\d.]+", shown)
