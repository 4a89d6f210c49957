"""A run says why files are bad, where logs may lie, and what it took that is odd."""

from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path

import pytest

import hostile
import lakes
from bad_logs import GOOD, MILLISECONDS, updates
from clicklake.engines import Engine
from clicklake.errors import InputError

AS_OF = date(2018, 12, 31)


def run(engine: Engine, place: Path, files: hostile.Files, **changes: object) -> dict:
    hostile.write(files, place / "in")
    return lakes.run(engine, place / "in", place / "lake", AS_OF, **changes)


def test_too_many_bad_rows_are_explained_once(sail: Engine, tmp_path: Path) -> None:
    files = {"clickstream": {"a.csv": MILLISECONDS, "b.csv": MILLISECONDS}}
    with pytest.raises(InputError) as refused:
        run(sail, tmp_path, files, max_bad_ratio=0.05)
    assert str(refused.value).splitlines()[1:6] == [
        "  a.csv: time_out_of_range 5",
        "    found:    time in milliseconds since 1970, as 2018-04-01 09:12 would be, such as "
        "1522573923000",
        "    expected: seconds since 1970, such as 1522573923",
        "    to do:    give time in that way where the log is written",
        "  b.csv: time_out_of_range 5",
    ]


def test_a_mostly_bad_file_that_is_taken_is_told(sail: Engine, tmp_path: Path) -> None:
    files = {"clickstream": {"a.csv": GOOD, "b.csv": MILLISECONDS}}
    [note] = run(sail, tmp_path, files)["notes"]
    assert note.startswith("clickstream: 5 rows of b.csv are refused. Found: time in milliseconds")


def test_bad_files_have_their_cause(sail: Engine, tmp_path: Path) -> None:
    files = {"clickstream": {"a.csv": GOOD, "b.csv.gz": GOOD, "c.csv": gzip.compress(GOOD)}}
    run(sail, tmp_path, files, max_bad_files=1.0)
    found = {row["file"]: row["reason"] for row in lakes._rows(tmp_path / "lake", "bad_files")}
    assert "To do: rename it to b.csv." in found["b.csv.gz"]
    assert "To do: rename it to c.csv.gz." in found["c.csv"]


def test_rows_of_another_environment_alone_are_told(sail: Engine, tmp_path: Path) -> None:
    metrics = run(sail, tmp_path, {"user_updates": {"u": updates("prod")}})
    assert metrics["books"]["user_updates"]["filtered"] == 5
    [note] = metrics["notes"]
    assert "all 5 rows are filtered" in note
    assert '"prod" (5)' in note
    assert 'Expected: "production"' in note


def test_a_header_of_user_updates_is_told(sail: Engine, tmp_path: Path) -> None:
    headed = b"updated_at,user_id,email,name,environment\n" + updates("production")
    files = {"user_updates": {"u": headed, "v": updates("production")}}
    [note] = run(sail, tmp_path, files)["notes"]
    assert "1 files begin with a header, such as u." in note
    assert "notes" not in run(sail, tmp_path, {"user_updates": {"w": updates("production")}})


def test_folders_of_another_spelling_are_named(sail: Engine, tmp_path: Path) -> None:
    for name in ("clickstream", "page-views"):
        (tmp_path / "in" / name).mkdir(parents=True)
    with pytest.raises(InputError) as refused:
        run(sail, tmp_path, {})
    assert "set [SOURCES] CLICKSTREAM = clickstream in dl.cfg" in str(refused.value)
    assert "set [SOURCES] PAGE_VIEWS = page-views in dl.cfg" in str(refused.value)


def test_logs_at_the_top_are_named(sail: Engine, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_bytes(GOOD)
    with pytest.raises(InputError) as refused:
        run(sail, tmp_path, {})
    assert (
        "a.csv lies in INPUT_DATA itself and has rows of clickstream. Move it to Clickstream, "
        "or set [SOURCES] CLICKSTREAM = . in dl.cfg."
    ) in str(refused.value)
