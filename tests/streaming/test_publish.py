"""Publishing to a folder: each clean event once, in order, whatever the runs and the kills."""

import json
import random
from pathlib import Path

import pytest

from clicklake.errors import InputError, LeaseHeldError
from clicklake.lake import open_snapshot
from clicklake.schemas import CLICKSTREAM
from clicklake.streaming.folder import FolderSink
from clicklake.streaming.lock import held
from clicklake.streaming.messages import event_id
from clicklake.streaming.publisher import publish
from clicklake.streaming.state import State
from clicklake.streaming.stream import StreamBrokenError
from stream_support import TestLake, event, key_of, random_events, read_folder, time_text


@pytest.fixture(autouse=True)
def no_power_cut(monkeypatch):
    """A killed process loses nothing that it wrote, so its tests need not wait for the disk."""
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.fixture
def lake(tmp_path):
    return TestLake(tmp_path / "lake")


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "stream" / "_publisher"
    folder.mkdir(parents=True)
    return State(folder)


def run(lake, state, sink=None):
    sink = sink or FolderSink(state.folder.parent)
    return publish(lambda: open_snapshot(str(lake.root)), state, sink, patience=0)


def published(state):
    return read_folder(state.folder.parent)


def test_every_event_is_on_the_stream_once_with_all_its_columns(lake, state):
    rows = random_events(500)
    lake.commit(rows)

    assert run(lake, state).events == 500

    def flat(row):
        return {**row, "time": time_text(row["time"])}

    extra = ("publisher", "publisher_since", "sequence", "event_id")
    messages = [{k: v for k, v in m.items() if k not in extra} for m in published(state)]
    assert sorted(messages, key=key_of_text) == sorted(map(flat, rows), key=key_of_text)
    assert list(messages[0]) == CLICKSTREAM.columns


def unmarked(messages):
    """Messages without their publisher's id, which is another for each stream."""
    return [{k: v for k, v in m.items() if k != "publisher"} for m in messages]


def key_of_text(message):
    return json.dumps([message[name] for name in CLICKSTREAM.key])


def test_a_visitors_events_are_in_the_order_of_the_lakes_sessions(lake, state):
    same_time = [
        event(url="https://b.example/", at=1),
        event(url="https://a.example/", at=1, browser="A"),
        event(url="https://a.example/", at=1, browser=None),
        event(url="https://z.example/", at=0),
    ]
    lake.commit(same_time)

    run(lake, state)

    order = [(m["url"][8], m["browser"]) for m in published(state)]
    assert order == [("z", None), ("a", None), ("a", "A"), ("b", None)]


def test_sequence_numbers_have_no_gap_over_publications(lake, state):
    for n in range(3):
        lake.commit(random_events(50, seed=n, hours=6))
        run(lake, state)

    assert [m["sequence"] for m in published(state)] == list(range(1, 151))


def test_only_new_events_of_a_rewritten_month_are_published_late_rows_too(lake, state):
    lake.commit([event("old", at=n) for n in range(0, 300, 10)])
    run(lake, state)
    late = event("late", at=5)
    with_null = event("old", at=5, browser="Null is not this")
    lake.commit([late, with_null, event("new", at=1000)])

    assert run(lake, state).events == 3
    assert [key_of(m) for m in published(state)[-3:]] == [
        key_of(late),
        key_of(with_null),
        key_of(event("new", at=1000)),
    ]


def test_a_run_that_changes_session_ids_alone_publishes_nothing(lake, state):
    rows = random_events(40)
    lake.commit(rows)
    run(lake, state)
    lake.commit([{**row, "session_id": "renamed"} for row in rows])

    assert run(lake, state).events == 0
    assert "renamed" not in {m["session_id"] for m in published(state)}


def test_a_month_that_left_the_lake_and_came_back_is_not_published_again(lake, state):
    rows = random_events(40)
    lake.commit(rows)
    run(lake, state)
    manifest = lake.root / "_clicklake" / "manifest.json"
    whole = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**whole, "tables": {}, "seq": 2}))
    assert run(lake, state).events == 0

    manifest.write_text(json.dumps({**whole, "seq": 3}))
    assert run(lake, state).events == 0


def test_random_runs_publish_each_event_once(lake, state):
    rng = random.Random(7)
    rows = random_events(600, seed=3, hours=40)
    rng.shuffle(rows)
    while rows:
        size = rng.randrange(1, 120)
        lake.commit(rows[:size])
        rows = rows[size:]
        if rng.random() < 0.7:
            run(lake, state)
    run(lake, state)

    keys = [key_of(m) for m in published(state)]
    assert len(keys) == 600
    assert set(keys) == {key_of(row) for row in lake.rows.values()}


def test_the_event_id_in_sql_is_that_in_python(lake, state):
    lake.commit([*random_events(30), event("", url="ü,1:x,-", browser="-", os="", at=3)])

    run(lake, state)

    assert all(m["event_id"] == event_id(key_of(m)) for m in published(state))


@pytest.mark.parametrize("other", [("ab", "c"), (None, "abc"), ("", "abc")])
def test_keys_that_run_together_have_different_ids(other):
    rest = ("2018-04-01T00:00:00.000000Z", None, None, None)
    assert event_id(("a", "bc", *rest)) != event_id((*other, *rest))


