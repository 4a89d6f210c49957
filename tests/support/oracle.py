"""What the lake must hold, computed a second time: plain Python, no code of the product.

Written from the rules of the data (`docs/data.md`) alone, in the slowest and plainest way, so that
it can be read against them. It shares one file with the product, the list of crawlers.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import re
from collections import Counter, defaultdict, namedtuple
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

BLANKS = " \t"
MAX_RECORD = 1 << 20
MAX_DEPTH = 512
SOURCES = ("user_updates", "page_views", "clickstream")
FOLDERS = {
    "user_updates": "UserUpdates",
    "page_views": "PageViews",
    "clickstream": "Clickstream",
}
UTM = ("utm_source", "utm_medium", "utm_campaign")
DERIVED = ("host", "path", *UTM, "screen_width", "screen_height")
CLICKSTREAM_COLUMNS = ("anonymous_user_id", "url", "time", "browser", "os", "screen_resolution")
CRAWLERS = Path(__file__).parents[2] / "src" / "clicklake" / "rules" / "crawlers.txt"

# How each source's files tell its facts, in the words of dl.cfg; a mapping changes some of them.
_SHAPE = {
    "format": "csv",
    "header": "yes",
    "delimiter": ",",
    "quote": '"',
    "columns": "0",
    "nulls": "",
    "comment": "",
    "time_format": "iso",
    "zone": "UTC",
    "keep_environment": "production",
}
_PLACES = {
    "user_updates": ("updated_at", "user_id", "email", "name", "environment"),
    "page_views": ("ts", "url", "environment", "user_id"),
    "clickstream": CLICKSTREAM_COLUMNS,
}
SHAPES: dict[str, dict[str, str]] = {
    source: {**_SHAPE, **{name: name for name in names}} for source, names in _PLACES.items()
}
SHAPES["user_updates"]["header"] = "no"
SHAPES["page_views"]["format"] = "json"
SHAPES["clickstream"] |= {"time_format": "unix_s", "environment": ""}

Files = Mapping[str, Mapping[str, bytes]]
Shape = Mapping[str, str]
Row = tuple[Any, ...]

# The rows of each table, by the names of their columns.
UserUpdate = namedtuple("UserUpdate", "updated_at user_id email name year month")
User = namedtuple("User", "user_id email name first_updated_at last_updated_at")
PageView = namedtuple("PageView", "ts user_id url year month")
UserPageView = namedtuple("UserPageView", "user_id email url count last_viewed")
_LABELS = ("is_bot", "bot_reason", "session_id", "year", "month")
Click = namedtuple("Click", (*CLICKSTREAM_COLUMNS, *DERIVED, *_LABELS))
Session = namedtuple(
    "Session",
    "session_id anonymous_user_id started_at ended_at events landing_path exit_path "
    "utm_source utm_medium utm_campaign browser os is_bot year month",
)
PageStep = namedtuple("PageStep", "page next_page sessions month_start year month")
PageFollow = namedtuple("PageFollow", "page rank next_page sessions share lift")
ROWS = {
    "user_updates": UserUpdate,
    "users": User,
    "page_views": PageView,
    "user_page_views": UserPageView,
    "clickstream": Click,
    "sessions": Session,
    "page_steps": PageStep,
    "page_follows": PageFollow,
}


@dataclass
class Result:
    """What one run over all the files must leave.

    books: {source: {read, kept, duplicate, filtered, quarantined}} of the sources that are there.
    reasons: {source: {reason: rows}}, reasons that occur only.
    tables: {table: rows in the order of the schema's columns, year and month at the end of the
    monthly ones}, sorted; a time is whole microseconds since 1970, a session_id the pair
    (anonymous_user_id, start).
    quarantine: (source, file, line, reason, raw), sorted.
    refused: (source, file, why); nothing of such a file is counted.
    """

    books: dict[str, dict[str, int]] = field(default_factory=dict)
    reasons: dict[str, dict[str, int]] = field(default_factory=dict)
    tables: dict[str, list[Row]] = field(default_factory=dict)
    quarantine: list[Row] = field(default_factory=list)
    refused: list[tuple[str, str, str]] = field(default_factory=list)


class QuarantinedError(Exception):
    """The row is quarantined for this reason."""


class FilteredError(Exception):
    """The row is of another environment."""


class RefusedError(Exception):
    """The file as a whole cannot be read."""


def compute(
    files: Files,
    as_of: date,
    gap_minutes: int = 30,
    bot_views_per_minute: int = 60,
    multiline: bool = False,
    crawlers: Iterable[str] | None = None,
    being_written: Iterable[tuple[str, str]] = (),
    mapping: Mapping[str, Shape] | None = None,
) -> Result:
    """The lake of one run over `files`: {source: {path in the source's folder: bytes on disk}}.

    `mapping`: what dl.cfg says of a source's files, {source: {key in lower case: value}}.
    `being_written`: (source, path) of files on a local disk that were written to just now.
    """
    files = {
        source: {
            path: _written(path, data) if (source, path) in set(being_written) else data
            for path, data in contents.items()
        }
        for source, contents in files.items()
    }
    names = read_crawlers() if crawlers is None else list(crawlers)
    result = Result()
    kept: dict[str, list[Row]] = {source: [] for source in SOURCES}
    for source in SOURCES:
        if source in files:
            shape = {**SHAPES[source], **(mapping or {}).get(source, {})}
            kept[source] = _source(source, files[source], as_of, multiline, shape, result)
    result.quarantine.sort()
    result.refused.sort()
    clickstream, sessions = _clicks(kept["clickstream"], gap_minutes, bot_views_per_minute, names)
    users = _users(kept["user_updates"])
    steps = _page_steps(clickstream)
    tables = {
        "user_updates": [UserUpdate(*row, *_year_month(row[0])) for row in kept["user_updates"]],
        "users": users,
        "page_views": [PageView(*row, *_year_month(row[0])) for row in kept["page_views"]],
        "user_page_views": _user_page_views(kept["page_views"], users),
        "clickstream": clickstream,
        "sessions": sessions,
        "page_steps": steps,
        "page_follows": _page_follows(steps),
    }
    result.tables = {name: sorted(rows, key=_nulls_first) for name, rows in tables.items()}
    return result


def _written(path: str, data: bytes) -> bytes:
    """The lines of a plain file that have an end; a compressed file is taken as it is."""
    if path.endswith((".gz", ".bz2", ".zst")):
        return data
    return data[: data.rfind(b"\n") + 1]


def read_crawlers(path: Path = CRAWLERS) -> list[str]:
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def read_folder(
    input_dir: str | Path, folders: Mapping[str, str] = FOLDERS
) -> dict[str, dict[str, bytes]]:
    """Each source's files as `compute` wants them; a source whose folder is absent is left out."""
    roots = {source: Path(input_dir, folder).resolve() for source, folder in folders.items()}
    files: dict[str, dict[str, bytes]] = {}
    for source, root in roots.items():
        if not root.is_dir():
            continue
        inner = {other for other in roots.values() if other != root and root in other.parents}
        files[source] = {}
        for folder, below, names in os.walk(root, followlinks=True):
            below[:] = [name for name in below if Path(folder, name) not in inner]
            for name in names:
                path = Path(folder, name)
                files[source][path.relative_to(root).as_posix()] = path.read_bytes()
    return files


# ------------------------------------------------------------------ files and records


def _source(
    source: str,
    files: Mapping[str, bytes],
    as_of: date,
    multiline: bool,
    shape: Shape,
    result: Result,
) -> list[Row]:
    """Give every row of a source its fate; the kept ones come back, parsed."""
    count: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    seen: set[Row] = set()
    for name in sorted(files):
        if not files[name] or any(part[0] in "._" for part in name.split("/")):
            continue
        try:
            records = list(_records(_decompressed(name, files[name]), multiline, shape))
            columns = _columns(records, source, shape) if shape["format"] == "csv" else {}
        except RefusedError as why:
            result.refused.append((source, name, str(why)))
            continue
        for line, raw, structure in records:
            count["read"] += 1
            try:
                row = _row(source, raw, structure, columns, shape, as_of)
            except FilteredError:
                count["filtered"] += 1
            except QuarantinedError as reason:
                count["quarantined"] += 1
                reasons[str(reason)] += 1
                text = raw[:MAX_RECORD].decode("utf-8", "backslashreplace")
                result.quarantine.append((source, name, line, str(reason), text))
            else:
                count["duplicate" if row in seen else "kept"] += 1
                seen.add(row)
    fates = ("read", "kept", "duplicate", "filtered", "quarantined")
    result.books[source] = {fate: count[fate] for fate in fates}
    result.reasons[source] = dict(sorted(reasons.items()))
    return list(seen)


def _decompressed(name: str, data: bytes) -> bytes:
    try:
        if name.endswith(".gz"):
            return gzip.decompress(data)
        if name.endswith(".bz2"):
            return bz2.decompress(data)
        if name.endswith(".zst"):
            import zstandard

            reader = zstandard.ZstdDecompressor().stream_reader(
                io.BytesIO(data), read_across_frames=True
            )
            return reader.read()
    except Exception as error:
        raise RefusedError(f"cannot be decompressed: {error}") from error
    return data


def _records(data: bytes, multiline: bool, shape: Shape) -> Iterator[tuple[int, bytes, str | None]]:
    """(number of the first line, bytes without the line end, reason if it is too long)."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    over_lines = multiline and shape["format"] == "csv"
    blanks = BLANKS if shape["format"] == "json" else BLANKS.replace(shape["delimiter"], "")
    begun, first, is_open = b"", 0, False
    parts = data.split(b"\n")
    for number, part in enumerate(parts, start=1):
        ended = number < len(parts)
        content = part.removesuffix(b"\r") if ended else part
        if not is_open:
            if not content.strip(blanks.encode()):
                continue
            if shape["comment"] and content.startswith(shape["comment"].encode()):
                continue
            begun, first = b"", number
        elif not ended and not part:
            break  # the file's last line end, not one line more
        record = begun + content
        if len(record) > MAX_RECORD:
            is_open = False
            yield first, record, "record_too_long"
            continue
        is_open = over_lines and _ends_in_quotes(content, is_open, shape)
        if not is_open:
            yield first, record, None
        begun = begun + part + b"\n"
    if is_open:
        yield first, record, None


def _ends_in_quotes(line: bytes, inside: bool, shape: Shape) -> bool:
    """Whether a quote is still open at the end of `line`, which begins `inside` quotes or not."""
    quote, delimiter = shape["quote"].encode() or None, shape["delimiter"].encode()
    at_start = not inside
    i = 0
    while i < len(line):
        char = line[i : i + 1]
        if inside and char == quote:
            if line[i + 1 : i + 2] == quote:
                i += 1
            else:
                inside = False
        elif not inside:
            if char == quote and at_start:
                inside = True
            at_start = char == delimiter
        i += 1
    return inside


def _fields(text: str, shape: Shape = _SHAPE) -> list[str]:
    """A CSV record's fields. Raises QuarantinedError if a quote stays open."""
    quote, delimiter = shape["quote"] or None, shape["delimiter"]
    fields: list[str] = []
    i = 0
    while True:
        value = ""
        if text[i : i + 1] == quote:
            i += 1
            while True:
                end = text.find(quote, i)
                if end < 0:
                    raise QuarantinedError("unclosed_quote")
                value += text[i:end]
                i = end + 1
                if text[i : i + 1] != quote:
                    break
                value += quote
                i += 1
        end = text.find(delimiter, i)
        fields.append(value + (text[i:] if end < 0 else text[i:end]))
        if end < 0:
            return fields
        i = end + 1


def _text(raw: bytes, structure: str | None) -> str:
    if structure:
        raise QuarantinedError(structure)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise QuarantinedError("invalid_utf8") from None


def _columns(
    records: list[tuple[int, bytes, str | None]], source: str, shape: Shape
) -> dict[str, int]:
    """At which place of a CSV record each field is, and under "" how many there are.

    A header is taken off the file's records.
    """
    places = {name: shape[name] for name in _fields_of(source) if shape[name]}
    if shape["header"] == "no":
        numbers = {
            name: _fields_of(source).index(name) if place == name else int(place) - 1
            for name, place in places.items()
        }
        return {**numbers, "": int(shape["columns"]) or max(numbers.values()) + 1}
    if not records:
        return {}
    _, raw, structure = records.pop(0)
    try:
        names = [name.strip(BLANKS).lower() for name in _fields(_text(raw, structure), shape)]
    except QuarantinedError as reason:
        raise RefusedError(f"unreadable header: {reason}") from None
    for place in places.values():
        if names.count(place.lower()) != 1:
            fault = "doubled" if place.lower() in names else "missing"
            raise RefusedError(f"{fault} column: {place}")
    return {**{name: names.index(place.lower()) for name, place in places.items()}, "": len(names)}


def _fields_of(source: str) -> tuple[str, ...]:
    return _PLACES[source] + (() if "environment" in _PLACES[source] else ("environment",))


# ------------------------------------------------------------------ one row


def _row(
    source: str,
    raw: bytes,
    structure: str | None,
    columns: Mapping[str, int],
    shape: Shape,
    as_of: date,
) -> Row:
    text = _text(raw, structure)
    values = _of_json(text, source, shape) if shape["format"] == "json" else None
    if values is None:
        fields = [_blank_is_null(value) for value in _fields(text, shape)]
        if len(fields) != columns[""]:
            raise QuarantinedError("wrong_field_count")
        values = {name: fields[at] for name, at in columns.items() if name}
    nulls = {null.strip() for null in shape["nulls"].split(",")}
    values = {name: None if value in nulls else value for name, value in values.items()}
    if shape["environment"] and shape["keep_environment"] not in ("", "*"):
        _check_environment(values["environment"], shape["keep_environment"])
    make = {"user_updates": _user_update, "page_views": _page_view, "clickstream": _click}[source]
    return make(defaultdict(lambda: None, values), shape, as_of)


def _of_json(text: str, source: str, shape: Shape) -> dict[str, str | None]:
    """The fields of a JSON object; a number stands for its digits where it may be one."""
    numbers = ["user_id", "anonymous_user_id"]
    if shape["time_format"] != "iso":
        numbers += ["updated_at", "ts", "time"]
    found: dict[str, str | None] = {}
    whole = _json_object(text)
    for name in _fields_of(source):
        value: Any = whole
        for key in re.split(r"(?<!\\)\.", shape[name]):
            value = value.get(key.replace("\\.", ".")) if isinstance(value, dict) else None
        if isinstance(value, Number):
            found[name] = value.literal if name in numbers else None
        else:
            found[name] = _json_text(value)
    return found


Values = Mapping[str, "str | None"]


def _user_update(values: Values, shape: Shape, as_of: date) -> Row:
    user = _user_id(values["user_id"])
    time = _in_range(_micros(values["updated_at"], shape), as_of)
    email = values["email"]
    if email is None or not re.fullmatch(r"[^@ \t]+@[^@ \t]+", email):
        raise QuarantinedError("invalid_email")
    return time, user, email, values["name"]


def _page_view(values: Values, shape: Shape, as_of: date) -> Row:
    user = _user_id(values["user_id"])
    if values["url"] is None:
        raise QuarantinedError("missing_url")
    return _in_range(_micros(values["ts"], shape), as_of), user, values["url"]


def _click(values: Values, shape: Shape, as_of: date) -> Row:
    if values["anonymous_user_id"] is None:
        raise QuarantinedError("missing_visitor")
    if values["url"] is None:
        raise QuarantinedError("missing_url")
    time = _in_range(_micros(values["time"], shape), as_of)
    return (
        values["anonymous_user_id"],
        values["url"],
        time,
        values["browser"],
        values["os"],
        values["screen_resolution"],
    )


@dataclass(frozen=True)
class Number:
    """A JSON number, as written."""

    literal: str


def _json_object(text: str) -> dict[str, Any]:
    outside_strings = re.sub(r'"(?:[^"\\]|\\.)*"', "", text, flags=re.DOTALL)
    depth = deepest = 0
    for char in outside_strings:
        depth += (char in "[{") - (char in "]}")
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise QuarantinedError("malformed_json")
    try:
        value = json.loads(
            text,
            parse_int=Number,
            parse_float=Number,
            parse_constant=_no_constant,
            object_pairs_hook=_checked_object,
        )
        _check_surrogates(value)
    except ValueError:
        raise QuarantinedError("malformed_json") from None
    if not isinstance(value, dict):
        raise QuarantinedError("not_an_object")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _checked_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Checked here because a repeated key's first value is gone afterwards.
    for pair in pairs:
        _check_surrogates(list(pair))
    return dict(pairs)


def _check_surrogates(value: Any) -> None:
    """Raise ValueError if a text holds half a surrogate pair."""
    if isinstance(value, str):
        value.encode("utf-8")
    elif isinstance(value, list):
        for item in value:
            _check_surrogates(item)


def _json_text(value: Any) -> str | None:
    return _blank_is_null(value) if isinstance(value, str) else None


def _blank_is_null(value: str) -> str | None:
    return value.strip(BLANKS) or None


def _check_environment(environment: str | None, kept: str) -> None:
    if environment is None:
        raise QuarantinedError("missing_environment")
    if environment != kept:
        raise FilteredError


def _user_id(text: str | None) -> int:
    match = re.fullmatch(r"([+-]?)0*([0-9]+)", text or "")
    if match and len(match[2]) <= 19:
        number = int(match[1] + match[2])
        if -(2**63) <= number < 2**63:
            return number
    raise QuarantinedError("invalid_user_id")


EPOCH = date(1970, 1, 1).toordinal()
DAY = 86_400_000_000


def _micros(text: str | None, shape: Shape) -> int:
    if shape["time_format"] == "iso":
        return _iso_micros(text, shape["zone"])
    return _unix_micros(text, {"unix_s": 6, "unix_ms": 3, "unix_us": 0}[shape["time_format"]])


def _iso_micros(text: str | None, zone: str = "UTC") -> int:
    match = re.fullmatch(
        r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2}):([0-9]{2})"
        r"(?:\.([0-9]{1,9}))?(?:Z|([+-])([0-9]{2}):?([0-9]{2}))?",
        text or "",
    )
    if not match:
        raise QuarantinedError("invalid_time")
    year, month, day, hour, minute, second = (int(match[i]) for i in range(1, 7))
    micros = int((match[7] or "").ljust(6, "0")[:6])
    try:
        local = datetime(year, month, day, hour, minute, second)
    except ValueError:
        raise QuarantinedError("invalid_time") from None
    days = local.toordinal() - EPOCH
    offset = 0
    if match[8]:
        if int(match[9]) > 23 or int(match[10]) > 59:
            raise QuarantinedError("invalid_time")
        offset = int(match[8] + "1") * (int(match[9]) * 60 + int(match[10])) * 60
    elif not match[0].endswith("Z"):
        offset = _seconds_ahead(zone, local)
    seconds = (hour * 60 + minute) * 60 + second - offset
    return days * DAY + seconds * 1_000_000 + micros


