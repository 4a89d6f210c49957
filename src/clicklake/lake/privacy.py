"""Persons who are to be forgotten: known by keyed hashes, found in rows and in raw text."""

from __future__ import annotations

import base64
import hmac
import json
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import compress
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from clicklake.lake.commits import Lake
from clicklake.lake.places import FORGOTTEN
from clicklake.parse.rows import Parsed, Rejects

USER, EMAIL, VISITOR = "user", "email", "visitor"
KINDS = (USER, EMAIL, VISITOR)

# Where a person is named, and where texts may carry a person's address.
_NAMED_BY = {"user_id": USER, "email": EMAIL, "anonymous_user_id": VISITOR}
_TEXTS = ("url", "name", "recommended_url", "because_url", "landing_path", "exit_path")

HAS_AT = "@|%(25)*40"  # an expression: where an address may be
_LONGEST = 256  # characters of an address, on each side of its @
_LONGEST_NAME = 64  # of them before the @, by RFC 5321, where more stands before the address
_REMEMBERED = 1 << 16  # addresses of one text that are not looked up again
_PART = r"""[^\s"<>()\[\]\\,;@]"""
_ADDRESS = re.compile(rf"(?<!{_PART})({_PART}+)@(?=({_PART}+))")
_HOST = re.compile(r"[\w-]+(?:\.[\w-]+)*")
_MAY_END = re.compile(r"[/?#&=:'`{}|+!*~]")  # part of an address, or what comes before it
_NUMBER = re.compile(r'(?:(?<![\w.:+/-])|(?<=":))[+-]?\d{1,40}(?![\w.:+/-])')
# What may stand around a visitor's id in a record: what the sources' shapes are likely to have.
_BETWEEN = [re.compile(each) for each in (",", "[;|\x00-\x1f]", r"[\s,;|\"'`{}\[\]:]+")]


def addresses(text: str) -> Iterator[str]:
    """All that may be an e-mail address in a text or URL, in lower case, decoded.

    Of a long text there are many, so they come one by one.

    >>> sorted(addresses("/invite?to=O'Brien%40example.com#top"))[:2]
    ["/invite?to=o'brien@example.com", "/invite?to=o'brien@example.com#top"]
    >>> "o'brien@example.com" in addresses("/invite?to=O'Brien%40example.com#top")
    True
    """
    for match in _ADDRESS.finditer(_decoded(text).lower()):
        local, rest = match[1][-_LONGEST:], match[2][:_LONGEST]
        within = max(0, len(local) - _LONGEST_NAME)
        starts = [0, *(end.end() for end in _MAY_END.finditer(local, within))]
        host = _HOST.match(rest)
        for end in {rest, host[0] if host else rest}:
            yield from (f"{local[start:]}@{end}" for start in starts if local[start:])


def _decoded(text: str) -> str:
    """Percent-encoding undone, also where it was done twice."""
    for _ in range(3):
        if "%" not in text:
            break
        text = unquote(text)
    return text


@dataclass(frozen=True)
class Person:
    """All that names a person."""

    users: frozenset[int] = frozenset()
    emails: frozenset[str] = frozenset()  # lower case
    visitors: frozenset[str] = frozenset()

    @property
    def names(self) -> list[tuple[str, str]]:
        return [
            *((USER, str(user)) for user in self.users),
            *((EMAIL, email) for email in self.emails),
            *((VISITOR, visitor) for visitor in self.visitors),
        ]


