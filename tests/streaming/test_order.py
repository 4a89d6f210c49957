"""Messages and their order: what is an event, and one order from many partitions."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clicklake.streaming.decoding import EVENTS, table_of
from clicklake.streaming.messages import BadMessageError, Event, event_id, parse
from clicklake.streaming.sequencer import Sequencer
from clicklake.streaming.stream import Incoming

GOOD = {
    "sequence": 7,
    "anonymous_user_id": "v1",
    "url": "https://shop.example/a?utm_source=mail",
    "time": "2018-04-30T22:00:00.000000Z",
    "browser": None,
    "os": "Linux",
    "screen_resolution": None,
    "path": "/a",
    "utm_source": "mail",
    "is_bot": False,
    "session_id": "s1",
}
KEY = ("anonymous_user_id", "url", "time", "browser", "os", "screen_resolution")


def message(**changes):
    fields = {**GOOD, **changes}
    key = tuple(fields[name] for name in KEY)
    try:
        fields.setdefault("event_id", event_id(key))
    except (TypeError, UnicodeEncodeError):
        fields.setdefault("event_id", "0" * 32)
    return json.dumps(fields).encode()


def test_a_good_message_is_an_event():
    assert parse(message()) == Event(7, GOOD["time"], "v1", "s1", "/a", "mail", False)


def test_white_space_around_a_message_is_nothing():
    assert parse(b" \n" + message() + b" \t") == parse(message())


@pytest.mark.parametrize(
    "body, reason",
    [
        (b"", "malformed_json"),
        (b"{", "malformed_json"),
        (b"[" * 100_000, "malformed_json"),
        (b'{"sequence": ' + b"9" * 5000 + b"}", "malformed_json"),
        (b"\xff\xfe", "invalid_utf8"),
        (b"[1]", "not_an_object"),
        (b"{}", "invalid_sequence"),
        (message(sequence="7"), "invalid_sequence"),
        (message(sequence=True), "invalid_sequence"),
        (message(sequence=0), "invalid_sequence"),
        (message(sequence=2**53 + 1), "invalid_sequence"),
        (message(session_id=None), "invalid_session_id"),
        (message(browser=3), "invalid_browser"),
        (message(time="2018-04-30 22:00:00.000000Z"), "invalid_time"),
        (message(time="2018-02-30T22:00:00.000000Z"), "invalid_time"),
        (message(time="2018-W01-1T22:00:00.000000Z"), "invalid_time"),
        (message(time="2018-04-30T22:00:60.000000Z"), "invalid_time"),
        (message(time="2018-04-30T22:60:00.000000Z"), "invalid_time"),
        (message(time="2018-04-30T22:00:00.00000\u0663Z"), "invalid_time"),
        (message(time="2018-04-30T22:00.00.000000Z"), "invalid_time"),
        (message() + b"x", "malformed_json"),
        (b"  ", "malformed_json"),
        (message(time="1999-12-31T23:59:59.999999Z"), "invalid_time"),
        (message(time="9999-12-31T23:59:59.999999Z"), "invalid_time"),
        (message(event_id="0" * 32), "wrong_event_id"),
        (message(event_id=event_id(tuple(GOOD[n] for n in KEY)), url="/b"), "wrong_event_id"),
        (message(url="\ud800"), "lone_surrogate"),
        (message(path="\ud800"), "lone_surrogate"),
    ],
)
def test_what_is_no_event_has_a_reason(body, reason):
    with pytest.raises(BadMessageError) as bad:
        parse(body)
    assert str(bad.value) == reason


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(list(GOOD)), inner),
    ).map(lambda value: json.dumps(value).encode())
)
def test_no_body_whatever_stops_the_reader(body):
    with pytest.raises(BadMessageError):
        parse(body)


def an_event(sequence):
    return Event(sequence, GOOD["time"], "v1", "s1", "/a", None, False)


@st.composite
def streams(draw):
    """Numbers 1 to n over some partitions, within each nearly in order, some doubled, some bad."""
    count = draw(st.integers(0, 60))
    order = sorted(range(1, count + 1), key=lambda n: n + draw(st.integers(0, 5)))
    partitions = [[] for _ in range(draw(st.integers(1, 4)))]
    for number in order:
        home = draw(st.sampled_from(partitions))
        home.append(number)
        if draw(st.integers(0, 9)) == 0:
            home.append(number)
        if draw(st.integers(0, 9)) == 0:
            home.append(None)
    return count, partitions


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(streams(), st.data())
def test_the_publishers_order_comes_out_whatever_is_read_when_and_however_often_it_restarts(
    stream, data
):
    count, partitions = stream
    stored_positions: dict[str, str] = {}
    passed: list[int] = []
    for is_last in [False] * data.draw(st.integers(0, 3)) + [True]:
        expected = passed[-1] + 1 if passed else 1
        sequencer = Sequencer(expected, dict(stored_positions), horizon=1000)
        at = [int(stored_positions.get(str(p), "-1")) + 1 for p in range(len(partitions))]
        while unread := [p for p in range(len(partitions)) if at[p] < len(partitions[p])]:
            if not is_last and data.draw(st.integers(0, 19)) == 0:
                break
            p = data.draw(st.sampled_from(unread))
            number = partitions[p][at[p]]
            incoming = Incoming(str(p), str(at[p]), b"")
            found = None if number is None else an_event(number)
            passed += taken(sequencer, incoming, found)
            at[p] += 1
        stored_positions = dict(sequencer.positions)

    assert passed == list(range(1, count + 1))
    assert sequencer.waiting == 0


def take(sequencer, partition, *numbers):
    found = []
    for number in numbers:
        incoming = Incoming(partition, str(number), b"")
        found += taken(sequencer, incoming, an_event(number))
    return found


def taken(sequencer, incoming, found):
    """The numbers that are passed on when a message is read, None for one that is no event."""
    events = table_of([found], [0]) if found else EVENTS.empty_table()
    return sequencer.take([incoming], events)["sequence"].to_pylist()


def skipped(sequencer, behind):
    return sequencer.skip_missing(behind)["sequence"].to_pylist()


def test_a_missing_event_is_waited_for_while_a_partition_may_still_bring_it():
    sequencer = Sequencer(1, {}, horizon=3)
    assert take(sequencer, "0", 1, 2, 4, 5, 6, 7, 8) == [1, 2]

    assert skipped(sequencer, behind=["0", "1"]) == []
    assert skipped(sequencer, behind=["0"]) == [4, 5, 6, 7, 8]
    assert sequencer.missing == 1
    assert sequencer.positions == {"0": "8"}


def test_a_few_events_wait_at_the_end_and_are_read_again_after_a_restart():
    sequencer = Sequencer(1, {}, horizon=3)
    take(sequencer, "0", 1, 3, 4)

    assert skipped(sequencer, behind=[]) == []
    assert (sequencer.waiting, sequencer.positions) == (2, {"0": "1"})


def test_a_partition_that_is_far_ahead_is_overtaken_the_one_that_is_waited_for_is_not():
    sequencer = Sequencer(1, {}, horizon=3)
    take(sequencer, "0", 2, 3, 4, 5, 6)
    take(sequencer, "1", 7)
    take(sequencer, "2", 1)

    assert sequencer.overtaken() == set()

    take(sequencer, "0", 9, 10, 13)
    assert (sequencer.expected, sequencer.overtaken()) == (8, {"0"})