def _seconds_ahead(zone: str, local: datetime) -> int:
    """Of a time that comes twice, the first; one that is left out, as before clocks were set."""
    fixed = re.fullmatch(r"([+-])(\d\d):?(\d\d)", zone)
    if fixed:
        return int(fixed[1] + "1") * (int(fixed[2]) * 60 + int(fixed[3])) * 60
    ahead = local.replace(tzinfo=ZoneInfo(zone), fold=0).utcoffset()
    return round((ahead or timedelta()).total_seconds())


def _unix_micros(text: str | None, digits: int = 6) -> int:
    """`digits`: how many digits of a fraction count."""
    match = re.fullmatch(r"([+-]?)0*([0-9]+)(?:\.([0-9]+))?", text or "")
    if not match:
        raise QuarantinedError("invalid_time")
    if len(match[2]) > 21:
        raise QuarantinedError("time_out_of_range")
    micros = int(match[2] + (match[3] or "").ljust(digits, "0")[:digits])
    return -micros if match[1] == "-" else micros


def _in_range(micros: int, as_of: date) -> int:
    first = (date(2000, 1, 1).toordinal() - EPOCH) * DAY
    end = (as_of.toordinal() + 2 - EPOCH) * DAY
    if not first <= micros < end:
        raise QuarantinedError("time_out_of_range")
    return micros


