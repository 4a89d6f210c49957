"""`dl.cfg`: every key with its default and its check, and all problems reported at once.

Each section is a frozen dataclass; a field is a key of that section (in capitals), made by
`_key(default, check)`. A check turns text into a value or raises ValueError with what the
value must be. `load` is the only way in.
"""

from __future__ import annotations

import configparser
import difflib
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from clicklake.config import databases
from clicklake.errors import ConfigError

Check = Callable[[str], Any]
T = TypeVar("T")

# The checkout: src/clicklake/config/ is three levels below it.
ROOT = Path(__file__).resolve().parents[3]


def _text(value: str) -> str:
    return value


def _flag(value: str) -> bool:
    try:
        return configparser.ConfigParser.BOOLEAN_STATES[value.lower()]
    except KeyError:
        raise ValueError("true or false") from None


def _whole(minimum: int) -> Check:
    def check(value: str) -> int:
        if not re.fullmatch(r"\d{1,15}", value) or int(value) < minimum:
            raise ValueError(f"a whole number, {minimum} or more")
        return int(value)

    return check


def _ratio(value: str) -> float:
    if not re.fullmatch(r"[01]|[01]?\.\d+", value) or float(value) > 1:
        raise ValueError("a number from 0 to 1")
    return float(value)


def _choice(*names: str) -> Check:
    def check(value: str) -> str:
        if value.lower() not in names:
            raise ValueError("one of " + ", ".join(names))
        return value.lower()

    return check


def _location(value: str) -> str:
    if not value:
        raise ValueError("a folder or an s3a:// address")
    if "://" in value and not re.match(r"(s3a?|file)://.", value):
        raise ValueError("a local folder, s3a://bucket/prefix or s3://bucket/prefix")
    return value


def _bucket(value: str) -> str:
    if value and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", value):
        raise ValueError("a bucket's name: 3 to 63 of a-z, 0-9, '.' and '-'")
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,18}[a-z0-9]", value):
        raise ValueError("2 to 20 of a-z, 0-9 and '-', a letter first")
    return value


def _list(pattern: str, meaning: str, minimum: int = 0) -> Check:
    def check(value: str) -> tuple[str, ...]:
        items = tuple(item.strip() for item in value.split(",") if item.strip())
        if len(items) < minimum or not all(re.fullmatch(pattern, item) for item in items):
            raise ValueError(f"{meaning}, separated by commas")
        return items

    return check


_instance_types = _list(r"[a-z][a-z0-9-]*\.[a-z0-9]+", "EC2 instance types", minimum=1)
_subnets = _list(r"subnet-[0-9a-f]+", "subnet ids")


def _folder(value: str) -> str:
    return _location(value) if value else value


def _schema(value: str) -> str:
    if not re.fullmatch(r"(?!pg_)[a-z_][a-z0-9_]{0,62}", value):
        raise ValueError("1 to 63 of a-z, 0-9 and '_', no digit first, not beginning with pg_")
    return value


def _stream(value: str) -> str:
    if not re.fullmatch(
        r"(?!.*://).+|kafka://[^/@\s]+:\d+/[\w.-]{1,249}|kinesis://[\w.-]{1,128}", value
    ):
        raise ValueError("a folder, kafka://host:port/topic or kinesis://stream")
    return value


def _key(default: Any, check: Check = _text, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"check": check}, repr=not secret)


@dataclass(frozen=True)
class Aws:
    """Keys are honoured when given; without them the standard AWS chain is used."""

    aws_access_key_id: str = _key("", secret=True)
    aws_secret_access_key: str = _key("", secret=True)


@dataclass(frozen=True)
class S3:
    code_bucket: str = _key("", _bucket)
    output_bucket: str = _key("", _bucket)


@dataclass(frozen=True)
class DataLake:
    input_data: str = _key(str(ROOT / "data" / "sample"), _location)
    output_data: str = _key(str(ROOT / "lake"), _location)


@dataclass(frozen=True)
class Sources:
    """Each source's folder: relative to INPUT_DATA, or a path or address of its own."""

    user_updates: str = _key("UserUpdates", _location)
    page_views: str = _key("PageViews", _location)
    clickstream: str = _key("Clickstream", _location)
    csv_multiline: bool = _key(False, _flag)


@dataclass(frozen=True)
class Job:
    max_bad_ratio: float = _key(0.05, _ratio)
    session_gap_minutes: int = _key(30, _whole(1))
    bot_views_per_minute: int = _key(60, _whole(1))
    memory_mb: int = _key(0, _whole(0))
    target_file_mb: int = _key(128, _whole(1))


