"""What is done to many messages at once, against one after the other in plain Python."""

import json
import random
import sqlite3
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clicklake.streaming import decoding, summarizer
from clicklake.streaming.database import connect
from clicklake.streaming.decoding import decode
from clicklake.streaming.folder import FolderSource
from clicklake.streaming.messages import BadMessageError, event_id, microseconds, parse
from clicklake.streaming.statistics import Progress, Statistics
from clicklake.streaming.summarizer import summarize
from stream_oracle import files_of, windows_of
from stream_support import key_of, random_events, time_text


@pytest.fixture(autouse=True)
def no_power_cut(monkeypatch):
    """A killed process loses nothing that it wrote, so its tests need not wait for the disk."""
    monkeypatch.setattr("os.fsync", lambda _: None)


def body_of(row, number, **changes):
    fields = {**row, "time": time_text(row["time"]), "sequence": number}
    fields |= {"event_id": event_id(key_of(row)), "publisher": "0" * 32, "publisher_since": 1}
    return json.dumps(fields | changes, ensure_ascii=False).encode()


def parsed(bodies):
    """What `parse` says of each message: its fields, or the reason why it is none."""
    found = []
    for body in bodies:
        try:
            one = parse(body)._asdict()
        except BadMessageError as bad:
            found.append(str(bad))
            continue
        if "time" in one:
            one["time"] = microseconds(one["time"])
        mark = one.pop("mark")
        # Arrow holds no halves of surrogate pairs, which no publisher's id has.
        publisher = mark.publisher.encode(errors="replace").decode() if mark else None
        found.append({**one, "publisher": publisher})
    return found


def decoded(bodies):
    events, bad = decode(bodies)
    found = {row["row"]: row for row in events.to_pylist()}
    assert list(found) == sorted(found)
    assert not found.keys() & bad.keys()
    return [bad[n] if n in bad else found[n] for n in range(len(bodies))]


def assert_agree(bodies):
    for one, expected in zip(decoded(bodies), parsed(bodies), strict=True):
        if isinstance(expected, str):
            assert one == expected
        else:
            assert {name: one[name] for name in expected} == expected


ROWS = random_events(60, hours=50)
ODD = [
    b"",
    b" ",
    b"\n",
    b"{",
    b"{}{}",
    b"[1]",
    b"\xff",
    b"{}",
    b'{"retracts": null, "sequence": 3}',
    b'{"retracts": "00"}',
    b'{"retr\\u0061cts": "00"}',
    b'{"x": "\xff"}',
    b'\xef\xbb\xbf{"x": 1}',
    b'{"x": ' + b"[" * 5000 + b"]" * 5000 + b"}",
]
CHANGES = [
    {"sequence": 7.0},
    {"sequence": "7"},
    {"sequence": True},
    {"sequence": 0},
    {"sequence": 2**53 + 1},
    {"sequence": 2**70},
    {"time": "2018-02-30T22:00:00.000000Z"},
    {"time": "2018-04-30T22:00:60.000000Z"},
    {"time": "2018-04-30 22:00:00.000000Z"},
    {"time": "1999-12-31T23:59:59.999999Z"},
    {"time": "9000-01-01T00:00:00.000000Z"},
    {"time": None},
    {"is_bot": 1},
    {"is_bot": None},
    {"path": None},
    {"path": "\ud800"},
    {"path": ["/a"]},
    {"path": "/{x}"},
    {"path": "a\nb\\u"},
    {"session_id": None},
    {"session_id": ""},
    {"utm_source": 5},
    {"utm_source": ""},
    {"browser": 3},
    {"url": "https://other.example/"},
    {"event_id": "0" * 32},
    {"event_id": None},
    {"publisher": 5},
    {"publisher": None},
    {"publisher": "\ud800"},
    {"publisher_since": "1"},
    {"publisher_since": None},
    {"more": {"path": "/b"}},
    {"retracts": None},
    {"retracts": "00"},
]


def changed(row, changes):
    """An event with other fields, and with the id that they give where they are texts."""
    fields = json.loads(body_of(row, 5)) | changes
    with suppress(TypeError):
        fields["event_id"] = event_id(key_of(fields))
    return json.dumps(fields | changes, ensure_ascii=changes.get("path") == "\ud800").encode(
        errors="surrogatepass"
    )


def nested(row, begin, end):
    return body_of(row, 5)[:-1] + b', "x": ' + begin * 5000 + b"1" + end * 5000 + b"}"


