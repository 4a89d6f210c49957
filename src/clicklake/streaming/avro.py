"""Messages in Avro: a zero byte, the schema's id in the registry (four bytes), the record.

That is Confluent's wire format. The schema follows from the message's declaration. Of two releases
each reads what the other has written: a column is found by its name, and one that is not there is
null, or as Avro's default has it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa

from clicklake.derive.fields import meaning
from clicklake.schemas import CLICKSTREAM
from clicklake.streaming.messages import CORRECTION, MESSAGE, time_text
from clicklake.streaming.registry import Registry

MAGIC = b"\0"
_HEAD = 5  # bytes before the record
_ASK_AGAIN_SECONDS = 10.0  # for a schema that the registry did not know, and a stranger's message
_TIME = {"type": "long", "logicalType": "timestamp-micros"}
_TYPES: dict[pa.DataType, tuple[Any, Any]] = {  # Avro's type, and the value of what is not there
    pa.string(): ("string", ""),
    pa.int64(): ("long", 0),
    pa.bool_(): ("boolean", False),
    pa.timestamp("us", tz="UTC"): (_TIME, 0),
}
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_PRIMITIVES = {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}


class UnreadableError(Exception):
    """Bytes that nobody can tell the meaning of; its text is the reason."""

    def __init__(self, reason: str, schema_id: int) -> None:
        super().__init__(reason)
        self.schema_id = schema_id


class UnknownSchemaError(UnreadableError):
    """The registry does not know the schema."""


def schema_of(name: str, columns: pa.Schema, key: Collection[str]) -> dict[str, Any]:
    """The Avro schema of messages with these columns; those of `key` are there in any release."""
    fields = [_field(column, column.name in key) for column in columns]
    return {"type": "record", "name": name, "namespace": "clicklake", "fields": fields}


def _field(column: pa.Field, is_key: bool) -> dict[str, Any]:
    type_, default = _TYPES[column.type]
    field = {"name": column.name, "doc": meaning(column)}
    if column.nullable:
        return {**field, "type": ["null", type_], "default": None}
    return {**field, "type": type_, **({} if is_key else {"default": default})}


EVENT = schema_of("clickstream", MESSAGE, ("sequence", "event_id", *CLICKSTREAM.key))
CORRECTED = schema_of("correction", CORRECTION, ("sequence", "event_id"))


class Avro:
    """The format of what is sent to a topic. Its schema is registered before the first message."""

    content_type = b"application/avro"

    def __init__(self, registry: Registry, topic: str, schema: dict[str, Any]) -> None:
        import fastavro

        self._registry = registry
        self._subject = f"{topic}-value"
        self._text = json.dumps(schema)
        self._schema = fastavro.parse_schema(_plain(self._text))
        self._write = fastavro.schemaless_writer
        self._times = _times_of(schema)
        self._head = b""

    def encode(self, bodies: Sequence[bytes]) -> Sequence[bytes]:
        if not self._head:
            id_ = self._registry.register(self._subject, self._text)
            self._head = MAGIC + id_.to_bytes(4, "big")
        records = list(map(json.loads, map(bytes.decode, bodies)))
        for name in self._times:
            texts = [record[name][:-1] for record in records]
            numbers = np.array(texts, "datetime64[us]").astype(np.int64).tolist()
            for record, number in zip(records, numbers, strict=True):
                record[name] = number
        return list(map(self._encoded, records))

    def _encoded(self, record: dict[str, Any]) -> bytes:
        out = BytesIO()
        out.write(self._head)
        self._write(out, self._schema, record)
        return out.getvalue()


class AvroReader:
    """Reads what was written with any schema of the registry that the one given can follow."""

    def __init__(self, registry: Registry, schema: dict[str, Any]) -> None:
        import fastavro

        self._registry = registry
        self._own = fastavro.parse_schema(_plain(json.dumps(schema)))
        self._times = _times_of(schema)
        self._schemas: dict[int, Any] = {}  # by id; None where it is not of messages
        self._unknown: dict[int, float] = {}  # when the registry said so, by id
        self._read, self._mismatch = fastavro.schemaless_reader, fastavro.read.SchemaResolutionError

    def read(self, value: bytes, is_own: bool) -> bytes:
        """A message as JSON. `is_own`: whether it has the publisher's mark.

        Raises UnreadableError if it cannot be read, AccessError if the registry does not answer.
        """
        id_ = int.from_bytes(value[1:_HEAD], "big")
        if len(value) < _HEAD:
            raise UnreadableError("undecodable_avro", id_)
        if (writer := self._schema(id_, is_own)) is None:
            raise UnreadableError("other_schema", id_)
        rest = BytesIO(value)
        rest.seek(_HEAD)
        try:
            record: Any = self._read(rest, writer, None if writer is self._own else self._own)
            for name in self._times:
                record[name] = time_text(record[name])
        except self._mismatch:
            raise UnreadableError("other_schema", id_) from None
        except Exception:  # whatever somebody's bytes lead it to
            raise UnreadableError("undecodable_avro", id_) from None
        if rest.tell() != len(value):
            raise UnreadableError("undecodable_avro", id_)
        return _to_json(record).encode()

    def _schema(self, id_: int, is_own: bool) -> Any:
        """The schema of an id, None if it is not of messages."""
        if id_ not in self._schemas:
            if not is_own and time.monotonic() < self._unknown.get(id_, 0.0) + _ASK_AGAIN_SECONDS:
                raise UnknownSchemaError("unknown_schema", id_)
            text = self._registry.schema(id_)
            if text is None:
                self._unknown[id_] = time.monotonic()
                raise UnknownSchemaError("unknown_schema", id_)
            self._schemas[id_] = self._understood(text)
        return self._schemas[id_]

    def _understood(self, text: str) -> Any:
        """A schema of single values alone: what others nest may have no end."""
        import fastavro

        try:
            schema = _plain(text)
            if not all(map(_is_single, schema["fields"])):
                return None
            parsed = fastavro.parse_schema(schema)
        except Exception:  # whatever somebody's schema leads it to
            return None
        return self._own if parsed == self._own else parsed


def _times_of(schema: dict[str, Any]) -> list[str]:
    return [field["name"] for field in schema["fields"] if field["type"] == _TIME]


def _is_single(field: dict[str, Any]) -> bool:
    kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
    return all(isinstance(kind, str) and kind in _PRIMITIVES for kind in kinds)


def _plain(text: str) -> Any:
    """A schema by which a time is read and written as its number."""
    return json.loads(text, object_hook=_without_meaning)


def _without_meaning(part: dict[str, Any]) -> Any:
    kept = {name: value for name, value in part.items() if name not in ("logicalType", "doc")}
    return kept["type"] if kept.keys() == {"type"} else kept
