"""The topic of corrections of one stream, brought up to what the lake says."""

from __future__ import annotations

from clicklake.config import Config
from clicklake.errors import InputError
from clicklake.lake import open_snapshot
from clicklake.streaming.corrections import Corrections
from clicklake.streaming.identity import identity
from clicklake.streaming.opening import open_corrections
from clicklake.streaming.publisher import correct as _correct
from clicklake.streaming.state import State
from clicklake.streaming.stream import Address, parse_address


def topic_of(config: Config) -> Address | None:
    """Where the corrections of the configured stream go; None if there are to be none."""
    stream = parse_address(config.stream.stream)
    topic = config.stream.corrections
    return Address("kafka", topic, stream.servers) if topic else None


def noted_topic(state: State) -> Address | None:
    """Where the corrections of a stream went, if there ever were any."""
    address = Corrections(state).stream().get("address")
    return parse_address(address) if address else None


def correct(
    config: Config, state: State, topic: Address, *, adopted: bool = False, patience: float = 120
) -> int:
    """Publish the corrections of what `state` has published; how many there were.

    Nothing else of `state` may be under way. `adopted`: whether the topic may be another one than
    before. Raises InputError if it is without that, and what `publish` raises.
    """
    corrections = Corrections(state)
    sink = open_corrections(topic, config)
    try:
        name = identity(topic, config)
        known = corrections.stream().get("identity", name)
        if known != name and not adopted:
            raise InputError(
                f"{corrections.folder} belongs to another topic of corrections, which was at "
                f"{corrections.stream()['address']}. If this is the same one, restored or moved, "
                "say --adopt with the stream's former address; if it is a new one, move that "
                "folder away, and all that differs is published to it."
            )
        corrections.note_stream(name, str(topic))
        lake = config.datalake.output_data
        return _correct(lambda: open_snapshot(lake), corrections, sink, patience=patience)
    finally:
        sink.close()
