"""A run that changes little is published by its changes: the same tables, and the same promises."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from clicklake.config import Report
from clicklake.lake import Snapshot
from clicklake.publish import feeds, postgresql, publish
from fake_lake import NOON, write_lake
from publish_support import Destination, Poller, follow, generation, runs, seen

MAY = NOON + timedelta(days=30)
NO_MODEL: dict = {"page_recommendations": [], "page_follows": []}


def people(count: int, **changed: str) -> list[dict]:
    """Users 0 to count - 1; `u3="Bea"` gives the third another name."""
    names = {f"u{number}": None for number in range(count)} | changed
    return [{"user_id": int(u[1:]), "name": name} for u, name in names.items()]


def visits(**events: int) -> list[dict]:
    return [{"session_id": name, "events": number} for name, number in events.items()]


def first(lake: Path) -> Snapshot:
    return write_lake(
        lake,
        1,
        users=people(20, u3="Ann"),
        user_page_views=[{"user_id": i, "url": u} for i in range(20) for u in ("/a", "/b")],
        sessions=[
            *visits(early=1, gone=2, grows=3),
            *({"session_id": f"may{i}", "started_at": MAY} for i in range(9)),
        ],
        clickstream=[{}, {"time": MAY, "host": "may.example"}],
        **NO_MODEL,
    )


def second(lake: Path) -> Snapshot:
    """User 3 has another name, user 4 has seen /b again, 20 is new; one visit ends, one grows."""
    views = [{"user_id": i, "url": u} for i in range(20) for u in ("/a", "/b")]
    views[9] |= {"count": 7, "email": None}
    return write_lake(
        lake,
        2,
        users=people(21, u3="Bea"),
        user_page_views=[*views, {"user_id": 20, "url": "/a"}],
        sessions=visits(early=1, grows=4, new=1),
        clickstream=[{}, {"host": "new.example"}, {"time": NOON + timedelta(days=1)}],
        **NO_MODEL,
    )


def shown(destination: Destination) -> dict[str, list[tuple]]:
    queries = {
        "users": "select user_id, name from users order by 1",
        "views": "select user_id, url, count, email from user_page_views order by 1, 2",
        "sessions": "select session_id, events from sessions order by 1",
        "traffic": "select cast(day as varchar(10)), host, views from daily_traffic order by 1, 2",
        "runs": "select run_id from runs order by 1",
        "run": "select run_id, seq from clicklake_publication",
    }
    with destination.reader() as query:
        return {name: query(sql) for name, sql in queries.items()}


SECOND = {
    "users": [(i, "Bea" if i == 3 else None) for i in range(21)],
    "views": [
        *(
            (i, url, *((7, None) if (i, url) == (4, "/b") else (2, "ann@example.com")))
            for i in range(20)
            for url in ("/a", "/b")
        ),
        (20, "/a", 2, "ann@example.com"),
    ],
    "sessions": [("early", 1), ("grows", 4), *((f"may{i}", 3) for i in range(9)), ("new", 1)],
    "traffic": [
        ("2018-04-01", "new.example", 1),
        ("2018-04-01", "shop.example", 1),
        ("2018-04-02", "shop.example", 1),
        ("2018-05-01", "may.example", 1),
    ],
    "runs": [("run-1",), ("run-2",)],
    "run": [("run-2", 2)],
}
SENT = {
    "users": 2,
    "user_page_views": 2,
    "sessions": 2,
    "daily_traffic": 3,
    "runs": 2,
}


@pytest.mark.slow
def test_only_what_has_changed_is_sent(destination, tmp_path):
    lake = tmp_path / "lake"
    config, before = destination.config(lake), first(lake)
    assert "sent" not in publish(before, config, runs(1))["database"]
    after = follow(before, second(lake), keeping="month=5")
    report = publish(after, config, runs(2))["database"]
    assert shown(destination) == SECOND
    assert report["sent"] == SENT
    assert report["rows"]["sessions"] == 12
    assert publish(after, config, runs(2))["database"]["status"] == "current"


def test_months_that_no_run_touched_are_not_read(destination, tmp_path):
    lake = tmp_path / "lake"
    config, before = destination.config(lake), first(lake)
    publish(before, config, runs(1))
    after = follow(before, second(lake), keeping="month=5")
    # DuckDB looks at all files that a view is of.
    tables = ["sessions", *(["clickstream"] if destination.kind != "duckdb" else [])]
    for file in [file for table in tables for file in after.live(table)]:
        if file.month == (2018, 5):
            (lake / after.path(file.path)).write_bytes(b"never looked at")
    assert publish(after, config, runs(2))["database"]["sent"] == SENT


@pytest.mark.slow
def test_a_day_of_two_months_is_counted_whole(destination, tmp_path):
    """1 May in Auckland begins on 30 April, 12:00 UTC."""
    lake = tmp_path / "lake"
    config = replace(destination.config(lake), report=Report(time_zone="Pacific/Auckland"))
    times = [NOON, NOON + timedelta(days=30, hours=-11)]
    more = [*times, NOON + timedelta(days=29, hours=8)]
    before = write_lake(lake, 1, clickstream=[{"time": time} for time in times])
    publish(before, config, runs(1))
    after = write_lake(lake, 2, clickstream=[{"time": time} for time in more])
    report = publish(follow(before, after, keeping="month=5"), config, runs(2))["database"]
    assert report["sent"]["daily_traffic"] == 1
    days = destination.ask("select cast(day as varchar(10)), views from daily_traffic order by 1")
    assert days == [("2018-04-02", 1), ("2018-05-01", 2)]


@pytest.mark.slow
@pytest.mark.parametrize("why", ["kept no longer", "a row is missing", "a key was altered"])
def test_all_is_sent_where_changes_do_not_fit(destination, tmp_path, why):
    lake = tmp_path / "lake"
    config, before = destination.config(lake), first(lake)
    publish(before, config, runs(1))
    after = follow(before, second(lake), keeping="month=5")
    users = destination.named("clicklake_users" if destination.kind == "postgresql" else "users")
    if why == "kept no longer":
        after.storage.delete_tree("_clicklake/state")
    elif why == "a row is missing":
        destination.change(f"delete from {users} where user_id = 7")
    else:
        destination.change(f"update {users} set user_id = 999 where user_id = 3")
    assert "sent" not in publish(after, config, runs(2))["database"]
    assert shown(destination) == SECOND


@pytest.mark.slow
def test_all_is_sent_where_much_has_changed(destination, tmp_path):
    lake = tmp_path / "lake"
    config, before = destination.config(lake), generation(lake, 1)
    publish(before, config, runs(1))
    after = follow(before, generation(lake, 2))
    assert "sent" not in publish(after, config, runs(2))["database"]


@pytest.mark.slow
def test_another_lake_takes_the_place_of_all(destination, tmp_path):
    before = first(tmp_path / "one")
    publish(before, destination.config(tmp_path / "one"), runs(1))
    other = write_lake(tmp_path / "two", 5, users=[{"user_id": 1}], **NO_MODEL)
    publish(other, destination.config(tmp_path / "two"), runs(1))
    assert destination.ask("select user_id from users") == [(1,)]
    after = follow(before, second(tmp_path / "one"), keeping="month=5")
    assert "sent" not in publish(after, destination.config(tmp_path / "one"), runs(2))["database"]
    assert shown(destination) == SECOND


@pytest.mark.slow
def test_a_failure_amid_the_changes_leaves_the_run_before(destination, tmp_path, monkeypatch):
    lake = tmp_path / "lake"
    config, before = destination.config(lake), first(lake)
    publish(before, config, runs(1))
    as_it_was, after = shown(destination), follow(before, second(lake), keeping="month=5")
    with monkeypatch.context() as patched:
        patched.setattr(feeds.Feed, "fits", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            publish(after, config, runs(2))
    assert shown(destination) == as_it_was
    publish(after, config, runs(2))
    assert shown(destination) == SECOND


@pytest.fixture
def always(monkeypatch):
    """By changes, however many they are."""
    monkeypatch.setattr(feeds, "MOST", 9.0)
    monkeypatch.setattr(postgresql, "PATIENCE_SECONDS", 0.2)


@pytest.mark.slow
def test_a_reader_stays_with_its_run(destination, tmp_path, always):
    lake = tmp_path / "lake"
    config, before = destination.config(lake), generation(lake, 1)
    publish(before, config, runs(1))
    with destination.reader() as query:
        assert query("select count(*) from runs") == [(1,)]
        report = publish(follow(before, generation(lake, 2)), config, runs(2))["database"]
        assert report["sent"]["users"] == 3
        assert seen(query) == {1}
    with destination.reader() as query:
        assert seen(query) == {2}


@pytest.mark.slow
def test_a_polling_reader_sees_one_run_at_a_time(destination, tmp_path, always):
    lake = tmp_path / "lake"
    state = generation(lake, 1, rows=300)
    publish(state, destination.config(lake), runs(1))
    with Poller(destination) as poller:
        for number in range(2, 5):
            state = follow(state, generation(lake, number, rows=300))
            report = publish(state, destination.config(lake), runs(number))["database"]
            assert report["sent"]["users"] == 300
    assert set(poller.observed) <= {f"[{number}]" for number in range(1, 5)}
    assert len(set(poller.observed)) > 1


@pytest.mark.slow
def test_nights_of_chance_end_in_the_same_rows(destination, tmp_path, always):
    lake, choose = tmp_path / "lake", random.Random(5)
    rows = {i: i for i in range(30)}
    state = None
    for number in range(1, 6):
        for user in choose.sample(range(40), 8):
            rows[user] = rows.get(user, 0) + number
        for user in choose.sample(sorted(rows), 3):
            del rows[user]
        new = write_lake(
            lake,
            number,
            users=[{"user_id": i, "name": str(n) if n % 3 else None} for i, n in rows.items()],
            user_page_views=[{"user_id": i, "count": n} for i, n in rows.items()],
            **NO_MODEL,
        )
        state = follow(state, new) if state else new
        report = publish(state, destination.config(lake), runs(number))["database"]
        assert ("sent" in report) == (number > 1)
        assert dict(destination.ask("select user_id, count from user_page_views")) == rows
        names = dict(destination.ask("select user_id, name from users"))
        assert names == {i: str(n) if n % 3 else None for i, n in rows.items()}


@pytest.mark.slow
def test_staging_gets_its_new_rows(make_destination, destination, tmp_path):
    lake, main = tmp_path / "lake", make_destination("duckdb", "readers")
    config = destination.config(lake, staging_url=destination.url, url=main.url)
    views = [{"user_id": i} for i in range(9)]
    before = write_lake(lake, 1, page_views=views, user_updates=[{"name": None}])
    publish(before, config, runs(1))
    more = [{"name": None}, {"name": "Bea"}]
    after = write_lake(lake, 2, page_views=[*views, {"user_id": 9}], user_updates=more)
    report = publish(follow(before, after), config, runs(2))["staging"]
    assert report["sent"] == {"page_views": 1, "user_updates": 1}
    assert destination.ask("select count(*) from page_views") == [(10,)]
    fewer = write_lake(lake, 3, page_views=views[1:], user_updates=more[1:])
    report = publish(follow(after, fewer), config, runs(3))["staging"]
    assert "sent" not in report  # a row without a name goes, which no key tells from others
    assert destination.ask("select min(user_id) from page_views") == [(1,)]
    assert destination.ask("select name from user_updates") == [("Bea",)]


def test_postgresql_takes_longer_texts_than_its_index_held(make_destination, tmp_path):
    destination, lake = make_destination("postgresql"), tmp_path / "lake"
    config, before = destination.config(lake), first(lake)
    publish(before, config, runs(1))
    long = write_lake(lake, 2, users=people(20), user_page_views=[{"url": "/" + "long" * 5000}])
    report = publish(follow(before, long), config, runs(2))["database"]
    assert report["status"] == "published"
    assert destination.ask("select length(url) from user_page_views") == [(20001,)]
