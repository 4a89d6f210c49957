"""Late rows change labels: who reads both topics to their end knows exactly the lake's."""

import json
import random
import shutil
from datetime import date

import pyarrow.parquet as pq
import pytest

import lakes
from clicklake import config
from clicklake.errors import ConfigError
from clicklake.lake import open_snapshot
from clicklake.streaming import corrections as module
from clicklake.streaming import journal
from clicklake.streaming.corrections import Corrections
from clicklake.streaming.folder import FolderSink
from clicklake.streaming.publisher import correct, publish
from clicklake.streaming.state import State
from clicklake.streaming.stream import Position
from stream_labels import assert_each_says_something_new, in_lake, known
from stream_support import TestLake, event, random_events, read_folder


@pytest.fixture(autouse=True)
def no_power_cut(monkeypatch):
    """A killed process loses nothing that it wrote, so its tests need not wait for the disk."""
    monkeypatch.setattr("os.fsync", lambda _: None)


class Topic:
    """What was committed to a topic, in memory: (number, key, message or None)."""

    chunk = 7

    def __init__(self):
        self.records = []
        self.mark = None

    def peek(self):
        return self.position()

    def position(self):
        return Position(*self.records[-1][:2]) if self.records else Position(0)

    def send(self, events):
        self.records += [
            (e.sequence, e.key, None if e.is_retraction else json.loads(e.body)) for e in events
        ]

    def redact(self, digests):
        assert not digests

    def close(self):
        pass


class Scene:
    """A lake, its stream in a folder, and the topic of corrections."""

    def __init__(self, folder, root=None):
        self.lake = TestLake(folder / "lake")
        self.root = root or self.lake.root
        self.stream = folder / "stream"
        (self.stream / "_publisher").mkdir(parents=True)
        self.topic = Topic()

    @property
    def state(self):
        return State(self.stream / "_publisher")

    def read(self):
        return open_snapshot(str(self.root))

    def publish(self):
        return publish(self.read, self.state, FolderSink(self.stream)).events

    def correct(self):
        return correct(self.read, Corrections(self.state), self.topic)

    def both(self):
        self.publish()
        return self.correct()

    def known(self):
        corrections = [record[1:] for record in self.topic.records]
        return known(read_folder(self.stream), corrections)

    def assert_right(self, rows=None):
        assert self.known() == in_lake(self.lake.rows.values() if rows is None else rows)
        assert [number for number, *_ in self.topic.records] == list(
            range(1, len(self.topic.records) + 1)
        )


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


def test_only_what_has_changed_is_corrected_with_its_new_labels(scene):
    rows = [event("v1", 0), event("v1", 40), event("v2", 1)]
    scene.lake.commit(rows)
    assert scene.both() == 0
    joined = {**rows[1], "session_id": rows[0]["session_id"] + "-joined"}
    bot = {**rows[2], "is_bot": True, "bot_reason": "rate"}
    scene.lake.commit([joined, bot, event("v1", 20)])

    assert scene.both() == 2

    said = sorted((message for _, _, message in scene.topic.records), key=lambda m: m["is_bot"])
    assert [set(message) for message in said] == [
        {"sequence", "event_id", "session_id", "is_bot", "bot_reason"}
    ] * 2
    assert said[0]["session_id"] == joined["session_id"]
    assert (said[1]["is_bot"], said[1]["bot_reason"]) == (True, "rate")
    assert scene.both() == 0
    scene.assert_right()


def test_labels_that_change_back_are_corrected_again(scene):
    row = event()
    scene.lake.commit([row])
    for is_bot in (False, True, False, True, True):
        scene.lake.commit([{**row, "is_bot": is_bot}])
        scene.both()
        scene.assert_right()
    assert [message["is_bot"] for _, _, message in scene.topic.records] == [True, False, True]


