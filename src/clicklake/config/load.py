"""Reading a `dl.cfg`: all that is wrong with it is reported at once."""

from __future__ import annotations

import configparser
import difflib
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from clicklake.config import databases
from clicklake.config.mapping import SHAPES, faults
from clicklake.config.sections import ROOT, SECTIONS, Config, Stream
from clicklake.errors import ConfigError

T = TypeVar("T")


def find(name: str = "dl.cfg") -> Path | None:
    """The `dl.cfg` of the working folder or, failing that, of the checkout."""
    places = (Path.cwd() / name, ROOT / name)
    return next((place for place in places if place.is_file()), None)


def load(path: str | Path | None = None, overrides: Mapping[str, str] | None = None) -> Config:
    """Read and check a configuration.

    `path`: a `dl.cfg`; None looks where `find` says, and falls back to the defaults.
    `overrides`: flags that beat the file, as {"DATALAKE.INPUT_DATA": "/data", …}.
    Raises ConfigError that lists every problem: file, section, key, value, what it must be.
    """
    parser, where = _read(path)
    problems = [] if where is None else _unknown_names(parser, where)
    values: dict[str, Any] = {}
    for section, cls in SECTIONS.items():
        given = {k: _resolve(section, k, v, where) for k, v in _items(parser, section)}
        flags = _of_section(overrides or {}, section)
        values[section.lower()] = _section(cls, section, {**given, **flags}, flags, where, problems)
    problems += _clashes(where, values)
    if problems:
        raise ConfigError("\n".join(problems))
    return replace(Config(), **values, path=where, warnings=_warnings(where, values))


def _read(path: str | Path | None) -> tuple[configparser.ConfigParser, Path | None]:
    parser = configparser.ConfigParser(interpolation=None)
    where = Path(path) if path is not None else find()
    if where is None:
        return parser, None
    try:
        parser.read_string(where.read_text(encoding="utf-8-sig"), source=str(where))
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read ({error.strerror}).") from None
    except (configparser.Error, UnicodeDecodeError) as error:
        # The parser's own message may quote the line, which may hold a key.
        line = getattr(error, "lineno", None)
        at = f", line {line}" if line else ""
        raise ConfigError(
            f"{where}{at}: not a configuration file ({type(error).__name__}). "
            "Compare it with dl.cfg.template."
        ) from None
    return parser, where


def _items(parser: configparser.ConfigParser, section: str) -> list[tuple[str, str]]:
    return list(parser.items(section)) if parser.has_section(section) else []


def _of_section(overrides: Mapping[str, str], section: str) -> dict[str, str]:
    prefix = section + "."
    return {
        name.removeprefix(prefix).lower(): value
        for name, value in overrides.items()
        if name.startswith(prefix)
    }


def _section(
    cls: type[T],
    section: str,
    given: Mapping[str, str],
    flags: Mapping[str, str],
    where: Path | None,
    problems: list[str],
) -> T:
    checked: dict[str, Any] = {}
    for key in fields(cls):  # type: ignore[arg-type]
        if key.name not in given:
            continue
        try:
            checked[key.name] = key.metadata["check"](given[key.name].strip())
        except ValueError as error:
            origin = "command line" if key.name in flags else str(where)
            problems.append(
                f"{origin}: [{section}] {key.name.upper()} is {_shown(key, given)}; "
                f"it must be {error}."
            )
    return cls(**checked)


def _clashes(where: Path | None, values: Mapping[str, Any]) -> list[str]:
    """What is wrong with keys that are right by themselves."""
    problems = [f"{where}: [STREAM] {problem}." for problem in _stream_clashes(values["stream"])]
    problems += [
        f"{where}: [{source.upper()}] {fault}."
        for source in SHAPES
        for fault in faults(values[source])
    ]
    database, lake = values["database"], values["datalake"].output_data
    try:
        databases.targets(database.url, database.staging_url, lake)
    except ValueError as error:
        problems.append(f"{where}: [DATABASE] {error}.")
    return problems


def _stream_clashes(stream: Stream) -> Iterator[str]:
    is_kafka = stream.stream.startswith("kafka://")
    if stream.stream_format == "avro" and not is_kafka:
        yield "STREAM_FORMAT is avro, which is for Kafka alone: a folder and Kinesis carry JSON"
    if stream.stream_format == "avro" and not stream.schema_registry:
        yield "STREAM_FORMAT is avro, which needs a SCHEMA_REGISTRY"
    if stream.corrections and not is_kafka:
        yield "CORRECTIONS are for a STREAM on Kafka alone: a folder and Kinesis keep every message"
    if stream.corrections and stream.stream.endswith(f"/{stream.corrections}"):
        yield "CORRECTIONS needs a topic of its own, other than that of STREAM"


def _shown(key: Field, given: Mapping[str, str]) -> str:
    return f'"{given[key.name]}"' if key.repr else "not shown"


def _unknown_names(parser: configparser.ConfigParser, where: Path) -> list[str]:
    problems = []
    for section in parser.sections():
        if section not in SECTIONS:
            problems.append(f"{where}: [{section}] is no section{_hint(section, SECTIONS)}.")
            continue
        known = [key.name for key in fields(SECTIONS[section])]
        for name in parser.options(section):
            if name not in known:
                shown = name.upper()
                hint = _hint(shown, [key.upper() for key in known])
                problems.append(f"{where}: [{section}] {shown} is no key of this section{hint}.")
    return problems


def _hint(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name.upper(), list(known), n=1)
    return f"; did you mean {close[0]}?" if close else f"; it knows {', '.join(known)}"


_PATHS = {
    ("CSV", "folder"),
    ("DATALAKE", "input_data"),
    ("DATALAKE", "output_data"),
    ("STREAM", "stream"),
    ("STREAM", "state"),
    ("STREAM", "summaries"),
    ("STREAM", "kafka_properties"),
}


def _resolve(section: str, key: str, value: str, where: Path | None) -> str:
    """A relative path in the file is meant from the file's own folder."""
    if section == "DATABASE" or (section, key) == ("STREAM", "database"):
        pattern = r"((?:duckdb|sqlite):///)([^/].*)"
    elif (section, key) in _PATHS:
        pattern = r"()((?!.*://).+)"
    else:
        return value
    found = re.fullmatch(pattern, value.strip())
    if found is None or where is None:
        return value
    return found[1] + str((where.parent / Path(found[2]).expanduser()).resolve())


def _warnings(where: Path | None, values: Mapping[str, Any]) -> tuple[str, ...]:
    if where is None:
        return ()
    has_key = bool(values["aws"].aws_secret_access_key)
    if has_key and where.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return (f"{where} holds AWS keys and others can read it; run: chmod 600 {where}",)
    return ()
