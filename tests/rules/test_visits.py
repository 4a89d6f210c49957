"""Visits: which events are one, when a session begins and ends, who comes too fast."""

from __future__ import annotations

import random
from itertools import pairwise

import pyarrow as pa
import pytest

from clicklake.parse.rows import CLICKS
from clicklake.rules import visits

MICROS = 1_000_000
RULES = visits.Rules(gap_minutes=30, bot_views_per_minute=3)
BEGIN = 1522540800  # 2018-04-01, the begin of a minute


def _event(visitor: str, second: float, url: str = "/", started: float | None = None) -> tuple:
    started_at = None if started is None else int(started * MICROS)
    return (visitor, url, int(second * MICROS), "Firefox", None, "10x20", started_at)


def _visits(events: list[tuple]) -> visits.Visits:
    columns = list(zip(*events, strict=True)) or [[] for _ in visits.EVENTS]
    return visits.Visits(
        pa.table([*map(pa.array, columns, visits.EVENTS.types)], schema=visits.EVENTS), RULES
    )


def _rows(parts: object, *names: str) -> list[tuple]:
    rows = [row for _, part in parts for row in part.to_pylist()]
    return sorted(tuple(row[name] for name in names) for row in rows)


def test_a_session_goes_on_from_another_months_events() -> None:
    """The event of the other month is not made again, its session's start is kept."""
    border = 1525132800  # 2018-05-01
    found = _visits([_event("v", border - 60, started=border - 4000), _event("v", border + 60)])
    name = f"v-{(border - 4000) * MICROS}"
    assert _rows(found.clickstream(), "session_id") == [(name,)]
    assert _rows(found.sessions(), "session_id") == []  # it began before what is looked at


def test_a_pause_of_exactly_the_gap_does_not_end_a_session() -> None:
    begin = 1522540800
    found = _visits([_event("v", begin + n) for n in (0, 1800, 3600.000001, 5400)])
    assert _rows(found.sessions(), "events") == [(2,), (2,)]


def test_an_event_that_repeats_counts_once_for_a_bots_rate() -> None:
    begin = 1522540800
    three = [_event("v", begin + n) for n in (0, 1, 2)]
    assert _rows(_visits(three * 2).clickstream(), "bot_reason") == [(None,)] * 3
    four = [*three, _event("v", begin + 59)]
    assert _rows(_visits(four).clickstream(), "bot_reason") == [("rate",)] * 4


def test_nothing() -> None:
    found = _visits([])
    assert list(found.clickstream()) == list(found.sessions()) == []


@pytest.mark.slow
def test_any_order_and_any_chunks_of_events_give_the_same() -> None:
    rng = random.Random(1)
    events = [
        (
            f"v{rng.randrange(5)}",
            rng.choice(("/", "/a", "/b", "é", "/b")),
            1522540800 * MICROS + rng.randrange(40) * 300 * MICROS,
            rng.choice(("Firefox", None, "Googlebot")),
            rng.choice((None, "Linux")),
            rng.choice((None, "10x20", "x")),
            None,
        )
        for _ in range(2000)
    ]
    names = visits.CLICKSTREAM.columns
    whole = _visits(events)
    rows = [_as_key(row) for row in _all(whole.clickstream(), names)]
    assert len({row[: len(CLICKS)] for row in rows}) == len(rows)
    for _ in range(5):
        rng.shuffle(events)
        cuts = [0, *sorted(rng.sample(range(2000), 3)), 2000]
        parts = [
            pa.table(
                [
                    pa.array(column, type_)
                    for column, type_ in zip(
                        zip(*events[a:b], strict=True), visits.EVENTS.types, strict=True
                    )
                ],
                schema=visits.EVENTS,
            )
            for a, b in pairwise(cuts)
        ]
        other = visits.Visits(pa.concat_tables(parts), RULES)
        assert sorted(map(_as_key, _all(other.clickstream(), names))) == sorted(rows)
        assert sorted(map(_as_key, _all(other.sessions(), visits.SESSIONS.columns))) == sorted(
            map(_as_key, _all(whole.sessions(), visits.SESSIONS.columns))
        )


def _all(parts: object, names: list[str]) -> list[tuple]:
    return [tuple(row[n] for n in names) for _, part in parts for row in part.to_pylist()]


def _as_key(row: tuple) -> tuple:
    return tuple(map(repr, row))


def test_two_visitors_at_one_time_have_sessions_of_their_own() -> None:
    found = _visits([_event("v", BEGIN), _event("w", BEGIN + 30), _event("v", BEGIN + 60)])
    rows = _rows(found.sessions(), "anonymous_user_id", "session_id", "events")
    assert rows == [("v", f"v-{BEGIN * MICROS}", 2), ("w", f"w-{(BEGIN + 30) * MICROS}", 1)]


def test_events_of_one_time_are_in_the_order_of_their_urls() -> None:
    """So that a session's first and last page do not depend on the order of files."""
    found = _visits([_event("v", BEGIN, url) for url in ("/c", "/a", "/b")])
    assert _rows(found.sessions(), "landing_path", "exit_path") == [("/a", "/c")]


def test_a_minute_is_one_of_the_clock() -> None:
    """Four events within 60 seconds, but two in each minute."""
    found = _visits([_event("v", BEGIN + second) for second in (40, 50, 60, 70)])
    assert _rows(found.clickstream(), "bot_reason") == [(None,)] * 4


def test_as_many_as_the_limit_are_no_bot() -> None:
    found = _visits([_event("v", BEGIN + second) for second in range(3)])
    assert _rows(found.clickstream(), "is_bot") == [(False,)] * 3


def test_a_crawler_is_one_by_its_name_whatever_its_rate() -> None:
    events = [("v", "/", BEGIN * MICROS, "GoogleBot 2.1", None, None, None)]
    assert _rows(_visits(events).clickstream(), "is_bot", "bot_reason") == [(True, "agent")]


def test_a_session_with_a_bots_event_is_a_bots() -> None:
    fast = [_event("v", BEGIN + second) for second in range(4)]
    found = _visits([*fast, _event("v", BEGIN + 600)])
    assert _rows(found.sessions(), "is_bot", "events") == [(True, 5)]


@pytest.mark.parametrize("second", [0, 59, 1800, 86399])
def test_a_session_is_in_the_month_of_its_start(second: int) -> None:
    may = 1525132800
    found = _visits([_event("v", may - 1), _event("v", may + second)])
    months = [month for month, part in found.sessions() for _ in range(part.num_rows)]
    assert months == ([(2018, 4)] if second + 1 <= 1800 else [(2018, 4), (2018, 5)])
    assert sorted(month for month, _ in found.clickstream()) == [(2018, 4), (2018, 5)]
