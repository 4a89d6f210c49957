"""Which stream it is, however its address is spelled, and the publisher's folder for it."""

from __future__ import annotations

from pathlib import Path

from clicklake.config import Config
from clicklake.errors import InputError
from clicklake.streaming.marks import Mark
from clicklake.streaming.state import State
from clicklake.streaming.stream import Address, parse_address


def identity(address: Address, config: Config) -> str:
    """What stays the same when a stream's address changes; "" if nothing tells.

    The cluster's and the topic's id of Kafka, the ARN of Kinesis; of a folder the id of its
    publisher. A Kafka topic is made if there is none.
    """
    if address.kind == "kafka":
        from clicklake.streaming.kafka_client import client_settings, create_topic, identity_of

        settings = client_settings(address.servers, config.stream.kafka_properties)
        create_topic(settings, address.name)
        return identity_of(settings, address.name)
    if address.kind == "kinesis":
        from clicklake.streaming.kinesis_client import arn_of, client

        return arn_of(client(config), address.name)
    mark = State(_own_folder(address)).mark()
    return f"folder:{mark.publisher}" if mark else ""


def publisher_state(address: Address, name: str, config: Config, adopt: str = "") -> State:
    """The publisher's state for the stream `name`, its identity.

    `adopt`: an address that the same stream had before. Raises InputError if the state that is
    there is of another stream.
    """
    state = _state_of(address, name, config)
    known = state.stream().get("identity")
    if address.kind == "folder" or known == name:
        return state
    if adopt:
        return _adopted(config, str(parse_address(adopt)))
    if known:
        raise InputError(
            f"{state.folder} belongs to another stream, which was at {address} before. If this is "
            f"the same one, restored or moved: --adopt {address}. If it is a new one, move that "
            "folder away."
        )
    return state


def known_mark(address: Address, name: str, config: Config) -> Mark | None:
    """The mark of the stream's publisher, if its state is on this machine."""
    state = _state_of(address, name, config)
    return state.mark() if state.stream().get("identity", name) == name else None


def _state_of(address: Address, name: str, config: Config) -> State:
    """Where the state is or would be: in the stream, if that is a folder, so that they move
    together; else the one with that identity, or the one that was at the address last."""
    if address.kind == "folder":
        return State(_own_folder(address))
    for key, value in (("identity", name), ("address", str(address))):
        for state in _states(config):
            if state.stream().get(key) == value:
                return state
    return State(Path(config.stream.state) / address.slug)


def states(config: Config) -> list[State]:
    """The publisher's state of every stream that was published to from here."""
    address = parse_address(config.stream.stream)
    own = State(_own_folder(address)) if address.kind == "folder" else None
    return [*([own] if own and own.folder.is_dir() else []), *_states(config)]


def _adopted(config: Config, address: str) -> State:
    slug = parse_address(address).slug
    for state in _states(config):
        if state.stream().get("address") == address or state.folder.name == slug:
            return state
    raise InputError(f"--adopt: nothing in {config.stream.state} was published to {address}.")


def _states(config: Config) -> list[State]:
    folders = sorted(Path(config.stream.state).glob("*"))
    return [State(folder) for folder in folders if folder.is_dir()]


def _own_folder(address: Address) -> Path:
    return Path(address.name) / "_publisher"
