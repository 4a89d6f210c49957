"""Sample logs of a web shop that never was: seeded, a few megabytes or many gigabytes.

The shop's weeks have a rhythm and its days a night. A newsletter brings a spring sale, adverts
bring a festival, one blog post goes viral, and two crawlers come on one night. Visits cross
midnight, rows come late or twice, some are of other environments, and a few are malformed.

A log is made day by day and in blocks: numpy draws what happened, Arrow joins the text, and
nothing larger than a block is held. The same plan gives the same bytes.
"""

from __future__ import annotations

import bz2
import gzip
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Rows = np.ndarray  # a structured array with at least `time`, milliseconds since the first midnight

DAY = 86_400_000
LONG_RECORD = (1 << 20) + 1

# ------------------------------------------------------------------ the plan


@dataclass(frozen=True)
class Plan:
    """How much to make. Row counts are of the whole period and come out within a few percent."""

    start: date
    days: int
    clicks: int
    views: int
    updates: int
    rows_per_file: int
    codecs: tuple[str, ...]  # endings, taken in turn day by day
    seed: int = 7

    @property
    def products(self) -> int:
        return max(96, int(1.5 * self.views**0.5))

    @property
    def users(self) -> int:
        return max(20, self.views // 30)

    @property
    def visitors(self) -> int:
        return max(50, self.clicks // 12)


def small(seed: int = 7, days: int = 56) -> Plan:
    """The sample that the repository carries: eight weeks from a Monday in March."""
    return Plan(
        start=date(2018, 3, 19),
        days=days,
        clicks=300 * days,
        views=200 * days,
        updates=45 * days,
        rows_per_file=400,
        codecs=("", ".gz", "", ".bz2", ".zst"),
        seed=seed,
    )


def of_size(size: int, seed: int = 7, days: int = 30) -> Plan:
    """About `size` bytes before compression, in `days` days of 2018 (365 at most)."""
    return Plan(
        start=min(date(2018, 4, 1), date(2018, 12, 31) - timedelta(days - 1)),
        days=days,
        clicks=int(size * 0.55 / Clickstream.bytes_per_row),
        views=int(size * 0.40 / PageViews.bytes_per_row),
        updates=int(size * 0.05 / UserUpdates.bytes_per_row),
        rows_per_file=1_000_000,
        codecs=("", "", "", ".gz", "", "", "", ".zst"),
        seed=seed,
    )


@dataclass(frozen=True)
class Written:
    """A file that was written: its rows and bytes (before compression)."""

    path: Path
    rows: int
    bytes: int


def write(plan: Plan, output: Path) -> Iterator[Written]:
    """Write the three logs below `output`, in a folder for each day; yields file after file."""
    for number, log in enumerate((UserUpdates(plan), PageViews(plan), Clickstream(plan))):
        parts: dict[int, Iterator[int]] = defaultdict(count)
        for day, rows, text in log.files():
            codec = plan.codecs[(day + number) % len(plan.codecs)]
            folder = output / log.folder / f"{plan.start + timedelta(day):%Y/%m/%d}"
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"part-{next(parts[day])}{log.ending}{codec}"
            path.write_bytes(_COMPRESS[codec](text))
            yield Written(path, rows, len(text))


_COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": lambda data: gzip.compress(data, 3, mtime=0),
    ".bz2": bz2.compress,
    ".zst": lambda data: pa.Codec("zstd", compression_level=3).compress(data, asbytes=True),
}

# ------------------------------------------------------------------ rhythm and randomness

_WEEK = np.array([1.0, 1.03, 1.01, 1.06, 0.94, 0.70, 0.82])  # from Monday
_HOURS = np.array(
    [
        *(20, 11, 7, 5, 5, 8, 18, 34, 46, 52, 55, 58),
        *(64, 58, 53, 52, 55, 62, 74, 88, 96, 90, 66, 38),
    ]
)
_HOURS_BEFORE = np.concatenate([[0], np.cumsum(_HOURS)]) / _HOURS.sum()


def _rhythm(plan: Plan) -> np.ndarray:
    """Each day's share of usual traffic: the week's rhythm on a slow growth. Mean 1."""
    days = np.arange(plan.days)
    weights = _WEEK[(plan.start.weekday() + days) % 7] * (1 + 0.25 * days / plan.days)
    return weights / weights.mean()


def _time_of_day(rng: np.random.Generator, size: int) -> np.ndarray:
    """Milliseconds since midnight: few at night, most in the evening."""
    hours = np.interp(rng.random(size), _HOURS_BEFORE, np.arange(25))
    return (hours * 3_600_000).astype(np.int64)


def _hash(values: np.ndarray, salt: int) -> np.ndarray:
    """A fixed, even scatter of whole numbers (splitmix64)."""
    mixed = values.astype(np.uint64) + np.uint64(salt * 0x9E3779B97F4A7C15 & (2**64 - 1))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _popular(rng: np.random.Generator, size: int, n: int, skew: float = 2.2) -> np.ndarray:
    """Numbers below `n`, the low ones much more often."""
    return (n * rng.random(size) ** skew).astype(np.int64)


def _text(values: list[str]) -> pa.Array:
    return pa.array(values, pa.string())


def _join(*parts: pa.Array | str) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")


_CLOCK = _text([f"{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}" for s in range(86_400)])
_MILLIS = _text([f".{ms:03}" for ms in range(1000)])


def _iso(times: np.ndarray, start: date, separator: str) -> tuple[pa.Array | str, ...]:
    """The parts of ISO times, to be joined."""
    days = _text(
        [str(start + timedelta(day)) for day in range(int(times.max(initial=0)) // DAY + 1)]
    )
    return (
        days.take(pa.array(times // DAY)),
        separator,
        _CLOCK.take(pa.array(times % DAY // 1000)),
        _MILLIS.take(pa.array(times % 1000)),
    )


# ------------------------------------------------------------------ what the shop has

_CATEGORIES = ("bikes", "books", "camping", "coffee", "garden", "kitchen", "music", "running")
_VIRAL = "/blog/the-octopus-that-dreams/"
_PAGES = (
    "/",
    "/cart/",
    "/checkout/",
    _VIRAL,
    "/blog/choosing-a-tent/",
    "/blog/café-crème-at-home/",
    "/blog/your-first-10-km/",
    "/blog/Gärtnern-im-März/",
    "/sale/spring/",
    "/festival/",
    *(f"/category/{name}/" for name in _CATEGORIES),
    *(
        f"/search/?q={words}"
        for words in ("tent", "red+bike", "caf%C3%A9", "r%C3%BCcksack", "椅子")
    ),
)
_PAGE = {path: number for number, path in enumerate(_PAGES)}
_BLOG = np.array([_PAGE[path] for path in _PAGES if path.startswith("/blog/") and path != _VIRAL])
_LISTING = np.array([_PAGE[path] for path in _PAGES if path.startswith(("/category/", "/search/"))])
_FIRST_PRODUCT = len(_PAGES)


def _page_table(products: int) -> pa.Array:
    return _text([*_PAGES, *(f"/products/{101 + number}/" for number in range(products))])


def _product_pages(
    rng: np.random.Generator, taste: np.ndarray, products: int, loyalty: float
) -> np.ndarray:
    """Product pages; a share of `loyalty` of them from the category of one's `taste`."""
    size = len(taste)
    own = rng.random(size) < loyalty
    category = np.where(own, taste, rng.integers(0, len(_CATEGORIES), size))
    rank = _popular(rng, size, products // len(_CATEGORIES))
    return _FIRST_PRODUCT + rank * len(_CATEGORIES) + category


def _taste(people: np.ndarray, salt: int) -> np.ndarray:
    return (_hash(people, salt) % np.uint64(len(_CATEGORIES))).astype(np.int64)


_ENVIRONMENTS = _text(["production", "staging", "development", "test"])


def _environments(rng: np.random.Generator, size: int) -> np.ndarray:
    return np.searchsorted([0.93, 0.97, 0.99], rng.random(size), side="right")


# ------------------------------------------------------------------ a log


class Log(ABC):
    """One source's log, made day by day."""

    folder: ClassVar[str]
    ending: ClassVar[str]
    number: ClassVar[int]  # keeps the logs' random numbers apart
    bytes_per_row: ClassVar[float]  # of text, for each row of the plan; measured
    header: ClassVar[bytes] = b""
    malformed_share = 0.008
    late_share = 0.015
    repeated_share = 0.004

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rhythm = _rhythm(plan)
        self._malformed_due = 0.0
        self._malformed = 0
        compressed = (
            d for d in range(plan.days) if plan.codecs[(d + self.number) % len(plan.codecs)]
        )
        self._day_of_long_record = next(compressed, 0)

    @abstractmethod
    def rows(self, rng: np.random.Generator, day: int) -> Iterator[Rows]:
        """What happened from one midnight to the next, in blocks; a visit may end after it."""

    @abstractmethod
    def lines(self, rows: Rows) -> pa.Array:
        """Each row as the text of its line, with the line's end."""

    @abstractmethod
    def malformed(self, day: date) -> list[bytes]:
        """One line for every reason to quarantine it, but for its length."""

    @abstractmethod
    def long_record(self) -> bytes: ...

    def files(self) -> Iterator[tuple[int, int, bytes]]:
        """(day, rows, text) of every file."""
        held: dict[int, list[Rows]] = defaultdict(list)  # until the day on which they arrive
        repeated: list[bytes] = []
        for day in range(self.plan.days):
            rng = np.random.default_rng([self.plan.seed, self.number, day])
            again: list[bytes] = []
            for block in self.rows(rng, day):
                arrived = np.concatenate([self._on_time(rng, block, day, held), *held.pop(day, [])])
                arrived = arrived[np.argsort(arrived["time"], kind="stable")]
                lines = self.lines(arrived)
                again += _every(lines, round(1 / self.repeated_share))
                odd = [*repeated, *self._malformed_lines(len(lines), day)]
                yield day, len(lines) + len(odd), self.header + _mixed(rng, lines, odd)
                repeated = []
            repeated = again

    def _on_time(
        self, rng: np.random.Generator, rows: Rows, day: int, held: dict[int, list[Rows]]
    ) -> Rows:
        """The rows that reach this day's files; the others are `held` for a later day's."""
        delay = rows["time"] // DAY - day
        late = rng.random(len(rows)) < self.late_share
        delay[late] += rng.choice([1, 2, 9], late.sum())
        for days in np.unique(delay[delay > 0]):
            held[day + int(days)].append(rows[delay == days])
        return rows[delay == 0]

    def _malformed_lines(self, rows: int, day: int) -> Iterator[bytes]:
        """The malformed lines for `rows` good ones; the reasons take turns."""
        if day == self._day_of_long_record:
            self._day_of_long_record = -1
            self._malformed_due -= 1
            yield self.long_record()
        self._malformed_due += rows * self.malformed_share
        lines = self.malformed(self.plan.start + timedelta(day))
        while self._malformed_due >= 1:
            yield lines[self._malformed % len(lines)] + b"\n"
            self._malformed_due -= 1
            self._malformed += 1


def _bounds(lines: pa.Array) -> tuple[np.ndarray, memoryview]:
    """Where each line begins, and after the last one its end, in the text of all of them."""
    _, offsets, data = lines.buffers()
    text = memoryview(data) if data is not None else memoryview(b"")
    return np.frombuffer(offsets, np.int32)[lines.offset : lines.offset + len(lines) + 1], text


def _every(lines: pa.Array, step: int) -> list[bytes]:
    """Every so many lines one, and at least one."""
    places = np.arange(min(step, len(lines)) // 2, len(lines), step)
    return [line.encode() for line in lines.take(pa.array(places)).to_pylist()]


def _mixed(rng: np.random.Generator, lines: pa.Array, odd: list[bytes]) -> bytes:
    """The text of `lines`, with the `odd` ones put between them."""
    bounds, text = _bounds(lines)
    places = np.sort(bounds[rng.integers(0, len(bounds), len(odd))])
    pieces: list[bytes | memoryview] = []
    begin = int(bounds[0])
    for place, line in zip(places.tolist(), odd, strict=True):
        pieces += [text[begin:place], line]
        begin = place
    pieces.append(text[begin : int(bounds[-1])])
    return b"".join(pieces)


# ------------------------------------------------------------------ UserUpdates

_FIRST_NAMES = (
    *("Ann", "Ben", "Chloé", "David", "Elif", "François", "Grace", "Håkon", "Inés", "Jürgen"),
    *("Kofi", "Łucja", "María", "Nguyễn", "Oğuz", "Priya", "Renée", "Søren", "Tomáš", "Zoë"),
    *("美咲", "Олег", "李", "Sarah", "Liam", "Emma", "Noah", "Olivia", "Yusuf", "Björk"),
)
_LAST_NAMES = (
    *("Smith", "Müller", "García", "Kowalski", "Nguyen", "Okafor", "Rossi", "Sato", "Dubois"),
    *("Öztürk", "Ivanov", "Larsen", "O'Neil", "Silva", "Novák", "Haddad", "Peña", "Virtanen"),
    *("de Vries", "Lindström", "Brown", "Kaya", "Singh"),
)


class UserUpdates(Log):
    """Sign-ups and changes: some people change their address, and one in 13 never signs up."""

    folder, ending, number = "UserUpdates", ".csv", 0
    bytes_per_row = 82.5

    def rows(self, rng: np.random.Generator, day: int) -> Iterator[Rows]:
        for size in _blocks(self.plan.updates / self.plan.days * self.rhythm[day], self.plan):
            rows = np.zeros(size, [("time", "i8"), ("user", "i8"), ("environment", "i1")])
            rows["time"] = day * DAY + _time_of_day(rng, size)
            rows["user"] = rng.integers(0, self.plan.users, size)
            rows["environment"] = _environments(rng, size)
            yield rows[rows["user"] % 13 != 5]

    def lines(self, rows: Rows) -> pa.Array:
        user = rows["user"]
        number = pc.cast(pa.array(1001 + user), pa.string())
        names = [f"{first} {last}" for first in _FIRST_NAMES for last in _LAST_NAMES]
        name = _hash(user, 1) % np.uint64(len(names))
        # One in nine moves to another address on a day of their own; one in 40 gives no name.
        moved = (user % 9 == 0) & (rows["time"] // DAY >= user % self.plan.days)
        name[user % 40 == 7] = len(names)
        return _join(
            '"',
            *_iso(rows["time"], self.plan.start, " "),
            '","',
            number,
            '","user',
            number,
            _text(["@example.com", ".new@example.org"]).take(pa.array(moved.astype(np.int8))),
            '","',
            _text([*names, ""]).take(pa.array(name)),
            '","',
            _ENVIRONMENTS.take(pa.array(rows["environment"])),
            '"\n',
        )

    def malformed(self, day: date) -> list[bytes]:
        texts = (
            f'"{day} 10:00:00","1003","user1003@example.com","Ann',
            f'"{day} 10:00:00","1004","user1004@example.com"',
            f'"{day} 10:00:00","1005","user1005@example.com","Ben Sato",""',
            f'"{day} 10:00:00","guest","guest@example.com","Guest","production"',
            '"2018-02-30 10:00:00","1006","user1006@example.com","Emma Brown","production"',
            '"1970-01-01 00:00:00","1007","user1007@example.com","Noah Kaya","production"',
            f'"{day} 10:00:00","1008","user1008 at example.com","Liam Singh","production"',
        )
        latin_1 = f'"{day} 10:00:00","1009","user1009@example.com","Zoë","production"'
        return [*(text.encode() for text in texts), latin_1.encode("latin-1")]

    def long_record(self) -> bytes:
        return (
            b'"2018-03-20 10:00:00","1010","user1010@example.com","' + b"x" * LONG_RECORD + b'"\n'
        )


def _blocks(rows: float, plan: Plan) -> list[int]:
    """A day's rows in blocks of about equal size, none larger than a file may be."""
    total = max(1, round(rows))
    blocks = -(-total // plan.rows_per_file)
    return [total // blocks + (block < total % blocks) for block in range(blocks)]


# ------------------------------------------------------------------ PageViews


class PageViews(Log):
    """What signed-in users look at: mostly products of the category that they like."""

    folder, ending, number = "PageViews", ".json", 1
    bytes_per_row = 109.0

    def rows(self, rng: np.random.Generator, day: int) -> Iterator[Rows]:
        plan = self.plan
        for size in _blocks(plan.views / plan.days * self.rhythm[day], plan):
            rows = np.zeros(
                size, [("time", "i8"), ("user", "i8"), ("page", "i8"), ("environment", "i1")]
            )
            rows["time"] = day * DAY + _time_of_day(rng, size)
            rows["user"] = _popular(rng, size, plan.users, 1.6)
            rows["environment"] = _environments(rng, size)
            rows["page"] = _product_pages(rng, _taste(rows["user"], 2), plan.products, 0.8)
            other = rng.random(size)
            rows["page"][other < 0.16] = rng.choice(_LISTING, (other < 0.16).sum())
            rows["page"][other < 0.08] = rng.choice(_BLOG, (other < 0.08).sum())
            rows["page"][other < 0.04] = _PAGE["/"]
            viral = rng.random(size) < 0.5 * _VIRAL_CHANNEL.lift(plan)[day] / _VIRAL_CHANNEL.peak
            rows["page"][viral] = _PAGE[_VIRAL]
            yield rows

    def lines(self, rows: Rows) -> pa.Array:
        # An old app writes the number as text.
        as_text = pa.array((rows["user"] % 20 == 3).astype(np.int8))
        return _join(
            '{"ts": "',
            *_iso(rows["time"], self.plan.start, "T"),
            'Z", "url": "',
            _page_table(self.plan.products).take(pa.array(rows["page"])),
            '", "environment": "',
            _ENVIRONMENTS.take(pa.array(rows["environment"])),
            _text(['", "user_id": ', '", "user_id": "']).take(as_text),
            pc.cast(pa.array(1001 + rows["user"]), pa.string()),
            _text(["}\n", '"}\n']).take(as_text),
        )

    def malformed(self, day: date) -> list[bytes]:
        end = '"environment": "production", "user_id": 1003}'
        texts = (
            f'{{"ts": "{day}T10:00:00Z", "url": "/products/916/", "enviro',
            f'["{day}T10:00:00Z", "/products/916/", "production", 1003]',
            f'{{"ts": "{day}T10:00:00Z", "url": "/cart/", "user_id": 1003}}',
            f'{{"ts": "{day}T10:00:00Z", "url": "/", {end[:-1]}.5}}',
            f'{{"ts": "{day}T10:00:00Z", "url": null, {end}',
            f'{{"ts": "{day} 25:00", "url": "/", {end}',
            f'{{"ts": "2048-04-01T10:00:00Z", "url": "/", {end}',
        )
        latin_1 = f'{{"ts": "{day}T10:00:00Z", "url": "/blog/café/", "environment": "production"}}'
        return [*(text.encode() for text in texts), latin_1.encode("latin-1")]

    def long_record(self) -> bytes:
        return b'{"ts": "2018-03-20T10:00:00Z", "url": "/' + b"a" * LONG_RECORD + b'"}\n'


# ------------------------------------------------------------------ Clickstream


@dataclass(frozen=True)
class Channel:
    """A way by which visitors come: where they land, with which query, how long they stay.

    Its visits per day are `steady` times the rhythm of the shop, plus `peak` from `begin` (a
    share of the period) on, which fades by half in `half_life` days. The unit is the number of
    visits of a usual day.
    """

    landing: tuple[str, ...]  # an empty text stands for a product
    query: str
    events: float
    steady: float = 0.0
    peak: float = 0.0
    begin: float = 0.0
    half_life: float = 1.0

    def lift(self, plan: Plan) -> np.ndarray:
        since = np.arange(plan.days) - int(self.begin * plan.days)
        return np.where(since >= 0, self.peak * 0.5 ** (since / self.half_life), 0.0)


_SPRING = "utm_campaign=spring_sale"
_FESTIVAL = "utm_campaign=f%C3%AAte+de+la+musique"
_VIRAL_CHANNEL = Channel(
    (_VIRAL,), "?utm_source=twitter&utm_medium=social", 1.3, peak=3.2, begin=0.52, half_life=0.9
)
_CHANNELS = (
    Channel(("/", "/", ""), "", 5.5, steady=0.6),
    Channel(("", "", *(_PAGES[n] for n in _LISTING[:8])), "", 4.0, steady=0.33),
    Channel(("/sale/spring/",), f"?utm_source=newsletter&utm_medium=email&{_SPRING}", 6.5,
            peak=0.9, begin=0.25, half_life=2.0),
    Channel(("/sale/spring/", ""), f"?utm_source=google&utm_medium=cpc&{_SPRING}#top", 4.5,
            steady=0.02, peak=0.25, begin=0.25, half_life=6.0),
    Channel(("/festival/",), f"?utm_source=instagram&utm_medium=social&{_FESTIVAL}", 3.5,
            steady=0.01, peak=0.9, begin=0.75, half_life=5.0),
    _VIRAL_CHANNEL,
    Channel((_VIRAL, _VIRAL, "/"), "?ref=front+page", 1.4, peak=1.2, begin=0.54, half_life=1.2),
)  # fmt: skip

# What visitors use: weight, browser, os, screens and whether it is a mobile one.
_DEVICES = (
    (24, "Chrome 65", "Windows 10", ("1920x1080", "1366x768", "1536x864", "2560x1440"), False),
    (8, "Firefox 59", "Windows 7", ("1280x1024", "1920x1080"), False),
    (5, "Edge 16", "Windows 10", ("1920x1080", "1600 x 900"), False),
    (8, "Safari 11", "macOS 10.13", ("1440x900", "2560x1600"), False),
    (3, "Firefox 59", "Linux", ("1920x1080", ""), False),
    (2, "Internet Explorer 11", "Windows 7", ("1024X768",), False),
    (22, "Chrome Mobile 65", "Android 8.0", ("360x640", "412x732", "393x786"), True),
    (18, "Mobile Safari 11", "iOS 11.3", ("375x667", "375x812", "414x736"), True),
    (3, "Samsung Internet 6", '"Android 7.0, Samsung"', ("360x740",), True),
    (2, "", "Android 6.0", ("", "unknown"), True),
    (1.2, "Googlebot/2.1", "", ("1024x1024",), False),
    (0.6, "Mozilla/5.0 (compatible; bingbot/2.0)", "", ("",), False),
    (0.4, "HeadlessChrome 65", "Linux", ("800x600",), False),
)
_DEVICE_WEIGHTS = np.cumsum(
    [weight / len(screens) for weight, _, _, screens, _ in _DEVICES for _ in screens]
)
_DEVICE_TEXT = _text(
    [f",{browser},{os},{s}\n" for _, browser, os, screens, _ in _DEVICES for s in screens]
)
_HOSTS = _text(
    [
        f",https://{'m' if mobile else 'shop'}.example.com"
        for _, _, _, screens, mobile in _DEVICES
        for _ in screens
    ]
)
_BROWSERS = [browser for _, browser, _, screens, _ in _DEVICES for _ in screens]
_HEX = _text([f"{n:04x}" for n in range(1 << 16)])
_CLICK = [("time", "i8"), ("visitor", "i8"), ("page", "i8"), ("query", "i1"), ("device", "i1")]


class Clickstream(Log):
    """What everyone does, in visits of several pages; and two crawlers that came on one night."""

    folder, ending, number = "Clickstream", ".csv", 2
    bytes_per_row = 100.6
    header = b"anonymous_user_id,url,time,browser,os,screen_resolution\n"
    burst_share = 0.08  # of the small sample's clicks; capped, so that no night is endless
    burst_most = 100_000

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.burst = int(min(plan.clicks * self.burst_share, self.burst_most))
        self.burst_day = int(0.43 * plan.days)
        visits = np.array([c.steady * self.rhythm + c.lift(plan) for c in _CHANNELS])
        events = visits.sum(axis=1) @ np.array([c.events for c in _CHANNELS])
        self.visits = visits * (plan.clicks - self.burst) / events

    def rows(self, rng: np.random.Generator, day: int) -> Iterator[Rows]:
        events = self.visits[:, day] @ np.array([channel.events for channel in _CHANNELS])
        blocks = len(_blocks(events, self.plan))
        for block in range(blocks):
            visits = np.round(self.visits[:, day] * (block + 1) / blocks) - np.round(
                self.visits[:, day] * block / blocks
            )
            rows = self._visits(rng, day, visits.astype(int))
            burst = self._crawlers(rng) if (day, block) == (self.burst_day, 0) else rows[:0]
            yield np.concatenate([rows, burst])

    def _visits(self, rng: np.random.Generator, day: int, visits: np.ndarray) -> Rows:
        """The clicks of so many `visits` of each channel."""
        channel = np.repeat(np.arange(len(_CHANNELS)), visits)
        channel = np.append(channel, 0)
        start = day * DAY + _time_of_day(rng, len(channel))
        events = rng.geometric(1 / np.array([c.events for c in _CHANNELS])[channel])
        # Somebody is up every night, so that every midnight and month's end has a visit across.
        start[-1] = (day + 1) * DAY - 300_000
        events[-1] = 12
        rows = np.zeros(events.sum(), _CLICK)
        visit = np.repeat(np.arange(len(channel)), events)
        first = np.cumsum(events) - events
        rows["visitor"] = _popular(rng, len(channel), self.plan.visitors, 1.4)[visit]
        rows["device"] = _devices(rows["visitor"])
        pause = np.minimum(2000 + rng.exponential(55_000, len(rows)), 1_500_000).astype(np.int64)
        pause[first] = 0
        elapsed = np.cumsum(pause)
        rows["time"] = start[visit] + elapsed - elapsed[first][visit]
        rows["page"] = self._pages(rng, rows["visitor"])
        rows["page"][first] = self._landing(rng, channel, rows["visitor"][first])
        rows["query"][first] = channel
        return rows

    def _pages(self, rng: np.random.Generator, visitors: np.ndarray) -> np.ndarray:
        pages = _product_pages(rng, _taste(visitors, 3), self.plan.products, 0.7)
        other = rng.random(len(pages))
        for below, choice in ((0.36, _LISTING), (0.16, _BLOG)):
            pages[other < below] = rng.choice(choice, (other < below).sum())
        for below, page in ((0.12, "/"), (0.08, "/cart/"), (0.03, "/checkout/")):
            pages[other < below] = _PAGE[page]
        return pages

    def _landing(
        self, rng: np.random.Generator, channel: np.ndarray, visitors: np.ndarray
    ) -> np.ndarray:
        pages = _product_pages(rng, _taste(visitors, 3), self.plan.products, 0.5)
        for number, way in enumerate(_CHANNELS):
            known = np.array([_PAGE.get(path, -1) for path in way.landing])
            mine = np.flatnonzero(channel == number)
            chosen = rng.choice(known, len(mine))
            pages[mine[chosen >= 0]] = chosen[chosen >= 0]
        return pages

    def _crawlers(self, rng: np.random.Generator) -> Rows:
        """From 3 o'clock, one crawler that gives its name and one that does not, page by page."""
        rows = np.zeros(self.burst, _CLICK)
        number = np.arange(self.burst)
        honest = number % 2 == 0
        rows["time"] = (
            self.burst_day * DAY + 3 * 3_600_000 + number * min(300, 7_200_000 // self.burst)
        )
        rows["visitor"] = self.plan.visitors + honest
        rows["device"] = np.where(honest, _BROWSERS.index("Googlebot/2.1"), 0)
        rows["page"] = _FIRST_PRODUCT + number // 2 % self.plan.products
        return rows

    def lines(self, rows: Rows) -> pa.Array:
        scattered = _hash(rows["visitor"], 4)
        begin = (self.plan.start - date(1970, 1, 1)).days * 86_400
        return _join(
            *(
                _HEX.take(pa.array((scattered >> np.uint64(s)) & np.uint64(0xFFFF)))
                for s in (0, 16, 32)
            ),
            _HOSTS.take(pa.array(rows["device"])),
            _page_table(self.plan.products).take(pa.array(rows["page"])),
            _text([channel.query for channel in _CHANNELS]).take(pa.array(rows["query"])),
            ",",
            pc.cast(pa.array(begin + rows["time"] // 1000), pa.string()),
            _DEVICE_TEXT.take(pa.array(rows["device"])),
        )

    def malformed(self, day: date) -> list[bytes]:
        noon = (day - date(1970, 1, 1)).days * 86_400 + 43_200
        texts = (
            f'9f3a5c7e1b2d,"https://shop.example.com/cart/,{noon},Chrome 65,Windows 10,1920x1080',
            f"9f3a5c7e1b2d,https://shop.example.com/?q=a,b,{noon},Chrome 65,Windows 10,1920x1080",
            f",https://shop.example.com/,{noon},Chrome 65,Windows 10,1920x1080",
            f"9f3a5c7e1b2d,,{noon},Chrome 65,Windows 10,1920x1080",
            f"9f3a5c7e1b2d,https://shop.example.com/,{day},Chrome 65,Windows 10,1920x1080",
            f"9f3a5c7e1b2d,https://shop.example.com/,{noon}000,Chrome 65,Windows 10,1920x1080",
        )
        latin_1 = f"9f3a5c7e1b2d,https://shop.example.com/blog/café/,{noon},Firefox 59,Linux,"
        return [*(text.encode() for text in texts), latin_1.encode("latin-1")]

    def long_record(self) -> bytes:
        return b"9f3a5c7e1b2d,https://shop.example.com/?q=" + b"a" * LONG_RECORD + b",0,,,\n"


def _devices(visitors: np.ndarray) -> np.ndarray:
    """Each visitor's device, always the same."""
    share = (_hash(visitors, 5) >> np.uint64(11)).astype(np.float64) / 2**53
    return np.searchsorted(_DEVICE_WEIGHTS, share * _DEVICE_WEIGHTS[-1], side="right")