def test_a_publication_goes_on_with_what_it_decided_though_the_lake_moved_on(lake, state):
    lake.commit([event("first", at=n) for n in range(10)])
    sink = BreakingSink(FolderSink(state.folder.parent), after=4)
    with pytest.raises(KilledError):
        run(lake, state, sink)
    lake.commit([event("second", at=n + 0.5) for n in range(10)])

    run(lake, state, sink)

    visitors = [m["anonymous_user_id"] for m in published(state)]
    assert visitors == ["first"] * 10 + ["second"] * 10


def test_a_state_that_does_not_know_the_streams_events_is_refused(lake, state, tmp_path):
    lake.commit(random_events(5))
    run(lake, state)
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()

    with pytest.raises(InputError, match="another publisher"):
        run(lake, State(elsewhere), FolderSink(state.folder.parent))


def test_after_a_break_the_others_event_at_the_end_is_not_taken_for_an_own_one(
    lake, state, tmp_path
):
    """The stream breaks off; until it is asked for its end, another publisher has written it."""
    lake.commit([event("ours", at=n) for n in range(10)])
    other = TestLake(tmp_path / "other_lake")
    other.commit([event("theirs", at=n) for n in range(4)])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    stream = FolderSink(state.folder.parent)

    class Breaking(FolderSink):
        def send(self, events):
            run(other, State(elsewhere), stream)
            raise StreamBrokenError("once")

    with pytest.raises(LeaseHeldError, match="another publisher"):
        publish(lambda: open_snapshot(str(lake.root)), state, Breaking(stream.folder), patience=5)

    assert {m["anonymous_user_id"] for m in published(state)} == {"theirs"}


def test_another_stream_of_the_same_length_in_the_place_of_the_own_one_is_refused(
    lake, state, tmp_path
):
    lake.commit([event("ours", at=n) for n in range(4)])
    run(lake, state)
    segment = state.folder.parent / "000000000000001.jsonl"
    other = TestLake(tmp_path / "other_lake")
    other.commit([event("theirs", at=n) for n in range(4)])
    elsewhere = State(tmp_path / "elsewhere" / "_publisher")
    elsewhere.folder.mkdir(parents=True)
    run(other, elsewhere)
    segment.write_bytes((elsewhere.folder.parent / segment.name).read_bytes())
    lake.commit([event("ours", at=5)])

    with pytest.raises(LeaseHeldError, match="another publisher"):
        run(lake, state)


def test_two_publishers_of_one_stream_at_once_are_refused(state):
    with held(state.folder, "publisher"), pytest.raises(LeaseHeldError):
        held(state.folder, "publisher").__enter__()


def test_no_lake_is_an_error_that_says_what_to_do(state, tmp_path):
    with pytest.raises(InputError, match=r"etl\.py"):
        publish(lambda: open_snapshot(str(tmp_path)), state, FolderSink(state.folder.parent))


class KilledError(Exception):
    pass


class BreakingSink:
    """Sends two events at a time, and dies once after some chunks."""

    chunk = 2

    mark = None

    def __init__(self, sink, after):
        self.sink, self.left = sink, after

    def peek(self):
        self.sink.mark = self.mark
        return self.sink.peek()

    def position(self):
        self.sink.mark = self.mark
        return self.sink.position()

    def send(self, events):
        self.left -= 1
        if self.left == 0:
            raise KilledError
        self.sink.mark = self.mark
        self.sink.send(events)


class Killer:
    """Ends the publisher at the n-th change of a file's name, just before it or just after."""

    def __init__(self, monkeypatch, at, after):
        self.left, self.after = at, after
        for name in ("replace", "unlink"):
            monkeypatch.setattr(Path, name, self.wrap(getattr(Path, name)))

    def wrap(self, change):
        def changed(path, *args, **kwargs):
            self.left -= 1
            if self.left == 0 and not self.after:
                raise KilledError
            result = change(path, *args, **kwargs)
            if self.left == 0:
                raise KilledError
            return result

        return changed


@pytest.mark.slow
def test_killed_at_any_change_of_a_file_the_stream_is_that_of_an_undisturbed_run(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("secrets.token_hex", lambda size: "00" * size)
    lake = TestLake(tmp_path / "lake")
    rows = random_events(12, hours=4)
    expected = publish_twice(lake, rows, tmp_path / "whole", lambda publish_: publish_())
    kills = 0
    for at in range(1, 40):
        for after in (False, True):
            lake = TestLake(tmp_path / f"lake{at}{after}")
            killed = []

            def restarting(publish_, at=at, after=after, killed=killed):
                with pytest.MonkeyPatch.context() as patch:
                    killer = Killer(patch, at, after)
                    try:
                        publish_()
                    except KilledError:
                        killed.append(killer.left)
                publish_()

            assert publish_twice(lake, rows, tmp_path / f"{at}{after}", restarting) == expected
            kills += len(killed)
        if not killed:
            break
    assert kills >= 20


def publish_twice(lake, rows, folder, call):
    """Publish a lake after its first run and after its second; the stream that results."""
    state = State(folder / "_publisher")
    state.folder.mkdir(parents=True)
    for part in (rows[:7], rows[7:]):
        lake.commit(part)

        def publish_():
            sink = FolderSink(folder)
            sink.chunk = 3
            run(lake, state, sink)

        call(publish_)
    return read_folder(folder)
