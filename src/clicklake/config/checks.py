"""Checks of values: each turns text into a value, or raises ValueError with what it must be."""

from __future__ import annotations

import configparser
import re
from collections.abc import Callable
from dataclasses import field
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pyarrow import ArrowInvalid
from pyarrow.compute import match_substring_regex

Check = Callable[[str], Any]


def any_text(value: str) -> str:
    return value


def key(default: Any, check: Check = any_text, *, secret: bool = False) -> Any:
    """A key of a section: a field of its dataclass."""
    return field(default=default, metadata={"check": check}, repr=not secret)


def flag(value: str) -> bool:
    try:
        return configparser.ConfigParser.BOOLEAN_STATES[value.lower()]
    except KeyError:
        raise ValueError("true or false") from None


def whole(minimum: int) -> Check:
    def check(value: str) -> int:
        if not re.fullmatch(r"\d{1,15}", value) or int(value) < minimum:
            raise ValueError(f"a whole number, {minimum} or more")
        return int(value)

    return check


def pattern(value: str) -> str:
    """A regular expression of RE2, whose time is bounded on any text; or nothing."""
    try:
        match_substring_regex("", value)
    except ArrowInvalid as error:
        raise ValueError(f"a regular expression ({error})") from None
    return value


def ratio(value: str) -> float:
    if not re.fullmatch(r"[01]|[01]?\.\d+", value) or float(value) > 1:
        raise ValueError("a number from 0 to 1")
    return float(value)


def choice(*names: str) -> Check:
    def check(value: str) -> str:
        if value.lower() not in names:
            raise ValueError("one of " + ", ".join(names))
        return value.lower()

    return check


def location(value: str) -> str:
    if not value:
        raise ValueError("a folder or an s3a:// address")
    scheme, separator, rest = value.partition("://")
    if separator and not (scheme.lower() in ("s3", "s3a", "file") and rest):
        raise ValueError("a local folder, s3a://bucket/prefix or s3://bucket/prefix")
    return f"{scheme.lower()}://{rest}" if separator else value


def bucket_name(value: str) -> str:
    if value and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", value):
        raise ValueError("a bucket's name: 3 to 63 of a-z, 0-9, '.' and '-'")
    return value


def mail_address(value: str) -> str:
    if value and not re.fullmatch(r"[^@\s]{1,64}@[\w.-]{1,190}", value):
        raise ValueError("an e-mail address")
    return value


def short_name(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,18}[a-z0-9]", value):
        raise ValueError("2 to 20 of a-z, 0-9 and '-', a letter first")
    return value


def list_of(pattern: str, meaning: str, minimum: int = 0) -> Check:
    def check(value: str) -> tuple[str, ...]:
        items = tuple(item.strip() for item in value.split(",") if item.strip())
        if len(items) < minimum or not all(re.fullmatch(pattern, item) for item in items):
            raise ValueError(f"{meaning}, separated by commas")
        return items

    return check


instance_types = list_of(r"[a-z][a-z0-9-]*\.[a-z0-9]+", "EC2 instance types", minimum=1)


subnet_ids = list_of(r"subnet-[0-9a-f]+", "subnet ids")


def tag_list(value: str) -> tuple[str, ...]:
    """Each `key=value`; our own tag is not for others to give."""
    items = list_of(r"(?!aws:)[\w .:/+@-]{1,128}=[\w .:/+@-]{0,256}", "key=value")(value)
    keys = [item.split("=", 1)[0] for item in items]
    if len(keys) != len(set(keys)) or "clicklake" in keys:
        raise ValueError("key=value, separated by commas, each key once and none of them clicklake")
    return items


def role_name(value: str) -> str:
    if not re.fullmatch(r"[\w+=,.@-]{0,64}", value):
        raise ValueError("the name of a role, without its path")
    return value


def arn(service: str, kind: str) -> Check:
    def check(value: str) -> str:
        if value and not re.fullmatch(rf"arn:[\w-]+:{service}:[\w-]*:\w*:{kind}/\S+", value):
            raise ValueError(f"arn:aws:{service}:...:{kind}/...")
        return value

    return check


def zip_on_s3(value: str) -> str:
    if value and not re.fullmatch(r"s3://[^/\s]+/\S+\.zip", value):
        raise ValueError("s3://bucket/....zip, with EMR's PEM files")
    return value


def folder_or_nothing(value: str) -> str:
    return location(value) if value else value


def schema_name(value: str) -> str:
    if not re.fullmatch(r"(?!pg_)[a-z_][a-z0-9_]{0,62}", value):
        raise ValueError("1 to 63 of a-z, 0-9 and '_', no digit first, not beginning with pg_")
    return value


def catalog_address(value: str) -> str:
    if not re.fullmatch(r"auto|none|local|glue|https?://[^/@\s]+(/\S*)?", value):
        raise ValueError("auto, none, local, glue or the http address of a REST catalog")
    return value


def database_name(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", value):
        raise ValueError("1 to 63 of a-z, 0-9 and '_', a letter first")
    return value


def time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise ValueError("the name of a time zone, such as UTC or Europe/Berlin") from None
    return value


def clock_zone(value: str) -> str:
    """The zone of times that tell none: an offset from UTC, or a name."""
    if re.fullmatch(r"[+-]([01]\d|2[0-3]):?[0-5]\d", value, re.ASCII):
        return value
    try:
        return time_zone(value)
    except ValueError:
        raise ValueError(
            "an offset such as +02:00, or a zone's name, such as Europe/Berlin"
        ) from None


def character(value: str) -> str:
    r"""One character of ASCII, which may be written `\t` or `\xNN`."""
    written = re.fullmatch(r"\\x([0-7][0-9A-Fa-f])", value)
    found = chr(int(written[1], 16)) if written else {"\\t": "\t"}.get(value, value)
    if len(found) != 1 or not "\0" < found < "\x7f" or found in "\r\n":
        raise ValueError(
            r"one character of ASCII, such as ; or |, or \t (a tab), \x20 (a space), \x01; "
            "no line end"
        )
    return found


def no_character_or_one(value: str) -> str:
    return character(value) if value else value


def stream_address(value: str) -> str:
    if not re.fullmatch(
        r"(?!.*://).+|kafka://[^/@\s]+:\d+/[\w.-]{1,249}|kinesis://[\w.-]{1,128}", value
    ):
        raise ValueError("a folder, kafka://host:port/topic or kinesis://stream")
    return value


def topic_name(value: str) -> str:
    if not re.fullmatch(r"[\w.-]{0,249}", value, re.ASCII):
        raise ValueError("the name of a Kafka topic: letters, digits, '.', '_' and '-'")
    return value


def registry_address(value: str) -> str:
    if value and not re.fullmatch(r"https?://[^/@?#\s]+(/[^?#\s]*)?", value):
        raise ValueError("an http:// or https:// address, without user and password")
    return value.rstrip("/")