# ------------------------------------------------------------------ tables


def _nulls_first(row: Iterable[Any]) -> list[tuple[bool, Any]]:
    return [(value is not None, "" if value is None else value) for value in row]


def _year_month(micros: int) -> tuple[int, int]:
    day = datetime(1970, 1, 1) + timedelta(microseconds=micros)
    return day.year, day.month


def _users(updates: list[Row]) -> list[Row]:
    by_user: dict[int, list[Row]] = defaultdict(list)
    for updated_at, user_id, email, name in updates:
        by_user[user_id].append((updated_at, email, name))
    users = []
    for user_id, history in by_user.items():
        history.sort(key=_nulls_first)
        last_updated_at, email, name = history[-1]
        users.append(User(user_id, email, name, history[0][0], last_updated_at))
    return users


def _user_page_views(views: list[Row], users: list[Row]) -> list[Row]:
    emails = {user_id: email for user_id, email, *_ in users}
    times: dict[tuple[int, str], list[int]] = defaultdict(list)
    for ts, user_id, url in views:
        times[user_id, url].append(ts)
    return [
        UserPageView(user_id, emails.get(user_id), url, len(seen), max(seen))
        for (user_id, url), seen in times.items()
    ]


def _clicks(
    clicks: list[Row], gap_minutes: int, views_per_minute: int, crawlers: list[str]
) -> tuple[list[Row], list[Row]]:
    """The tables clickstream and sessions."""
    by_visitor: dict[str, list[Row]] = defaultdict(list)
    for click in clicks:
        by_visitor[click[0]].append(click)
    events: list[Row] = []
    sessions: list[Row] = []
    for visitor, history in by_visitor.items():
        per_minute = Counter(click[2] // 60_000_000 for click in history)
        history.sort(key=lambda click: _nulls_first((click[2], click[1], *click[3:])))
        current: list[Row] = []
        for click in history:
            if current and click[2] - current[-1][2] > gap_minutes * 60_000_000:
                sessions.append(_session(current))
                current = []
            reason = _bot_reason(click, crawlers)
            if reason is None and per_minute[click[2] // 60_000_000] > views_per_minute:
                reason = "rate"
            start = current[0][2] if current else click[2]
            host, path = _host_and_path(click[1])
            width, height = _screen(click[5])
            year, month = _year_month(click[2])
            event = Click(
                *click,
                host=host,
                path=path,
                **{name: _utm(click[1], name) for name in UTM},
                screen_width=width,
                screen_height=height,
                is_bot=reason is not None,
                bot_reason=reason,
                session_id=(visitor, start),
                year=year,
                month=month,
            )
            current.append(event)
            events.append(event)
        sessions.append(_session(current))
    return events, sessions


def _session(events: list[Row]) -> Row:
    """One session from its events in order, each a row of clickstream."""
    first, last = events[0], events[-1]
    year, month = _year_month(first.time)
    return Session(
        session_id=(first.anonymous_user_id, first.time),
        anonymous_user_id=first.anonymous_user_id,
        started_at=first.time,
        ended_at=last.time,
        events=len(events),
        landing_path=first.path,
        exit_path=last.path,
        utm_source=first.utm_source,
        utm_medium=first.utm_medium,
        utm_campaign=first.utm_campaign,
        browser=first.browser,
        os=first.os,
        is_bot=any(event.is_bot for event in events),
        year=year,
        month=month,
    )


def _page_steps(clicks: list[Row]) -> list[Row]:
    """The table page_steps of clickstream's rows, which are in each visitor's order."""
    taken: dict[tuple[Any, ...], set[Any]] = defaultdict(set)
    latest: dict[Any, Row] = {}
    for click in clicks:
        before = latest.get(click.session_id)
        latest[click.session_id] = click
        if before is None or (before.year, before.month) != (click.year, click.month):
            continue
        pages = tuple((each.host or "") + each.path for each in (before, click))
        if pages[0] != pages[1] and not before.is_bot and not click.is_bot:
            taken[*pages, click.year, click.month].add(click.session_id)
    return [
        PageStep(page, next_page, len(sessions), _month_start(year, month), year, month)
        for (page, next_page, year, month), sessions in taken.items()
        if len(sessions) > 1
    ]


def _month_start(year: int, month: int) -> int:
    return (date(year, month, 1).toordinal() - EPOCH) * DAY


def _page_follows(steps: list[Row]) -> list[Row]:
    total: Counter[tuple[str, str]] = Counter()
    for step in steps:
        total[step.page, step.next_page] += step.sessions
    leaving: Counter[str] = Counter()
    arriving: Counter[str] = Counter()
    followers: dict[str, list[str]] = defaultdict(list)
    for (page, next_page), sessions in total.items():
        leaving[page] += sessions
        arriving[next_page] += sessions
        followers[page].append(next_page)
    rows = []
    for page, pages in followers.items():
        pages.sort(key=lambda other: (-total[page, other], -arriving[other], other))
        for rank, other in enumerate(pages[:3], start=1):
            share = total[page, other] / leaving[page]
            lift = share / (arriving[other] / total.total())
            rows.append(PageFollow(page, rank, other, total[page, other], share, lift))
    return rows


def _bot_reason(click: Row, crawlers: list[str]) -> str | None:
    for text in click[3:5]:
        lowered = re.sub("[A-Z]", lambda match: match[0].lower(), text or "")
        if any(name in lowered for name in crawlers):
            return "agent"
    return None


def _url_parts(url: str) -> tuple[str | None, str, str | None]:
    """(authority, path, query) by the expression of RFC 3986, appendix B."""
    match = re.match(r"^(([^:/?#]+):)?(//([^/?#]*))?([^?#]*)(\?([^#]*))?", url)
    assert match is not None
    return match[4], match[5], match[7]


def _host_and_path(url: str) -> tuple[str | None, str]:
    authority, path, _ = _url_parts(url)
    host = (authority or "").rpartition("@")[2]
    if host.startswith("[") and "]" in host:
        host = host[: host.index("]") + 1]
    else:
        host = host.partition(":")[0]
    return host.lower() or None, path or "/"


def _utm(url: str, name: str) -> str | None:
    query = _url_parts(url)[2] or ""
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        decoded = re.sub(
            rb"%([0-9A-Fa-f]{2})",
            lambda match: bytes.fromhex(match[1].decode()),
            value.replace("+", " ").encode("utf-8"),
        )
        text = decoded.decode("utf-8", "replace").strip(BLANKS)
        if key == name and text:
            return text
    return None


def _screen(text: str | None) -> tuple[int | None, int | None]:
    match = re.fullmatch(r"0*([0-9]+)[ \t]*[xX][ \t]*0*([0-9]+)", text or "")
    if not match or max(len(match[1]), len(match[2])) > 10:
        return None, None
    width, height = int(match[1]), int(match[2])
    return (width, height) if max(width, height) < 2**31 else (None, None)
