"""Refused rows, repaired or read by a mended parser, come in once; the books balance."""

from __future__ import annotations

import gzip
import io
import json
import os
from datetime import date, timedelta
from pathlib import Path

import pyarrow.compute as pc
import pytest
from rich.console import Console

import lakes
from clicklake.cli import main as cli
from clicklake.errors import InputError
from clicklake.parse import texts
from clicklake.progress import Reporter
from clicklake.run import job, replay

AS_OF = date(2018, 12, 31)
HEADER = "anonymous_user_id,url,time,browser,os,screen_resolution\n"
GOOD = "a,https://x/1,1522576800,C,L,\n"
BAD = "a,https://x/2,soon,C,L,\n"
MENDED = "a,https://x/2,1522576860,C,L,\n"


@pytest.fixture
def places(sail, tmp_path):
    """Raw clicks with a bad row, and the lake of them."""
    source, lake = tmp_path / "in", tmp_path / "lake"
    (source / "Clickstream").mkdir(parents=True)
    (source / "Clickstream" / "raw.csv").write_text(HEADER + GOOD + BAD)
    lakes.run(sail, source, lake, AS_OF)
    return source, lake


@pytest.fixture
def mended(tmp_path) -> Path:
    file = tmp_path / "mended.csv.gz"
    file.write_bytes(gzip.compress((HEADER + MENDED).encode()))
    return file


@pytest.fixture
def replayed(sail, monkeypatch):
    """Replay with the running engine."""
    inner = job.run
    monkeypatch.setattr(job, "run", lambda c, o, r, running=sail: inner(c, o, r, running))

    def run(
        source: Path,
        lake: Path,
        *files: Path,
        kind: str | None = "clickstream",
        as_of=AS_OF,
        **changes,
    ) -> dict:
        options = job.Options("sail", as_of, publish=False)
        quiet = Reporter(Console(file=io.StringIO()))
        settings = lakes.configuration(source, lake, **changes)
        return replay.run(settings, options, kind, [str(file) for file in files], quiet).to_json()

    return run


def urls(lake: Path) -> list[str]:
    return sorted(row["url"] for row in lakes._rows(lake, "clickstream"))


def test_a_repaired_row_comes_in_once_however_often_it_is_replayed(places, mended, replayed):
    source, lake = places
    first = replayed(source, lake, mended)["books"]["clickstream"]
    assert first == {"read": 1, "kept": 1, "duplicate": 0, "filtered": 0, "quarantined": 0}
    assert urls(lake) == ["https://x/1", "https://x/2"]
    assert mended.exists()
    again = replayed(source, lake, mended)["books"]["clickstream"]
    assert again == {"read": 1, "kept": 0, "duplicate": 1, "filtered": 0, "quarantined": 0}
    assert urls(lake) == ["https://x/1", "https://x/2"]


def test_a_mended_raw_file_and_a_replayed_one_bring_a_row_in_once(places, mended, replayed, sail):
    source, lake = places
    replayed(source, lake, mended)
    (source / "Clickstream" / "raw.csv").write_text(HEADER + GOOD + MENDED)
    lakes.run(sail, source, lake, AS_OF)
    assert urls(lake) == ["https://x/1", "https://x/2"]
    assert lakes.quarantine(lake) == []


def test_a_rebuild_reads_replayed_files_again(places, mended, replayed, sail):
    source, lake = places
    replayed(source, lake, mended)
    books = lakes.run(sail, source, lake, AS_OF, rebuild=True)["books"]["clickstream"]
    assert books == {"read": 3, "kept": 2, "duplicate": 0, "filtered": 0, "quarantined": 1}
    assert urls(lake) == ["https://x/1", "https://x/2"]


def test_a_lake_that_was_copied_does_not_take_replayed_files_for_changed(
    places, mended, replayed, sail
):
    source, lake = places
    replayed(source, lake, mended)
    for file in (lake / "_clicklake" / "replay").rglob("*.gz"):
        os.utime(file, (1, 1))
    assert lakes.run(sail, source, lake, AS_OF)["status"] == "nothing_new"


def test_what_is_bad_still_is_quarantined_with_its_place(places, tmp_path, replayed):
    source, lake = places
    (tmp_path / "half.csv").write_text(HEADER + MENDED + BAD)
    books = replayed(source, lake, tmp_path / "half.csv")["books"]["clickstream"]
    assert books == {"read": 2, "kept": 1, "duplicate": 0, "filtered": 0, "quarantined": 1}
    place = next(file for _, file, *_ in lakes.quarantine(lake) if "replay" in file)
    assert place.startswith("_clicklake/replay/clickstream/")
    assert place.endswith("-half.csv")


def test_a_file_that_the_run_refuses_is_not_kept(places, tmp_path, replayed):
    source, lake = places
    (tmp_path / "bad.csv").write_text(HEADER + BAD)
    with pytest.raises(InputError, match="Nothing was published"):
        replayed(source, lake, tmp_path / "bad.csv", max_bad_ratio=0.1)
    assert list((lake / "_clicklake").glob("replay/*/*")) == []
    assert urls(lake) == ["https://x/1"]


