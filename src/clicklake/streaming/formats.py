"""How a message is written to Kafka: as JSON, or in Avro.

Inside, a message is JSON, whatever its format on the topic: that is what was decided to be sent,
and what every reader here understands.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import NamedTuple, Protocol

from clicklake.errors import AccessError, ConfigError
from clicklake.streaming.avro import MAGIC, AvroReader, UnknownSchemaError, UnreadableError
from clicklake.streaming.marks import Mark


class Format(Protocol):
    content_type: bytes

    def encode(self, bodies: Sequence[bytes]) -> Sequence[bytes]:
        """Messages of JSON as they are sent."""
        ...


class Json:
    content_type = b"application/json"

    def encode(self, bodies: Sequence[bytes]) -> Sequence[bytes]:
        return bodies


JSON = Json()


class Read(NamedTuple):
    """A message as JSON; or why it cannot be read, and what there is to say of it."""

    body: bytes
    fault: str = ""


class Reader:
    """Reads each message as it is: JSON does not begin with the zero byte that Avro begins with."""

    def __init__(self, avro: AvroReader | None = None) -> None:
        """`avro`: None where no registry is named."""
        self._avro = avro

    def read(
        self, values: Sequence[bytes], marks: Sequence[Mark | None], own: Mark | None
    ) -> list[Read]:
        """`marks`: those of their headers. `own`: the publisher's, where it is known.

        Raises ConfigError or AccessError where the publisher's own messages cannot be read for
        want of the registry: they would be set aside and passed over.
        """
        if not any(map(bytes.startswith, values, repeat(MAGIC))):
            return list(map(Read, values))
        return [
            self._read(value, mark is not None and (own is None or mark == own))
            if value.startswith(MAGIC)
            else Read(value)
            for value, mark in zip(values, marks, strict=True)
        ]

    def _read(self, value: bytes, is_own: bool) -> Read:
        if self._avro is None:
            if is_own:
                raise ConfigError(
                    "The messages of this stream are in Avro: name the schema registry that they "
                    "were published with, [STREAM] SCHEMA_REGISTRY."
                )
            return Read(value)
        try:
            return Read(self._avro.read(value, is_own))
        except UnreadableError as error:
            if is_own and isinstance(error, UnknownSchemaError):
                raise AccessError(
                    f"The schema registry does not know schema {error.schema_id}, which messages "
                    "of the publisher have. Check [STREAM] SCHEMA_REGISTRY: it must be the one "
                    "that they were published with."
                ) from None
            # Not the bytes: nobody could tell whom they name.
            about = f"{len(value)} bytes of Avro, schema {error.schema_id}"
            return Read(about.encode(), str(error))
