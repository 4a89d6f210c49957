"""Small logs with a person in them, and the same without that person."""

from __future__ import annotations

from pathlib import Path

HEADER = "anonymous_user_id,url,time,browser,os,screen_resolution"


UPDATES = """
!2018-04-01T10:00:00,7,ann@example.com,Ann Lee,production
!2018-05-01T10:00:00,7,Ann.Two@example.com,Ann Lee,production
2018-04-01T10:00:00,8,bob@example.com,Bob Lee,production
2018-04-02T10:00:00,77,seven@example.com,Seven,production
!2018-04-99T10:00:00,7,ann@example.com,Ann Lee,production
!soon,8,"ann@example.com",Bob Lee,production
soon,8,bob@example.com,Bob Lee,production
"""


VIEWS = """
!{"ts": "2018-04-01T10:00:00Z", "url": "/a", "environment": "production", "user_id": 7}
!{"ts": "2018-05-01T10:00:00Z", "url": "/b", "environment": "production", "user_id": "7"}
{"ts": "2018-04-01T10:00:00Z", "url": "/a", "environment": "production", "user_id": 8}
!{"ts": "2018-04-01T10:00:01Z","url":"/?ann%40example.com", "environment":"production","user_id":8}
{"ts": "2018-04-07T07:07:07Z", "url": "/7", "environment": "production", "user_id": 77}
!{"ts": "x", "url": "/a", "environment": "production", "user_id": 7}
{"ts": "x", "url": "/7", "environment": "production", "user_id": 77}
"""


CLICKS = """
!v-ann-1,https://shop.example/,1522576800,Chrome,Linux,
!v-ann-1,https://shop.example/login?mail=Ann%40Example.com,1522576860,Chrome,Linux,
v-bob-1,https://shop.example/,1522576800,Chrome,Linux,
v-bob-1,https://shop.example/cart,1522576900,Chrome,Linux,
!v-ann-1,https://shop.example/,1525168800,Chrome,Linux,
!"v-ann-1",https://shop.example/,never,Chrome,Linux,
v-bob-1,https://shop.example/,never,Chrome,Linux,
"""


LATER = """
!2018-06-01T10:00:00,7,ann@example.com,Ann Lee,production
!2018-06-02T10:00:00,9,ann@example.com,Somebody,production
2018-06-01T10:00:00,8,bobby@example.com,Bob Lee,production
"""


NAMES = ("ann@", "ann%40", "ann.two", "v-ann")


def write(folder: Path, name: str, text: str, *, with_ann: bool, header: str | None = None) -> None:
    lines = [line for line in text.strip().splitlines() if with_ann or not line.startswith("!")]
    content = [*([header] if header else []), *(line.removeprefix("!") for line in lines)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(content) + "\n")


def logs(folder: Path, *, with_ann: bool) -> Path:
    write(folder / "UserUpdates", "u.csv", UPDATES, with_ann=with_ann)
    write(folder / "PageViews", "v.json", VIEWS, with_ann=with_ann)
    write(folder / "Clickstream", "c.csv", CLICKS, with_ann=with_ann, header=HEADER)
    return folder
