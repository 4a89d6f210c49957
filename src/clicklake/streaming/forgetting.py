"""A forgotten person and the stream: their events are taken back, and what is held of them goes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from clicklake.config import Config
from clicklake.errors import ClicklakeError, LeaseHeldError
from clicklake.streaming.correcting import correct, noted_topic
from clicklake.streaming.database import connect, is_there
from clicklake.streaming.identity import states
from clicklake.streaming.lock import held
from clicklake.streaming.messages import digest_of
from clicklake.streaming.opening import open_sink
from clicklake.streaming.publisher import retract
from clicklake.streaming.state import State
from clicklake.streaming.statistics import Statistics, database_url
from clicklake.streaming.stream import Address, parse_address

_PATIENCE = 20.0  # seconds; what cannot be sent waits for the next publication


def note(config: Config, visitors: Collection[str]) -> None:
    """Note for every stream that was ever published to that these visitors are to be taken back.

    To be called before the lake forgets them: after that nobody could tell who they were.
    """
    for state in states(config) if visitors else ():
        if state.published().sequence or state.pending():
            state.file_retractions(visitors)


def take_back(
    config: Config, visitors: Collection[str], is_named: Callable[[str], bool]
) -> list[str]:
    """Clean the statistics and send what was noted; returns what is left to do, in words.

    `is_named`: whether a text names a forgotten person.
    """
    # A call that was killed may have left some that the lake no longer knows.
    noted = (state.retracting() for state in states(config))
    digests = set(map(digest_of, visitors)).union(*noted)
    left = []
    try:
        _clean(config, digests, is_named)
    except LeaseHeldError:
        left.append(
            "summarize is at work, and will take the person back when it reads so from the stream. "
            "Once it has ended, say this again, for the messages that it has quarantined."
        )
    except ClicklakeError as error:
        left.append(f"The statistics of the stream still hold the person: {error} Say this again.")
    return left + [told for state in states(config) if (told := _send(config, state))]


def _send(config: Config, state: State) -> str:
    """Publish a state's retractions; what is left to do, "" if nothing."""
    topic = noted_topic(state)
    if not state.retracting() and topic is None:
        return ""
    address = _address(config, state)
    if address is None:
        return f"{state.folder}: say where this stream is: stream.py publish --stream ADDRESS"
    try:
        with held(state.folder, "publisher"):
            sink = open_sink(address, state.folder, config)
            try:
                retract(state, sink, patience=_PATIENCE)
            finally:
                sink.close()
            if topic is not None:
                correct(config, state, topic, patience=_PATIENCE)
    except ClicklakeError as error:
        again = f"stream.py publish --stream {address}"
        return f"The person's events are not yet taken back from {address}: {error} Run {again}"
    return ""


def _address(config: Config, state: State) -> Address | None:
    configured = parse_address(config.stream.stream)
    if configured.kind == "folder" and state.folder.parent == Path(configured.name):
        return configured
    if known := state.stream().get("address"):
        return parse_address(known)
    return configured if state.folder.name == configured.slug else None


def _clean(config: Config, digests: set[str], is_named: Callable[[str], bool]) -> None:
    url = database_url(config)
    if not is_there(url):
        return
    with held(Path(config.stream.summaries), "summarizer"):
        database = connect(url)
        try:
            Statistics(database).forget(digests, is_named)
        finally:
            database.close()