def test_a_source_without_raw_files_takes_replayed_ones(places, tmp_path, replayed):
    source, lake = places
    view = {"ts": "2018-04-01T10:00:00Z", "url": "/", "environment": "production", "user_id": 1}
    (tmp_path / "views.json").write_text(json.dumps(view) + "\n")
    books = replayed(source, lake, tmp_path / "views.json", kind="page_views")["books"]
    assert books["page_views"]["kept"] == 1


BROKEN = 'a,"https://x/3\n?q=1",1522576920,C,L,\n'
JOINED = "https://x/3\n?q=1"
TOMORROW = "a,https://x/4,1546387200,C,L,\n"  # 2019-01-02 00:00:00


@pytest.fixture
def refused(sail, tmp_path):
    """Clicks of which two files have rows that are refused, for four reasons, and the lake."""
    source, lake = tmp_path / "in", tmp_path / "lake"
    clicks = source / "Clickstream"
    clicks.mkdir(parents=True)
    (clicks / "a.csv").write_text(HEADER + GOOD + BROKEN + BAD)
    (clicks / "b.csv").write_text(HEADER + GOOD + TOMORROW)
    (clicks / "sound.csv").write_text(HEADER + GOOD)
    lakes.run(sail, source, lake, AS_OF)
    assert [row[1:4] for row in lakes.quarantine(lake)] == [
        ("a.csv", 3, "unclosed_quote"),
        ("a.csv", 4, "wrong_field_count"),
        ("a.csv", 5, "invalid_time"),
        ("b.csv", 3, "time_out_of_range"),
    ]
    return source, lake


def test_what_a_mended_parser_takes_comes_in_once(refused, replayed, sail):
    source, lake = refused
    mend = {"csv_multiline": True, "as_of": AS_OF + timedelta(days=1)}
    books = replayed(source, lake, kind=None, **mend)["books"]["clickstream"]
    assert books == {"read": 5, "kept": 2, "duplicate": 2, "filtered": 0, "quarantined": 1}
    assert urls(lake) == ["https://x/1", JOINED, "https://x/4"]
    assert [row[1:4] for row in lakes.quarantine(lake)] == [("a.csv", 5, "invalid_time")]
    tables, run = lakes.read(lake), lakes.manifest(lake)["run_id"]
    assert replayed(source, lake, kind=None, **mend)["status"] == "nothing_new"
    assert lakes.manifest(lake)["run_id"] == run
    lakes.run(sail, source, lake, rebuild=True, **mend)
    assert lakes.read(lake) == tables
    assert [row[1:4] for row in lakes.quarantine(lake)] == [("a.csv", 5, "invalid_time")]


def test_without_a_mend_nothing_changes(refused, replayed):
    source, lake = refused
    (source / "Clickstream" / "new.csv").write_text(HEADER + MENDED)
    before = sorted((file, file.read_bytes()) for file in lake.rglob("*.parquet"))
    assert replayed(source, lake, kind=None)["status"] == "nothing_new"
    assert replayed(source, lake, kind="page_views")["status"] == "nothing_new"
    assert sorted((file, file.read_bytes()) for file in lake.rglob("*.parquet")) == before
    assert lakes.quarantine(lake)


def test_refused_rows_of_files_that_are_gone_or_grew_stay(refused, replayed, sail):
    source, lake = refused
    later = {"as_of": AS_OF + timedelta(days=1)}
    (source / "Clickstream" / "a.csv").unlink()
    with (source / "Clickstream" / "b.csv").open("a") as file:
        file.write(MENDED)
    assert replayed(source, lake, **later)["status"] == "nothing_new"
    assert len(lakes.quarantine(lake)) == 4
    lakes.run(sail, source, lake, **later)  # which reads the file that grew
    assert urls(lake) == ["https://x/1", "https://x/2", "https://x/4"]
    assert len(lakes.quarantine(lake)) == 3


def test_rows_that_were_refused_before_do_not_stop_a_replay(refused, replayed):
    source, lake = refused
    later = {"as_of": AS_OF + timedelta(days=1), "max_bad_ratio": 0.01}
    assert replayed(source, lake, **later)["books"]["clickstream"]["kept"] == 1


def test_a_mend_that_alters_rows_which_had_come_in_asks_for_a_rebuild(
    refused, replayed, monkeypatch
):
    source, lake = refused
    monkeypatch.setattr(texts, "_INTERPRETED", 1 << 60)  # else texts are coded
    lower = texts.TextColumn.to_arrow
    monkeypatch.setattr(texts.TextColumn, "to_arrow", lambda *given: pc.utf8_upper(lower(*given)))
    with pytest.raises(InputError, match=r"would be there twice.*--rebuild"):
        replayed(source, lake)
    assert urls(lake) == ["https://x/1"]


def test_the_command_line_tells_of_a_file_that_is_not_there(places, tmp_path, capsys):
    source, lake = places
    arguments = ["--input", str(source), "--output", str(lake)]
    absent = str(tmp_path / "absent.csv")
    assert cli.main(["replay", "clickstream", absent, *arguments]) == 4
    assert "there is no such file" in capsys.readouterr().err
