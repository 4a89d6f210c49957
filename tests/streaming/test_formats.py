"""Messages in Avro by themselves, and what becomes of a registry's answers."""

import base64
import io
import json
import struct
from datetime import UTC

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clicklake import config
from clicklake.errors import AccessError, ConfigError
from clicklake.schemas import CLICKSTREAM
from clicklake.streaming.avro import EVENT, Avro, AvroReader
from clicklake.streaming.formats import Read, Reader
from clicklake.streaming.marks import Mark
from clicklake.streaming.messages import event_id
from clicklake.streaming.registry import Registry
from schema_registry import answering
from stream_support import event, key_of, random_events, time_text

OURS, THEIRS = Mark("0" * 32, 1), Mark("f" * 32, 1)


class Known:
    """A registry that answers from memory."""

    def __init__(self, **schemas):
        self.schemas = {int(id_[1:]): schema for id_, schema in schemas.items()}
        self.asked = 0

    def register(self, subject, schema):
        assert subject == "clicks-value"
        self.schemas[7] = json.loads(schema)
        return 7

    def schema(self, id_):
        self.asked += 1
        found = self.schemas.get(id_)
        return found if found is None or isinstance(found, str) else json.dumps(found)


def message(row, sequence=1):
    """A row of the lake as a message of JSON, made apart from the product."""
    fields = {"sequence": sequence, "event_id": event_id(key_of(row)), **row}
    return json.dumps({**fields, "time": time_text(row["time"])}).encode()


def written(schema, record, id_=7):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), record)
    return b"\0" + struct.pack(">I", id_) + out.getvalue()


def readable(row, **more):
    """A row as a record of Avro."""
    return {"sequence": 1, "event_id": event_id(key_of(row)), **row, **more}


def test_another_reader_of_avro_finds_the_lakes_rows():
    rows = random_events(50)
    values = Avro(Known(), "clicks", EVENT).encode([message(row, 5) for row in rows])

    for row, value in zip(rows, values, strict=True):
        assert value[:5] == b"\0\0\0\0\7"
        found = fastavro.schemaless_reader(io.BytesIO(value[5:]), fastavro.parse_schema(EVENT))
        assert found == readable(row, sequence=5)
        assert found["time"].tzinfo == UTC


texts = st.text(st.characters(exclude_categories=("Cs",)))
rows = st.builds(
    event,
    visitor=texts,
    at=st.floats(-1e6, 1e9),
    url=texts,
    os=st.none() | texts,
    screen_width=st.none() | st.integers(-(2**63), 2**63 - 1),
    is_bot=st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(rows, max_size=5))
def test_what_was_written_is_read_again(found):
    bodies = [message(row) for row in found]
    known = Known()
    values = Avro(known, "clicks", EVENT).encode(bodies)

    read = Reader(AvroReader(known, EVENT)).read(values, [OURS] * len(values), OURS)

    assert [(json.loads(one.body), one.fault) for one in read] == [
        (json.loads(body), "") for body in bodies
    ]


def without(schema, *names):
    return {**schema, "fields": [f for f in schema["fields"] if f["name"] not in names]}


def with_field(schema, **field):
    return {**schema, "fields": [*schema["fields"], field]}


