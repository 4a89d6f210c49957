"""What a report shows of raw rows: why they were refused, and not whom they are about."""

from __future__ import annotations

import re

HIDDEN = "•••"
SHOWN = 160  # characters of a sample

_PART = r"""[^\s"'`,;:<>()\[\]{}=&?/|]"""
_ADDRESS = re.compile(rf"(?<!{_PART}){_PART}+(?:@|%40)(?:{_PART}|:)*", re.I)
# A parameter of a URL or a setting: name=value; campaigns are no secret.
_PARAMETER = re.compile(r"(?<![\w.-])((?!utm_)[\w.-]+=)[^&\s\"',;#|]+")
# A value of a JSON object, also of a broken one; URLs and times have a colon, too.
_VALUE = re.compile(
    r"""(?<![\w/])(["']?([A-Za-z_]\w*)["']?\s*:\s*)("(?:[^"\\]|\\.)*"?|'[^']*'?|[^,}\]\s/][^,}\]\s]*)"""
)
_HARMLESS = ("ts", "url", "environment", "null", "http", "https")
# What begins with a digit and stands alone: not a part of a time or a path.
_NUMBER = re.compile(r"(?<![\w.:+/-])[+-]?\d[\w.]*(?![\w.:+/-])")
# A field such as 9f3a5c7e1b2d, a UUID, 2083 or 10.5; no 1920x1080, no date and no time in seconds.
_VISITOR = re.compile(
    r'(?<![^,"])(?!\d+[xX]\d+(?![^,"]))'
    r'(?:(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]+|\d{1,8}(?:\.\d+)?)(?![^,"])'
)
_WORD = re.compile(r"(?<![\w\\])(?!(?:production|staging|test|development|at)\b)([^\W\d_])[^\W_]*")


def hide_addresses(text: str) -> str:
    """The text without e-mail addresses.

    >>> hide_addresses("/invite?to=ann@example.com&x=1")
    '/invite?to=•••@•••&x=1'
    """
    return _ADDRESS.sub(f"{HIDDEN}@{HIDDEN}", text)


def hide_private(text: str) -> str:
    """A URL or a path without addresses and without values of parameters.

    >>> hide_private("/a?token=s3cr3t&to=ann@example.com&utm_source=news")
    '/a?token=•••&to=•••&utm_source=news'
    """
    return hide_addresses(_PARAMETER.sub(rf"\1{HIDDEN}", text))


def sample(source: str, raw: str) -> str:
    """A refused row, shortened, without addresses, names, user ids, visitor ids and parameters.

    >>> sample("user_updates", '"2018-02-30 10:00:00","7x","ann@example.com","Ann","production"')
    '"2018-02-30 10:00:00","•••","•••@•••","A•••","production"'
    >>> sample("page_views", '{"ts": "2018-03-29 25:00", "url": "/?key=1", "user_id": 1003.5}')
    '{"ts": "2018-03-29 25:00", "url": "/?key=•••", "user_id": •••.•••}'
    >>> sample("clickstream", "9f3a5c7e1b2d,https://shop.example/,2018-04-04,Chrome 65,Linux,")
    '•••,https://shop.example/,2018-04-04,Chrome 65,Linux,'
    """
    masked = hide_private(raw)
    if source == "user_updates":
        masked = _WORD.sub(rf"\1{HIDDEN}", _NUMBER.sub(HIDDEN, masked))
    elif source == "page_views":
        masked = _NUMBER.sub(HIDDEN, _VALUE.sub(_without_value, masked))
    else:
        masked = _VISITOR.sub(HIDDEN, masked)
    return masked if len(masked) <= SHOWN else masked[: SHOWN - 1] + "…"


def _without_value(found: re.Match[str]) -> str:
    """A key with its value's shape: what stands between words, without the words."""
    key, name, value = found.groups()
    if name.lower() in _HARMLESS or value in ("null", "true", "false"):
        return str(found[0])
    return key + re.sub(r"[^\W_]+", HIDDEN, value)