def test_months_that_no_run_has_touched_are_not_read(scene, monkeypatch):
    april, may = event("v1", 0), event("v2", 24 * 60)
    scene.lake.commit([april, may])
    scene.both()
    scene.lake.commit([{**may, "is_bot": True}])
    read = []
    found = Corrections._found

    def noting(corrections, query, tables):
        read.append(tables.get("this"))
        return found(corrections, query, tables)

    monkeypatch.setattr(Corrections, "_found", noting)

    assert scene.correct() == 1
    assert [this["month"].to_pylist() for this in read if this is not None] == [["2018-05"]]


def test_the_correction_of_a_forgotten_person_is_taken_back(scene):
    ann, bob = event("ann", 0), event("bob", 5)
    scene.lake.commit([ann, bob, event("ann", 60 * 24 * 40)])  # alone in its month
    scene.both()
    for row in list(scene.lake.rows.values()):
        scene.lake.commit([{**row, "is_bot": True}])
    assert scene.both() == 3
    scene.state.file_retractions(["ann"])
    scene.lake.forget("ann")

    assert scene.both() == 2

    last = {key: message for _, key, message in scene.topic.records}
    assert sorted(message is None for message in last.values()) == [False, True, True]
    assert scene.both() == 0
    scene.assert_right()


def test_an_event_that_comes_back_is_corrected_anew(scene):
    row = event("v1", 0)
    scene.lake.commit([row, event("v2", 1)])
    scene.both()
    scene.lake.commit([{**row, "is_bot": True}])
    scene.both()
    scene.lake.forget("v1")  # not as a person: its file is gone, say
    scene.both()
    assert scene.topic.records[-1][2] is None
    scene.lake.commit([row])
    assert scene.both() == 0  # without a correction, what was published holds
    scene.assert_right()
    scene.lake.commit([{**row, "is_bot": True}])

    assert scene.both() == 1
    scene.assert_right()


def test_what_was_corrected_once_is_not_said_again_with_others_of_its_month(scene):
    rows = [event(f"v{n}", n) for n in range(4)]
    scene.lake.commit(rows)
    scene.both()
    for row in rows:
        scene.lake.commit([{**row, "is_bot": True}])
        assert scene.both() == 1
    scene.assert_right()


def test_switched_on_late_it_says_what_had_changed_until_then(scene):
    rows = random_events(50)
    scene.lake.commit(rows)
    scene.publish()
    scene.lake.commit([{**row, "is_bot": not row["is_bot"]} for row in rows[:9]])
    scene.publish()
    assert not (scene.stream / "_publisher" / "corrections").exists()

    assert scene.correct() == 9
    scene.assert_right()


def test_what_an_older_release_has_published_is_said_again_once(scene):
    rows = random_events(50)
    scene.lake.commit(rows)
    scene.publish()
    for file in (scene.stream / "_publisher" / "published").glob("*/*.parquet"):
        pq.write_table(pq.read_table(file, columns=["id"]), file)  # it kept ids alone
    scene.lake.commit([*rows[:5], *random_events(10, seed=2)])

    assert (scene.publish(), scene.correct()) == (10, 50)
    scene.assert_right()
    assert scene.both() == 0


def test_another_publishers_corrections_are_not_gone_on_with(scene, tmp_path):
    rows = random_events(20)
    scene.lake.commit(rows)
    scene.both()
    scene.lake.commit([{**row, "is_bot": not row["is_bot"]} for row in rows])
    scene.both()
    shutil.rmtree(scene.stream / "_publisher" / "corrections")

    with pytest.raises(Exception, match="another publisher"):
        scene.both()


class Killed(BaseException):
    """A kill, at a moment that a test has chosen."""


