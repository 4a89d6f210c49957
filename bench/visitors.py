"""Logs of visitors who come once: a click each, the usual shape of a public site."""

from __future__ import annotations

from pathlib import Path

import duckdb

_LINE = 112  # bytes of a click
_CLICKS = """
copy (
    select md5(n::varchar)[:16] as anonymous_user_id,
        'https://shop.example.com/products/' || hash(n) % 5000 || '/?utm_source=mail'
            || hash(n + 3) % 20 as url,
        1522540800 + hash(n + 7) % 2592000 as time,
        'Chrome ' || hash(n + 1) % 30 as browser,
        ['Windows 10', 'Linux', 'macOS', 'Android'][1 + (hash(n + 2) % 4)::int] as os,
        ['1920x1080', '1366x768', '390x844'][1 + (hash(n + 5) % 3)::int] as screen_resolution
    from range({clicks}) as numbers(n)
) to '{file}' (header)
"""
_OTHERS = {
    "UserUpdates": '"2018-04-01 09:12:03","1","user1@example.com","Ann","production"\n',
    "PageViews": '{"ts": "2018-04-01T09:12:40Z", "url": "/", "environment": "production", '
    '"user_id": 1}\n',
}


def write(folder: Path, size: int) -> None:
    """About `size` bytes of clicks in April 2018, and a row of each other source."""
    for name in ("Clickstream", *_OTHERS):
        (folder / name).mkdir(parents=True)
    for name, row in _OTHERS.items():
        (folder / name / "row").write_text(row)
    with duckdb.connect() as connection:
        file = folder / "Clickstream" / "clicks.csv"
        connection.execute(_CLICKS.format(clicks=size // _LINE, file=file))