@dataclass(frozen=True)
class Cluster:
    """What `deploy.py` launches on EMR, and how long it waits for it."""

    name: str = _key("clicklake", _name)
    region: str = _key("")
    release: str = _key("emr-spark-8.1.0")
    primary_types: tuple[str, ...] = _key(("m7g.xlarge", "m6g.xlarge"), _instance_types)
    worker_types: tuple[str, ...] = _key(("m7g.2xlarge", "m6g.2xlarge"), _instance_types)
    core_nodes: int = _key(1, _whole(1))
    task_nodes: int = _key(2, _whole(0))
    worker_disk_gb: int = _key(64, _whole(10))
    subnets: tuple[str, ...] = _key((), _subnets)
    timeout_minutes: int = _key(360, _whole(1))
    idle_minutes: int = _key(60, _whole(1))
    poll_seconds: int = _key(10, _whole(1))
    log_wait_seconds: int = _key(300, _whole(0))


@dataclass(frozen=True)
class Database:
    """Where each run's tables are published; an empty URL is DuckDB beside a local lake."""

    url: str = _key("", databases.check, secret=True)
    staging_url: str = _key("", databases.check, secret=True)
    schema: str = _key("public", _schema)


@dataclass(frozen=True)
class Csv:
    """The CSV exports; an empty FOLDER is `csv` in the lake."""

    enabled: bool = _key(True, _flag)
    folder: str = _key("", _folder)
    neutralise_formulas: bool = _key(True, _flag)
    gzip: bool = _key(False, _flag)
    split_mb: int = _key(0, _whole(0))


@dataclass(frozen=True)
class Stream:
    """The clickstream on a stream, and its statistics; an empty DATABASE is SQLite in SUMMARIES."""

    stream: str = _key(str(ROOT / "stream" / "events"), _stream)
    state: str = _key(str(ROOT / "stream" / "state"))
    summaries: str = _key(str(ROOT / "stream" / "summaries"))
    database: str = _key("", databases.check, secret=True)
    every: int = _key(1000, _whole(1))
    lateness_minutes: int = _key(60, _whole(0))
    kafka_properties: str = _key("")


@dataclass(frozen=True)
class Recommend:
    """`max_views` of a user to a page count; `half_life_days` 0 leaves the time out."""

    model: str = _key("auto", _choice("auto", "als", "ease", "rp3beta", "popularity", "none"))
    weights: str = _key("auto", _choice("auto", "binary", "log"))
    max_views: int = _key(20, _whole(1))
    half_life_days: int = _key(0, _whole(0))
    min_users: int = _key(2, _whole(1))
    max_pages_per_user: int = _key(1000, _whole(2))
    max_fit_pairs: int = _key(50_000_000, _whole(1))
    tune_seconds: int = _key(120, _whole(0))


@dataclass(frozen=True)
class Config:
    """A validated configuration."""

    aws: Aws = Aws()
    s3: S3 = S3()
    datalake: DataLake = DataLake()
    sources: Sources = Sources()
    job: Job = Job()
    cluster: Cluster = Cluster()
    database: Database = Database()
    csv: Csv = Csv()
    stream: Stream = Stream()
    recommend: Recommend = Recommend()
    path: Path | None = None
    warnings: tuple[str, ...] = ()


_SECTIONS: dict[str, type] = {
    "AWS": Aws,
    "S3": S3,
    "DATALAKE": DataLake,
    "SOURCES": Sources,
    "JOB": Job,
    "CLUSTER": Cluster,
    "DATABASE": Database,
    "CSV": Csv,
    "STREAM": Stream,
    "RECOMMEND": Recommend,
}


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
    for section, cls in _SECTIONS.items():
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
    if not {"database", "datalake"} <= values.keys():
        return []
    database, lake = values["database"], values["datalake"].output_data
    try:
        databases.targets(database.url, database.staging_url, lake)
    except ValueError as error:
        return [f"{where}: [DATABASE] {error}."]
    return []


def _shown(key: Field, given: Mapping[str, str]) -> str:
    return f'"{given[key.name]}"' if key.repr else "not shown"


def _unknown_names(parser: configparser.ConfigParser, where: Path) -> list[str]:
    problems = []
    for section in parser.sections():
        if section not in _SECTIONS:
            problems.append(f"{where}: [{section}] is no section{_hint(section, _SECTIONS)}.")
            continue
        known = [key.name for key in fields(_SECTIONS[section])]
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
    ("STREAM", "stream"),
    ("STREAM", "state"),
    ("STREAM", "summaries"),
    ("STREAM", "kafka_properties"),
}


def _resolve(section: str, key: str, value: str, where: Path | None) -> str:
    """A relative path in the file is meant from the file's own folder."""
    if section == "DATABASE" or (section, key) == ("STREAM", "database"):
        pattern = r"((?:duckdb|sqlite):///)([^/].*)"
    elif section == "DATALAKE" or (section, key) in _PATHS:
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