CHANGES = {
    "a column that may be null was not there yet": (without(EVENT, "bot_reason"), {}),
    "a column that is never null was not there yet": (without(EVENT, "path"), {"path": ""}),
    "a column of a later release": (
        with_field(EVENT, name="utm_term", type=["null", "string"], default=None),
        {},
    ),
    "other words of its meaning": (
        {**EVENT, "fields": [{**field, "doc": "other"} for field in EVENT["fields"]]},
        {},
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_message_of_another_release_is_read(change):
    schema, instead = CHANGES[change]
    row = event(browser="Firefox", utm_source="Süd", path="/a")
    value = written(schema, readable(row, utm_term="x"))

    [read] = Reader(AvroReader(Known(_7=schema), EVENT)).read([value], [OURS], OURS)

    assert read.fault == ""
    assert json.loads(read.body) == json.loads(message(row)) | instead


SOUND = written(EVENT, readable(event()))
NESTED = {"type": "record", "name": "clicklake.clickstream", "fields": [
    {"name": "sequence", "type": "long"},
    {"name": "endless", "type": {"type": "array", "items": "null"}},
]}  # fmt: skip
UNREADABLE = {
    "no bytes of an id": (b"\0\0", "undecodable_avro", 0),
    "no record": (SOUND[:5], "undecodable_avro", 7),
    "cut short": (SOUND[:-1], "undecodable_avro", 7),
    "something after it": (SOUND + b"x", "undecodable_avro", 7),
    "no text": (SOUND[:5] + b"\x02\x04\xff\xfe" + SOUND[9:], "undecodable_avro", 7),
    "a schema that the registry has not": (b"\0\0\0\0\x63" + SOUND[5:], "unknown_schema", 99),
    "a schema of something else": (b"\0\0\0\0\x01\x06", "other_schema", 1),
    "a record of another name": (b"\0\0\0\0\x02" + SOUND[5:], "other_schema", 2),
    "a schema that nests": (b"\0\0\0\0\x03\x02\xff\xff\xff\xff\xff\xff\x7f", "other_schema", 3),
    "a schema that is none": (b"\0\0\0\0\x04", "other_schema", 4),
    "Protobuf": (b"\0\0\0\0\x05", "other_schema", 5),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_told_by_its_reason_and_stops_nothing(name):
    value, reason, id_ = UNREADABLE[name]
    other = {**EVENT, "name": "other"}
    registry = Known(_1="long", _2=other, _3=NESTED, _4='{"type": "strange"}', _5="", _7=EVENT)

    first, second = Reader(AvroReader(registry, EVENT)).read([value, SOUND], [None, OURS], OURS)

    assert first == Read(f"{len(value)} bytes of Avro, schema {id_}".encode(), reason)
    assert second.fault == ""


def test_a_stranger_does_not_make_the_registry_be_asked_for_each_message():
    registry = Known()
    reader = Reader(AvroReader(registry, EVENT))
    assert {read.fault for read in reader.read([SOUND] * 50, [THEIRS] * 50, OURS)} == {
        "unknown_schema"
    }
    assert registry.asked == 1


@pytest.mark.parametrize("own", [OURS, None])
def test_the_publishers_own_messages_are_not_set_aside_for_want_of_their_schema(own):
    with pytest.raises(AccessError, match="does not know schema 7"):
        Reader(AvroReader(Known(), EVENT)).read([SOUND], [OURS], own)
    with pytest.raises(ConfigError, match="SCHEMA_REGISTRY"):
        Reader().read([SOUND], [OURS], own)


def test_a_strangers_zero_byte_is_what_it_was_where_no_registry_is_named():
    assert Reader().read([b"\0x", b"{}"], [None, OURS], OURS) == [Read(b"\0x"), Read(b"{}")]


def test_every_column_is_in_the_schema_with_a_default_unless_it_is_of_the_key():
    fields = {field["name"]: field for field in EVENT["fields"]}
    assert list(fields) == ["sequence", "event_id", *CLICKSTREAM.columns]
    assert [name for name, field in fields.items() if "default" not in field] == [
        "sequence", "event_id", "anonymous_user_id", "url", "time",
    ]  # fmt: skip
    assert fields["time"]["type"]["logicalType"] == "timestamp-micros"
    assert all(field["doc"] for field in fields.values())


def problem(code, text, status):
    body = json.dumps({"error_code": code, "message": text}).encode()
    return status, {"Content-Type": "application/json"}, body


ILL = {
    "it wants a user": (problem(40101, "who?", 401), "HTTP 401 who?"),
    "it refuses the user": (problem(40301, "not you", 403), "HTTP 403 not you"),
    "it refuses the schema": (problem(409, "incompatible: path", 409), "incompatible: path"),
    "it is broken": (problem(50001, "store", 500), "HTTP 500 store"),
    "something else is there": ((404, {}, b"<html>"), "HTTP 404"),
    "it answers no JSON": ((200, {}, b"<html>"), "cannot be used"),
    "it answers a list": ((200, {}, b"[]"), "otherwise than a schema registry"),
}


@pytest.mark.parametrize("name", ILL)
def test_a_registry_that_is_ill_or_refuses_is_told_without_the_password(name):
    answer, said = ILL[name]
    with answering(lambda *_: answer) as address:
        registry = Registry(address, {"schema.registry.basic.auth.user.info": "ann:s3cret"})
        for ask in (lambda: registry.register("a", "{}"), lambda: registry.schema(1)):
            with pytest.raises(AccessError) as told:
                ask()
            assert said in str(told.value)
            assert address in str(told.value)
            assert "s3cret" not in str(told.value)
            assert told.value.exit_code == 3


def test_a_registry_that_is_not_there_is_told():
    with pytest.raises(AccessError, match="refused"):
        Registry("http://127.0.0.1:1", {}).schema(1)


@pytest.mark.parametrize("place", ["properties", "environment"])
def test_user_and_password_go_to_the_registry_and_not_where_it_redirects_to(place, monkeypatch):
    heard = []

    def elsewhere(request, _):
        heard.append(("elsewhere", request.headers.get("Authorization")))
        return 200, {}, b'{"schema": "\\"string\\""}'

    def registry(request, _):
        heard.append(("registry", request.headers.get("Authorization")))
        return 302, {"Location": f"{other}/schemas/ids/1"}, b""

    properties = {}
    if place == "properties":
        properties["schema.registry.basic.auth.user.info"] = "ann:s3cret"
    else:
        monkeypatch.setenv("SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO", "ann:s3cret")
    with answering(elsewhere) as other, answering(registry) as address:
        assert Registry(address, properties).schema(1) == '"string"'
    basic = f"Basic {base64.b64encode(b'ann:s3cret').decode()}"
    assert heard == [("registry", basic), ("elsewhere", None)]


CLASHES = {
    "STREAM_FORMAT = avro": ["for Kafka alone", "needs a SCHEMA_REGISTRY"],
    "STREAM_FORMAT = avro\nSTREAM = kinesis://clicks\nSCHEMA_REGISTRY = http://r:8081": [
        "for Kafka alone"
    ],
    "STREAM_FORMAT = avro\nSTREAM = kafka://b:9092/t": ["needs a SCHEMA_REGISTRY"],
    "STREAM_FORMAT = xml": ["json, avro"],
    "SCHEMA_REGISTRY = http://ann:s3cret@r:8081": ["without user and password"],
    "SCHEMA_REGISTRY = r:8081": ["http:// or https://"],
}


@pytest.mark.parametrize("text", CLASHES)
def test_a_format_that_cannot_be_is_refused_in_words(text, tmp_path):
    (tmp_path / "dl.cfg").write_text(f"[STREAM]\n{text}\n")
    with pytest.raises(ConfigError) as told:
        config.load(tmp_path / "dl.cfg")
    assert len(str(told.value).splitlines()) == len(CLASHES[text])
    assert all(words in str(told.value) for words in CLASHES[text])
    assert "s3cret" not in str(told.value)
