"""What a consumer knows of the labels who has read both topics, apart from the product."""

from __future__ import annotations

import hashlib

from stream_support import key_of

LABELS = ("session_id", "is_bot", "bot_reason")


def id_of(row):
    """The event's id as docs/streaming.md and `messages.event_id` describe it."""
    parts = ["-" if text is None else f"{len(text)}:{text}," for text in key_of(row)]
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:32]


def labels(message):
    return tuple(message[name] for name in LABELS)


def in_lake(rows):
    return {id_of(row): labels(row) for row in rows}


def known(events, corrections):
    """{event id: labels}. `events`: messages; `corrections`: (key, message or None), as they came.

    The last correction of an event holds; one that was taken back leaves what the event said.
    """
    last = dict(corrections)
    return {
        event["event_id"]: labels(last.get(event["event_id"]) or event)
        for event in events
        if "event_id" in event
    }


def assert_each_says_something_new(events, corrections):
    """No correction repeats what was known before it."""
    said = {event["event_id"]: labels(event) for event in events if "event_id" in event}
    for key, message in corrections:
        told = labels(message) if message else None
        assert said.get(key, "nothing") != told, key
        said[key] = told
