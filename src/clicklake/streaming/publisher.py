"""Put every clean event of the lake onto the stream once, in time order per visitor."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from clicklake.errors import AccessError, InputError
from clicklake.lake import Snapshot
from clicklake.streaming.corrections import Corrections
from clicklake.streaming.journal import Journal
from clicklake.streaming.outbox import Outbox
from clicklake.streaming.state import State
from clicklake.streaming.stream import Position, Sink, StreamBrokenError, taken

log = logging.getLogger(__name__)

_LONGEST_PAUSE = 10.0


@dataclass(frozen=True)
class Publication:
    """What a call of `publish` put onto the stream: events `first` to `last`, if any.

    `corrections`: how many it put onto the topic for these.
    """

    events: int
    first: int
    last: int
    run_id: str
    corrections: int = 0


def publish(
    read_snapshot: Callable[[], Snapshot], state: State, sink: Sink, *, patience: float = 120
) -> Publication:
    """Publish the lake's events that are not on the stream, after what a killed call left undone.

    `patience`: for how many seconds a stream that fails is tried again.
    Raises InputError if the stream holds events that this state does not know of, AccessError if
    the stream stays out of reach, LeaseHeldError if another publisher has taken it over.
    """
    start = state.published().sequence
    sending = _Sending(state, sink, patience)
    sending.finish_pending()
    sending.take_back(state)
    if (outbox := _prepared(read_snapshot, state)) is not None:
        sending.deliver(outbox)
    end = state.published()
    events = end.sequence - start - sending.retractions
    return Publication(events, start + 1, end.sequence, end.run_id)


def retract(state: State, sink: Sink, *, patience: float = 120) -> None:
    """Finish what was decided before, and publish the retractions that wait in the state.

    Raises what `publish` raises.
    """
    sending = _Sending(state, sink, patience)
    sending.finish_pending()
    sending.take_back(state)


def correct(
    read_snapshot: Callable[[], Snapshot],
    corrections: Corrections,
    sink: Sink,
    *,
    patience: float = 120,
) -> int:
    """Publish what the lake says of published events and the stream does not; how many.

    To be called when nothing of the stream itself is under way. Raises what `publish` raises.
    """
    start = corrections.published().sequence
    sending = _Sending(corrections, sink, patience)
    sending.finish_pending()
    if (outbox := _prepared(read_snapshot, corrections)) is not None:
        sending.deliver(outbox)
    return corrections.published().sequence - start


class _Sending:
    """A publisher that has its stream."""

    def __init__(self, state: Journal, sink: Sink, patience: float) -> None:
        self._state = state
        self._sink = sink
        self._trying = _Patience(patience)
        self.retractions = 0
        sink.mark = state.mark()
        # A publisher that will be refused must not shut out the one whose stream it is.
        _refuse_other_publisher(state, _asked(sink.peek, self._trying))
        self._position = _asked(sink.position, self._trying)
        _refuse_other_publisher(state, self._position)
        sink.mark = sink.mark or state.begin()

    def finish_pending(self) -> None:
        """Deliver what a killed call left."""
        if (left := self._state.pending()) is not None:
            log.info("Finishing publication %d.", left.after.publication)
            self.deliver(left)

    def take_back(self, state: State) -> None:
        """Deliver retractions, before anything that is new."""
        if (outbox := state.prepare_retractions()) is not None:
            self.deliver(outbox)

    def deliver(self, outbox: Outbox) -> None:
        self._trying.restart()
        _deliver(outbox, self._state, self._sink, self._position, self._trying)
        if digests := outbox.retracted():
            self._sink.redact(digests)
            self.retractions += len(digests)
        self._state.finish(outbox)
        self._position = Position(outbox.after.sequence)


def _prepared(read_snapshot: Callable[[], Snapshot], state: Journal) -> Outbox | None:
    """A run of the job may replace the files of a snapshot while they are read: take the next."""
    snapshot = read_snapshot()
    while True:
        try:
            return state.prepare(snapshot)
        except FileNotFoundError as error:
            newer = read_snapshot()
            if newer.seq == snapshot.seq:
                raise InputError(
                    f"The lake's manifest names a file that is not there ({error}). "
                    "Run scripts/etl.py again, which repairs the lake."
                ) from None
            snapshot = newer


def _refuse_other_publisher(state: Journal, found: Position) -> None:
    pending = state.pending()
    known = pending.after.sequence if pending else state.published().sequence
    if found.sequence > known:
        raise InputError(
            f"The stream holds events up to number {found.sequence}, but {state.folder} knows of "
            f"{known} only: another publisher wrote it, or that folder was replaced. Bring the "
            "folder back, name the address that it was made for (--adopt), or publish to a new "
            "stream."
        )
    _refuse_other_event(state, pending, found)


def _refuse_other_event(state: Journal, outbox: Outbox | None, found: Position) -> None:
    """The event at the stream's end must be the one that this publisher gave that number."""
    published = state.published()
    expected = ""
    if outbox is not None and outbox.first <= found.sequence <= outbox.after.sequence:
        expected = outbox.event_id(found.sequence)
    elif found.sequence == published.sequence:
        expected = published.last_id
    elif found.sequence > published.sequence:
        raise taken(str(state.folder))
    if expected and found.event_id and expected != found.event_id:
        raise taken(str(state.folder))


def _deliver(
    outbox: Outbox, state: Journal, sink: Sink, position: Position, patience: _Patience
) -> None:
    """Send the outbox from where the stream is; where the stream fails, ask it and go on.

    The stream is asked for its end after a failure only: to ask is to take it over.
    """
    while True:
        after = max(outbox.first - 1, position.sequence)
        try:
            for chunk in outbox.chunks(after, sink.chunk):
                sink.send(chunk)
                patience.restart()
        except StreamBrokenError as error:
            patience.wait(error)
            position = _asked(sink.position, patience)
            _refuse_other_event(state, outbox, position)
        else:
            return


def _asked(ask: Callable[[], Position], patience: _Patience) -> Position:
    while True:
        try:
            return ask()
        except StreamBrokenError as error:
            patience.wait(error)


class _Patience:
    """How long a stream that fails is tried again, counted from the last success."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.restart()

    def restart(self) -> None:
        self._deadline = time.monotonic() + self._seconds
        self._pause = 0.1

    def wait(self, error: StreamBrokenError) -> None:
        if time.monotonic() > self._deadline:
            raise AccessError(
                f"The stream cannot be written: {error}. What is on it stays; start this again "
                "when it can, and it goes on from there."
            ) from None
        log.warning("The stream broke off (%s); trying again.", error)
        time.sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
