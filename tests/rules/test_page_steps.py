"""Steps: from a page to the next one within a session and a month, of people alone."""

from __future__ import annotations

import pyarrow as pa
import pytest

from clicklake.rules import page_steps, visits
from clicklake.schemas import PAGE_STEPS

BEGIN = 1522540800  # 2018-04-01
MAY = 1525132800
RULES = visits.Rules(gap_minutes=30, bot_views_per_minute=3)

Event = tuple[str, float, str]  # visitor, second, url


def _counted(events: list[Event], browser: str = "Firefox", started: int | None = None) -> dict:
    """{(page, next page, month): sessions}"""
    rows = [(v, url, int(second * 1e6), browser, None, None, None) for v, second, url in events]
    if started is not None:
        rows[0] = (*rows[0][:6], int(started * 1e6))
    columns = list(zip(*rows, strict=True))
    table = pa.table([*map(pa.array, columns, visits.EVENTS.types)], schema=visits.EVENTS)
    found = {}
    for (_, month), part in page_steps.counted(visits.Visits(table, RULES)):
        for row in part.to_pylist():
            assert row["month_start"].month == month
            assert (row["month_start"].day, row["month_start"].hour) == (1, 0)
            found[row["page"], row["next_page"], month] = row["sessions"]
    return found


CASES: dict[str, tuple[list[Event], dict]] = {
    "one page leads to the next": (
        [("v", BEGIN, "https://S.example/a?x=1"), ("v", BEGIN + 9, "//s.example/b#top")],
        {("s.example/a", "s.example/b", 4): 1},
    ),
    "a URL without a host is its path": (
        [("v", BEGIN, "/a"), ("v", BEGIN + 9, "/b")],
        {("/a", "/b", 4): 1},
    ),
    "the same page again is no step": (
        [("v", BEGIN, "/a?x=1"), ("v", BEGIN + 9, "/a?x=2"), ("v", BEGIN + 70, "/b")],
        {("/a", "/b", 4): 1},
    ),
    "a session counts once, however often it goes": (
        [("v", BEGIN + 60 * n, "/ab"[: 1 + n % 2]) for n in range(7)],
        {("/", "/a", 4): 1, ("/a", "/", 4): 1},
    ),
    "another session counts again": (
        [("v", BEGIN + t, url) for t in (0, 9000) for url in ("/a", "/b")],
        {("/a", "/b", 4): 2},
    ),
    "other visitors count again": (
        [(v, BEGIN + t, url) for v in "vwx" for t, url in ((0, "/a"), (9, "/b"))],
        {("/a", "/b", 4): 3},
    ),
    "from one visitor to another is no step": (
        [("v", BEGIN, "/a"), ("w", BEGIN + 1, "/b")],
        {},
    ),
    "after a pause a session begins anew": (
        [("v", BEGIN, "/a"), ("v", BEGIN + 1801, "/b")],
        {},
    ),
    "of one time the order of URLs counts": (
        [("v", BEGIN, "/b"), ("v", BEGIN, "/a")],
        {("/a", "/b", 4): 1},
    ),
    "who is too fast is no person": (
        [("v", BEGIN + n, f"/{n}") for n in range(4)]
        + [("v", BEGIN + 60 + n, f"/{n}") for n in (0, 1)],
        {("/0", "/1", 4): 1},
    ),
    "a month's end is no step, a session of two months counts in both": (
        [("v", MAY + t, url) for t, url in ((-90, "/a"), (-60, "/b"), (60, "/a"), (90, "/b"))],
        {("/a", "/b", 4): 1, ("/a", "/b", 5): 1},
    ),
    "nothing": ([("v", BEGIN, "/a")], {}),
}


@pytest.mark.parametrize(("events", "expected"), CASES.values(), ids=CASES)
def test_steps(events: list[Event], expected: dict) -> None:
    assert _counted(events) == expected
    assert _counted(events[::-1]) == expected


def test_a_crawlers_steps_do_not_count() -> None:
    assert _counted([("v", BEGIN, "/a"), ("v", BEGIN + 9, "/b")], browser="Googlebot") == {}


def test_an_event_that_is_looked_at_only_for_its_session_is_no_steps_begin() -> None:
    events = [("v", BEGIN, "/a"), ("v", BEGIN + 9, "/b"), ("v", BEGIN + 70, "/c")]
    assert _counted(events, started=BEGIN) == {("/b", "/c", 4): 1}


def _rows(*counts: tuple[str, str, int]) -> pa.Table:
    start = pa.scalar(BEGIN * 1_000_000).cast(PAGE_STEPS.schema.field("month_start").type)
    rows = [
        {"page": page, "next_page": after, "sessions": sessions, "month_start": start.as_py()}
        for page, after, sessions in counts
    ]
    return pa.Table.from_pylist(rows, schema=PAGE_STEPS.schema)


def test_what_is_taken_away_of_a_month() -> None:
    """Steps that fewer than two sessions are left of are in no table."""
    steps = _rows(("/a", "/b", 5), ("/b", "/a", 2), ("/a", "/c", 3), ("/c", "/a", 4))
    gone = _rows(("/a", "/b", 3), ("/b", "/a", 1), ("/a", "/c", 1), ("/x", "/y", 1))
    left = page_steps.without(steps, gone)
    assert left.schema == PAGE_STEPS.schema
    assert sorted(tuple(row.values())[:3] for row in left.to_pylist()) == [
        ("/a", "/b", 2),
        ("/a", "/c", 2),
        ("/c", "/a", 4),
    ]
