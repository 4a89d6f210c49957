"""Shapes of other people's logs, and logs of the usual shapes written in them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import oracle
from clicklake import config

Mapping_ = Mapping[str, Mapping[str, str]]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ZONES = ("+02:00", "-0930", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe")
_DELIMITERS = (";", "|", "\t", "\x01", " ", ":", "x", "-")
_QUOTES = ("'", "", "`", "\x02")
_PATHS = ("{}", "x_{}", "context.page.{}", "context.{}", "a.b.c.d.{}", r"p\.{}", "{} of the event")


def shape(source: str, words: Mapping[str, str]) -> config.Shape:
    """A section of dl.cfg of keys, in lower case, and their values, as `config.load` makes it."""
    section = config.SHAPES[source]
    checks = {key.name: key.metadata["check"] for key in fields(section)}
    made = section(**{key: checks[key](value) for key, value in words.items()})
    assert list(config.mapping.faults(made)) == []
    return made


def any_words(rng: Random, source: str) -> dict[str, str]:
    """Some mapping of a source."""
    words = {"format": rng.choice(("csv", "json"))}
    words["time_format"] = rng.choice(("iso", "iso", "unix_s", "unix_ms", "unix_us"))
    if words["time_format"] == "iso":
        words["zone"] = rng.choice(("UTC", *_ZONES))
    words["comment"], words["nulls"] = rng.choice(("", "#", "v1", "{")), rng.choice(("", "-, NULL"))
    if words["format"] == "json":
        words["comment"] = rng.choice(("", "//"))
    names = list(oracle._fields_of(source))
    if source == "clickstream" and rng.randrange(4):
        names.remove("environment")
    if rng.randrange(3) == 0:
        words["keep_environment"] = rng.choice(("staging", "*"))
    if words["format"] == "json":
        return words | {name: rng.choice(_PATHS).format(name) for name in names}
    words["delimiter"], words["quote"] = rng.choice(_DELIMITERS), rng.choice(_QUOTES)
    words["header"] = rng.choice(("yes", "no"))
    if words["header"] == "yes":
        return words | {name: f"{name.upper()} (text)" for name in names}
    places = rng.sample(range(1, len(names) + 3), len(names))
    words["columns"] = str(max(places) + rng.randrange(3))
    return words | {name: str(place) for name, place in zip(names, places, strict=True)}


def written(
    source: str, records: Sequence[Mapping[str, str | None]], words: Mapping[str, str]
) -> bytes:
    """Rows in a shape: {field: text, or None for none}; a text is written as it stands."""
    how = {**oracle.SHAPES[source], **words}
    if how["format"] == "json":
        return b"".join(_object(source, record, how) for record in records)
    places = {name: how[name] for name in oracle._fields_of(source) if how[name]}
    if how["header"] == "yes":
        columns = [*places]
        head = [places[name] for name in columns]
    else:
        names = list(oracle._fields_of(source))
        at = {int(p) if p != n else names.index(n) + 1: n for n, p in places.items()}
        columns = [at.get(number, "") for number in range(1, (int(how["columns"]) or max(at)) + 1)]
        head = []
    rows = [head] if head else []
    rows += [[record.get(name) or "" for name in columns] for record in records]
    return b"".join(
        how["delimiter"].join(_field(v, how) for v in row).encode() + b"\n" for row in rows
    )


def _field(value: str, how: Mapping[str, str]) -> str:
    quote = how["quote"]
    is_plain = not set(value) & {how["delimiter"], quote}
    if is_plain or not quote:
        assert is_plain, f"{value!r} cannot be written"
        return value
    return quote + value.replace(quote, quote * 2) + quote


def _object(source: str, record: Mapping[str, str | None], how: Mapping[str, str]) -> bytes:
    whole: dict = {}
    for name in oracle._fields_of(source):
        value = record.get(name)
        if not how[name] or value is None:
            continue
        *outer, last = config.mapping.path_of(how[name])
        inside = whole
        for key in outer:
            inside = inside.setdefault(key, {})
        is_time = name in ("updated_at", "ts", "time") and how["time_format"] != "iso"
        is_number = re.fullmatch(r"0|[1-9]\d{0,99}", value, re.ASCII) and (
            is_time or name == "user_id"
        )
        inside[last] = int(value) if is_number else value
    return json.dumps(whole, ensure_ascii=False).encode() + b"\n"


def time(micros: int, words: Mapping[str, str], default: str) -> str:
    """A moment as a shape's clock writes it."""
    form = words.get("time_format", default)
    if form != "iso":
        digits = {"unix_s": 6, "unix_ms": 3, "unix_us": 0}[form]
        whole, rest = divmod(micros, 10**digits)
        return f"{whole}.{rest:0{digits}}" if rest else str(whole)
    zone = words.get("zone", "UTC")
    moment = _EPOCH + timedelta(microseconds=micros)
    if zone[0] in "+-":
        ahead = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
        return (moment + (ahead if zone[0] == "+" else -ahead)).strftime("%Y-%m-%d %H:%M:%S.%f")
    local = moment.astimezone(ZoneInfo(zone))
    return local.isoformat() if local.fold else local.replace(tzinfo=None).isoformat()
