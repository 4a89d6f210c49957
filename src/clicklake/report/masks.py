"""What a report shows of raw rows: why they were refused, and not whom they are about."""

from __future__ import annotations

import re

HIDDEN = "•••"
SHOWN = 160  # characters of a sample

_PART = r"""[^\s"'`,;:<>()\[\]{}=&?/|]"""
_ADDRESS = re.compile(rf"(?<!{_PART}){_PART}+(?:@|%40)(?:{_PART}|:)*", re.I)
# A whole number that stands alone: not a part of a time, a path or a fraction.
_NUMBER = re.compile(r"(?<![\w.:+/-])[+-]?\d+(?![\w.:+/-])")
# A field such as 9f3a5c7e1b2d, a UUID or 2083; no 1920x1080, no date and no time in seconds.
_VISITOR = re.compile(
    r'(?<![^,"])(?!\d+[xX]\d+(?![^,"]))(?:(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]+|\d{1,8})(?![^,"])'
)
_WORD = re.compile(r"(?<![\w\\])(?!(?:production|staging|test|development|at)\b)([^\W\d_])[^\W_]*")


def hide_addresses(text: str) -> str:
    """The text without e-mail addresses.

    >>> hide_addresses("/invite?to=ann@example.com&x=1")
    '/invite?to=•••@•••&x=1'
    """
    return _ADDRESS.sub(f"{HIDDEN}@{HIDDEN}", text)


def sample(source: str, raw: str) -> str:
    """A refused row, shortened, without addresses, names, user ids and visitor ids.

    >>> sample("user_updates", '"2018-02-30 10:00:00","7","ann@example.com","Ann Lee","production"')
    '"2018-02-30 10:00:00","•••","•••@•••","A••• L•••","production"'
    >>> sample("page_views", '{"ts": "2018-03-29 25:00", "url": "/", "user_id": 1003}')
    '{"ts": "2018-03-29 25:00", "url": "/", "user_id": •••}'
    >>> sample("clickstream", "9f3a5c7e1b2d,https://shop.example/,2018-04-04,Chrome 65,Linux,")
    '•••,https://shop.example/,2018-04-04,Chrome 65,Linux,'
    """
    masked = hide_addresses(raw)
    if source == "user_updates":
        masked = _WORD.sub(rf"\1{HIDDEN}", _NUMBER.sub(HIDDEN, masked))
    elif source == "page_views":
        masked = _NUMBER.sub(HIDDEN, masked)
    else:
        masked = _VISITOR.sub(HIDDEN, masked)
    return masked if len(masked) <= SHOWN else masked[: SHOWN - 1] + "…"