LINES = st.one_of(
    st.builds(body_of, st.sampled_from(ROWS), st.integers(1, 2**53)),
    st.sampled_from(ODD),
    st.builds(changed, st.sampled_from(ROWS), st.sampled_from(CHANGES)),
    st.builds(nested, st.sampled_from(ROWS), st.just(b'{"x":'), st.just(b"}")),
    st.builds(nested, st.sampled_from(ROWS), st.just(b"["), st.just(b"]")),
    st.builds(lambda row: body_of(row, 5)[:-1] + b', "path": "/twice"}', st.sampled_from(ROWS)),
    st.builds(lambda row: body_of(row, 5) + b"\n" + body_of(row, 6), st.sampled_from(ROWS)),
    st.builds(lambda row: b"\r\n " + body_of(row, 5) + b"\t", st.sampled_from(ROWS)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(LINES, max_size=12))
def test_messages_read_together_are_what_parse_says_of_each(bodies):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "_FEW", 1)
        patch.setattr(decoding, "_PARTS", 2)
        assert_agree(bodies)


@pytest.mark.parametrize("change", [None, *CHANGES])
def test_a_single_message_is_read_as_parse_does(change, monkeypatch):
    monkeypatch.setattr(decoding, "_FEW", 1)
    assert_agree([changed({**ROWS[0], "browser": None}, change or {})])


@pytest.mark.parametrize("brackets", [(b'{"x":', b"}"), (b"[", b"]")])
def test_what_is_nested_too_deep_for_parse_is_no_event(brackets, monkeypatch):
    monkeypatch.setattr(decoding, "_FEW", 1)
    assert_agree([nested({**ROWS[0], "browser": None}, *brackets)])


def test_usual_messages_are_read_together(monkeypatch):
    bodies = [body_of({**row, "browser": "Süd"}, n) for n, row in enumerate(ROWS, 1)]
    expected = parsed(bodies)
    monkeypatch.setattr(decoding, "parse", None)

    assert [row["publisher"] for row in decoded(bodies)] == [row["publisher"] for row in expected]


def test_a_bad_message_among_many_leaves_most_to_be_read_together(monkeypatch):
    bodies = [body_of({**ROWS[0], "browser": None}, n) for n in range(1, 2001)]
    bodies[777] = b'{"x": }'
    alone = []
    monkeypatch.setattr(decoding, "parse", lambda body: alone.append(body) or parse(body))

    assert decode(bodies)[1] == {777: "malformed_json"}
    assert len(alone) < 600


def disturbed(seed):
    """Events of some days, mostly in the order of time, of few and of many names."""
    rng = random.Random(seed)
    rows = random_events(4000, seed=seed, hours=60, visitors=rng.choice([3, 500]))
    for row in rows:
        row["path"] = f"/{rng.choice(['ä', 'z', '😀', '￿'])}{rng.randrange(40)}"
    rows.sort(key=lambda row: row["time"] + timedelta(minutes=rng.choice([0, 0, 0, 50, 300])))
    return rows


@pytest.mark.parametrize("at_once", [250, 1000, 50_000])
@pytest.mark.parametrize("lateness", [0, 60, 1500])
def test_files_windows_and_tops_are_those_counted_one_by_one(
    tmp_path, monkeypatch, at_once, lateness
):
    rows = disturbed(seed=lateness)
    stream = tmp_path / "stream"
    stream.mkdir()
    for first in range(0, len(rows), 1500):
        lines = [body_of(row, n) for n, row in enumerate(rows[first : first + 1500], first + 1)]
        (stream / f"{first + 1:015d}.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    monkeypatch.setattr("clicklake.streaming.folder._POLL_LINES", at_once // 2)
    monkeypatch.setattr(summarizer, "_COMMIT_EVENTS", at_once)

    database = connect(f"sqlite:///{tmp_path / 'statistics.sqlite'}")
    progress = Progress("clicks", 300, lateness)
    done = summarize(FolderSource(stream), Statistics(database), tmp_path, progress)
    database.close()

    windows, tops = windows_of(rows, lateness)
    found = sqlite3.connect(tmp_path / "statistics.sqlite")
    assert done.events == len(rows)
    assert sorted(found.execute("SELECT * FROM stream_windows")) == windows
    assert sorted(found.execute("SELECT * FROM stream_tops")) == tops
    assert {f.name: f.read_bytes() for f in tmp_path.glob("*.json")} == files_of(rows, 300)