@dataclass(frozen=True)
class Forgotten:
    """Who is kept out of the lake. `hashes`: HMAC-SHA256 of kind and name, as hex."""

    key: bytes = b""
    hashes: frozenset[str] = field(default_factory=frozenset)

    def __bool__(self) -> bool:
        return bool(self.hashes)

    def with_person(self, person: Person) -> Forgotten:
        keyed = self if self.key else replace(self, key=secrets.token_bytes(32))
        new = {keyed._hash(kind, name) for kind, name in person.names}
        return replace(keyed, hashes=keyed.hashes | new)

    def without_name(self, kind: str, name: str) -> Forgotten:
        """The same persons but for one name."""
        plain = {USER: _plain_number, EMAIL: str.lower}.get(kind, str)(name)
        return replace(self, hashes=self.hashes - {self._hash(kind, plain)})

    def knows(self, kind: str, name: str) -> bool:
        return self._hash(kind, name) in self.hashes

    def _hash(self, kind: str, name: str) -> str:
        return hmac.digest(self.key, f"{kind}:{name}".encode(), "sha256").hex()

    def in_rows(self, rows: pa.RecordBatch | pa.Table) -> pa.Array:
        """For each row whether it is about a forgotten person."""
        found = pa.array([False] * rows.num_rows)
        for column in rows.schema.names:
            values = rows[column]
            if pa.types.is_dictionary(values.type):
                values = values.cast(values.type.value_type)
            if column in _NAMED_BY:
                found = pc.or_(found, self._in_names(_NAMED_BY[column], values))
            elif column in _TEXTS:
                found = pc.or_(found, self._in_texts(values))
        return found

    def _in_names(self, kind: str, values: pa.Array) -> pa.Array:
        named = (str(name) for name in pc.unique(values).to_pylist() if name is not None)
        known = [
            name for name in named if self.knows(kind, name.lower() if kind == EMAIL else name)
        ]
        return pc.is_in(values, pa.array(known).cast(values.type))

    def _in_texts(self, values: pa.Array) -> pa.Array:
        suspects = values.filter(pc.match_substring_regex(pc.fill_null(values, ""), HAS_AT))
        known = [text for text in pc.unique(suspects).to_pylist() if self._in_text(text)]
        return pc.is_in(values, pa.array(known, values.type))

    def _in_text(self, text: str) -> bool:
        seen: set[str] = set()
        for address in addresses(text):
            if address not in seen:
                if self.knows(EMAIL, address):
                    return True
                seen.add(address)
                if len(seen) > _REMEMBERED:
                    seen.clear()
        return False

    def in_raw(self, source: str, raw: str) -> bool:
        """Whether a record that could not be understood names a forgotten person."""
        if self._in_text(raw.replace("\\u0040", "@")):
            return True
        if source == "clickstream":
            parts = {part.strip(" \t\"'") for each in _BETWEEN for part in each.split(raw)}
            return any(self.knows(VISITOR, part) for part in parts)
        return any(self.knows(USER, str(int(number))) for number in _NUMBER.findall(raw))

    def without(self, source: str, parsed: Parsed) -> Parsed:
        """A parsed block without forgotten persons; their rows count as filtered."""
        is_gone = self.in_rows(parsed.rows)
        stays = [not self.in_raw(source, raw) for raw in parsed.rejects.raws]
        gone = pc.sum(is_gone, min_count=0).as_py() + stays.count(False)
        rejects = Rejects(
            list(compress(parsed.rejects.lines, stays)),
            list(compress(parsed.rejects.reasons, stays)),
            list(compress(parsed.rejects.raws, stays)),
        )
        return replace(
            parsed,
            rows=parsed.rows.filter(pc.invert(is_gone)),
            rejects=rejects,
            filtered=parsed.filtered + gone,
        )

    def to_json(self) -> bytes:
        key = base64.b64encode(self.key).decode()
        return json.dumps({"key": key, "hashes": sorted(self.hashes)}, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes | str) -> Forgotten:
        raw = json.loads(data)
        return cls(base64.b64decode(raw["key"]), frozenset(raw["hashes"]))


def _plain_number(text: str) -> str:
    return str(int(text))


def load(lake: Lake) -> Forgotten:
    """Who is kept out of a lake; nobody, as long as nobody was forgotten."""
    data = lake.document(FORGOTTEN)
    return Forgotten.from_json(data) if data else Forgotten()


def masked(text: str, names: Iterable[str]) -> str:
    """A text in which the given names, if they stand alone, are no longer to be read."""
    for name in names:
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "•••", text)
    return text