class Killer:
    """Ends what it watches at the n-th step, before or after the step is taken."""

    def __init__(self, monkeypatch):
        self.left = None
        for owner, name in (
            (journal, "replace_durably"),
            (journal, "write_durably"),
            (module, "replace_durably"),
            (Topic, "send"),
        ):
            monkeypatch.setattr(owner, name, self._watched(getattr(owner, name)))

    def _watched(self, act):
        def acting(*arguments):
            self._count()
            act(*arguments)
            self._count()

        return acting

    def _count(self):
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                self.left = None
                raise Killed


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_lakes_with_kills(scene, monkeypatch, seed):
    rng = random.Random(seed)
    killer = Killer(monkeypatch)
    for step in range(25):
        change(scene, rng, seed=100 * seed + step)
        killer.left = rng.choice([None, *range(1, 15)])
        try:
            scene.both()
        except Killed:
            continue
        finally:
            killer.left = None
        scene.assert_right()
    scene.both()
    scene.assert_right()
    events = read_folder(scene.stream)
    assert_each_says_something_new(events, [record[1:] for record in scene.topic.records])
    assert len(scene.topic.records) > 100


def change(scene, rng, seed):
    """A run of the job: new rows, some of them late; labels of some visitors change; one goes."""
    lake = scene.lake
    new = random_events(20, seed=seed, hours=24 * 50, visitors=15, after=rng.randrange(3))
    visitors = sorted({row["anonymous_user_id"] for row in lake.rows.values()})
    changed = set(rng.sample(visitors, k=min(len(visitors), rng.randrange(4))))
    lake.commit(new + [relabelled(row, rng) for row in lake.rows.values()
                       if row["anonymous_user_id"] in changed])  # fmt: skip
    if visitors and rng.random() < 0.2:
        visitor = rng.choice(visitors)
        scene.state.file_retractions([visitor])
        lake.forget(visitor)


def relabelled(row, rng):
    is_bot = rng.random() < 0.5
    reason = rng.choice(["agent", "rate"]) if is_bot else None
    session = f"{row['anonymous_user_id']}-{rng.randrange(3)}"
    return {**row, "is_bot": is_bot, "bot_reason": reason, "session_id": session}


HEADER = "anonymous_user_id,url,time,browser,os,screen_resolution\n"
TEN = 1522576800  # o'clock, on the first of April


def clicks(visitor, *minutes):
    lines = [
        f"{visitor},https://shop.example/{n},{TEN + int(60 * minute)},Firefox,Linux,\n"
        for n, minute in enumerate(minutes)
    ]
    return HEADER + "".join(lines)


@pytest.mark.slow
def test_late_rows_of_real_logs_join_sessions_and_make_bots(sail, tmp_path):
    """The job itself makes the lake; a second and a third file come late."""
    scene = Scene(tmp_path, root=tmp_path / "made")
    logs = tmp_path / "logs" / "Clickstream"
    logs.mkdir(parents=True)
    late = [
        clicks("v1", 0, 40, 41) + clicks("v2", 0, 1).removeprefix(HEADER),
        clicks("v1", 20),  # joins both sessions of v1
        clicks("v2", *(1 + n / 100 for n in range(80))),  # more than sixty in one minute
        clicks("v1", -10),  # moves the start of the session
    ]
    said = []
    for n, text in enumerate(late):
        (logs / f"{n}.csv").write_text(text)
        lakes.run(sail, tmp_path / "logs", scene.root, date(2018, 12, 31))
        said.append(scene.both())
        rows = [
            {k: v for k, v in row.items() if k not in ("year", "month")}
            for row in lakes._rows(scene.root, "clickstream")
        ]
        scene.assert_right(rows)
    assert len(rows) == 86
    assert said == [0, 2, 1, 4]


CLASHES = {
    "CORRECTIONS = c": "for a STREAM on Kafka alone",
    "CORRECTIONS = clicks\nSTREAM = kafka://b:9092/clicks": "a topic of its own",
    "CORRECTIONS = kafka://b:9092/c\nSTREAM = kafka://b:9092/clicks": "the name of a Kafka topic",
}


@pytest.mark.parametrize("text", CLASHES)
def test_a_topic_that_cannot_be_is_refused_in_words(text, tmp_path):
    (tmp_path / "dl.cfg").write_text(f"[STREAM]\n{text}\n")
    with pytest.raises(ConfigError, match=CLASHES[text]):
        config.load(tmp_path / "dl.cfg")
