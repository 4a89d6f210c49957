"""The cause that a person sees at once: each kind of bad file, from its first bytes and rows."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import tarfile
import zipfile
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clicklake.logs import misplaced
from clicklake.logs.diagnosis import cause_of, environments
from clicklake.logs.sampling import head_of
from clicklake.parse import fields, sources
from clicklake.storage import FileInfo, open_storage

AS_OF = date(2018, 12, 31)
HEADER = "anonymous_user_id,url,time,browser,os,screen_resolution\n"
NAMES = HEADER.strip().split(",")


def clicks(time: str = "{}", separator: str = ",", header: str = HEADER, count: int = 9) -> str:
    rows = [
        ["v1", "/a", time.format(1_522_573_923 + n), "Chrome", "Linux", ""] for n in range(count)
    ]
    return header.replace(",", separator) + "".join(separator.join(row) + "\n" for row in rows)


def views(count: int = 9, **changes: object) -> list[dict[str, object]]:
    usual = {"url": "/a", "environment": "production", "user_id": 7}
    return [{"ts": f"2018-04-01T09:12:0{n}Z", **usual, **changes} for n in range(count)]


def lines(objects: list[dict[str, object]]) -> str:
    return "".join(json.dumps(each) + "\n" for each in objects)


def updates(name: str = "Zoë", day: str = "2018-04-01 09:12:0", count: int = 9) -> str:
    return "".join(f'"{day}{n}","7","a@b.example","{name}","production"\n' for n in range(count))


def zipped(text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.csv", text)
    return buffer.getvalue()


def parquet() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"url": ["/a"]}), buffer)
    return buffer.getvalue()


def ticks(seconds: int) -> int:
    """LDAP's and Windows' time: 100 ns since 1601, whose first day is 134,774 days before 1970."""
    return (seconds + 134_774 * 86_400) * 10_000_000


def archived(text: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("a.csv")
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


TWICE = gzip.compress(gzip.compress(clicks().encode()))
LDAP = HEADER + "".join(f"v,/,{ticks(1_522_573_923)},,,\n" for _ in range(9))
PRETTY = "".join(json.dumps(each, indent=2) + "\n" for each in views())
OTHER = "visitor,page,when,browser,os,size\n"

# source, the file's name, its content, then what must be found and what must be told to do
CASES = {
    "milliseconds": ("clickstream", "a.csv", clicks("{}000"), "time in milliseconds", "time"),
    "microseconds": ("clickstream", "a.csv", clicks("{}000000"), "time in microseconds", "time"),
    "nanoseconds": ("clickstream", "a.csv", clicks("{}000000000"), "time in nanosec", "time"),
    "ldap units": ("clickstream", "a.csv", LDAP, "as 2018-04-01 09:12 would be", "time"),
    "ldap text": ("clickstream", "a.csv", clicks("20180401091203Z"), "LDAP's format", "time"),
    "iso for unix": ("clickstream", "a.csv", clicks("2018-04-01T09:12:03Z"), "ISO 8601", "time"),
    "the future": ("clickstream", "a.csv", clicks("1{}"[:1] + "999999999"), "such as", "--as-of"),
    "unix for iso": ("page_views", "a", lines(views(ts=1_522_573_923)), "ts in seconds", "ts"),
    "slashes": ("user_updates", "a", updates(day="04/01/2018 9:0"), "the day or the month", "upd"),
    "line breaks": ("user_updates", "a", updates("A\nB"), "line breaks", "CSV_MULTILINE = true"),
    "gzip": ("clickstream", "a.csv", gzip.compress(clicks().encode()), "gzip data", "a.csv.gz"),
    "gzip as bz2": ("clickstream", "a.bz2", gzip.compress(b"x"), "gzip data", "rename it to a.gz"),
    "bz2": (
        "page_views",
        "a.json",
        bz2.compress(lines(views()).encode()),
        "bz2 data",
        "a.json.bz2",
    ),
    "zip": ("clickstream", "a.csv", zipped(clicks()), "a zip archive", "unpack"),
    "tar": ("clickstream", "a.tar", archived(clicks()), "a tar archive", "unpack"),
    "tar.gz": ("clickstream", "a.tar.gz", gzip.compress(archived(clicks())), "a tar", "unpack"),
    "packed twice": ("clickstream", "a.csv.gz", TWICE, ".gz data in a.csv.gz", "unpack"),
    "parquet": ("page_views", "a.json", parquet(), "a Parquet file", "JSON lines"),
    "plain gz": ("clickstream", "a.csv.gz", clicks(), "plain text under", "rename it to a.csv"),
    "utf-16": ("clickstream", "a.csv", clicks().encode("utf-16"), "UTF-16", "iconv -f UTF-16"),
    "utf-16 bare": ("page_views", "a", lines(views()).encode("utf-16-le"), "UTF-16", "iconv"),
    "latin-1": (
        "user_updates",
        "a",
        updates().encode("latin-1"),
        "Latin-1",
        "iconv -f WINDOWS-1252",
    ),
    "an array": ("page_views", "a.json", json.dumps(views()), "a JSON array", "jq -c '.[]' a.json"),
    "pretty": ("page_views", "a.json", PRETTY, "over several lines", "jq -c ."),
    "csv for json": ("page_views", "a", "ts,url,user\n1,/a,2\n" * 5, "CSV", "export it as JSON"),
    "json for csv": ("clickstream", "a", lines([{"time": 1}] * 5), "JSON", "export it as CSV"),
    "other keys": ("page_views", "a", lines([{"time": 1}] * 5), "without ts, url", "these keys"),
    "tabs": ("clickstream", "a", clicks(separator="\t"), "tabs between", "commas"),
    "semicolons": ("user_updates", "a", updates().replace(",", ";"), "semicolons", "commas"),
    "other names": ("clickstream", "a", clicks(header=OTHER), "visitor,page,when", "name the col"),
    "no header": ("clickstream", "a", clicks(header=""), "no header", "add the header"),
    "other source": ("clickstream", "a", updates(), "rows of user_updates", "[SOURCES] in dl.cfg"),
    "views for clicks": ("clickstream", "a", lines(views()), "rows of page_views", "move it"),
    "columns": (
        "user_updates",
        "a",
        '"7","a@b.example"\n' * 9,
        "2 fields in a line",
        "export these",
    ),
}


def look(folder: Path, source: str, name: str, content: str | bytes):
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    storage = open_storage(str(folder))
    [info] = storage.list()
    return head_of(storage, info, sources.SOURCES[source], fields.time_range(AS_OF))


@pytest.mark.parametrize("source, name, content, found, remedy", CASES.values(), ids=CASES.keys())
def test_the_cause_is_named(tmp_path, source, name, content, found, remedy):
    cause = cause_of(look(tmp_path, source, name, content))
    assert cause is not None
    assert found in cause.found
    assert remedy in cause.remedy or remedy in str(cause)


@pytest.mark.parametrize(
    "source, content",
    [("clickstream", clicks()), ("page_views", lines(views())), ("user_updates", updates())],
)
def test_nothing_is_wrong_with_good_files(tmp_path, source, content):
    for name, data in (("a", content.encode()), ("a.gz", gzip.compress(content.encode()))):
        assert cause_of(look(tmp_path, source, name, data)) is None
        (tmp_path / name).unlink()


def test_what_lies_behind_the_beginning_is_not_guessed(tmp_path):
    """A file that is cut in the middle of a character, and rows that no kind explains."""
    long = updates("Zoë" * 10, count=9) * 1000
    assert cause_of(look(tmp_path, "user_updates", "a", long[:-40])) is None
    (tmp_path / "a").unlink()
    assert cause_of(look(tmp_path, "user_updates", "a", updates().replace('"7"', '"x"'))) is None


def test_what_may_be_private_is_not_named(tmp_path):
    """Values of shifted columns, and a row where a header is looked for."""
    shifted = "".join(f'"a@b.example","7","Ann","production","{n}@b.example"\n' for n in range(9))
    head = look(tmp_path, "user_updates", "a", shifted)
    assert environments(head) == [("(no word)", 9)]
    (tmp_path / "a").unlink()
    names = "".join(f'"2018-04-01","7","a@b.example","x","Name{n}x"\n' for n in range(11))
    head = look(tmp_path, "user_updates", "a", names.replace("0x", "zero"))
    assert environments(head) == [("more than 10 different values", 11)]
    (tmp_path / "a").unlink()
    head = look(
        tmp_path, "clickstream", "a", clicks(header="ann@b.example,/a,x,Chrome,Linux,1x1\n")
    )
    assert "no header" in cause_of(head).found
    (tmp_path / "a").unlink()
    head = look(tmp_path, "user_updates", "a", updates(day="Ann Lee "))
    assert cause_of(head).found == "updated_at in a format that is not known"


def test_in_a_bucket_files_at_the_top_and_folders_are_told_apart():
    class Bucket:
        def list(self) -> list[FileInfo]:
            paths = {
                "clickstream/1.csv": 5,
                "clickstream/2.csv": 5,
                "a.csv": 5,
                "empty": 0,
                "_x": 5,
            }
            return [FileInfo(path, size, "") for path, size in paths.items()]

    names, infos = misplaced._top(Bucket())
    assert names == ["clickstream"]
    assert [info.path for info in infos] == ["a.csv"]


def test_the_environments_that_were_found(tmp_path):
    content = lines(views(5, environment="prod") + views(2, environment="PRODUCTION"))
    head = look(tmp_path, "page_views", "a", content)
    assert environments(head) == [("prod", 5), ("PRODUCTION", 2)]
    assert head.is_all_filtered
    (tmp_path / "a").unlink()
    headed = "updated_at,user_id,email,name,environment\n" + updates().replace("production", "dev")
    assert environments(look(tmp_path, "user_updates", "a", headed)) == [("dev", 9)]
