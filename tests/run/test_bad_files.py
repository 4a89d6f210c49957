"""A file that cannot be read is set aside: the night goes on, and nothing of it is in the lake."""

from __future__ import annotations

import gzip
import json
from datetime import date
from pathlib import Path

import pytest

import hostile
import lakes
import oracle
from clicklake.cli import main as cli
from clicklake.engines import Engine
from clicklake.errors import InputError

AS_OF = date(2018, 12, 31)
HEADER = "anonymous_user_id,url,time,browser,os,screen_resolution\n"


def clicks(name: str, count: int = 3) -> bytes:
    rows = [f"{name},/{n},{1_525_000_000 + n},,,\n" for n in range(count)]
    return (HEADER + "".join(rows)).encode()


GOOD: hostile.Files = {
    "clickstream": {"a.csv": clicks("a"), "b.csv": clicks("b")},
    "user_updates": {"u.csv": b'"2018-04-01 09:00:00","1","a@b.example","Ann","production"\n'},
}
WHOLE = gzip.compress(clicks("cut", 60_000), mtime=0)
BAD = {
    "cut short": ("x.csv.gz", WHOLE[: len(WHOLE) // 2]),
    "no gzip at all": ("x.csv.gz", b"time,url\n1,2\n"),
    "another header": ("x.csv", b"who,what\n1,2\n"),
}


def run(engine: Engine, place: Path, **changes: object) -> dict:
    given = {"max_bad_files": 0.5, **changes}
    return lakes.run(engine, place / "in", place / "lake", AS_OF, **given)


def bad_files(lake: Path) -> list[dict]:
    return lakes._rows(lake, "bad_files")


def holds(lake: Path, files: hostile.Files) -> bool:
    return lakes.differences(lake, oracle.compute(files, AS_OF)) == []


@pytest.mark.parametrize("name, data", BAD.values(), ids=BAD.keys())
def test_nothing_of_a_bad_file_is_in_the_lake(
    sail: Engine, tmp_path: Path, name: str, data: bytes
) -> None:
    hostile.write(GOOD, tmp_path / "in")
    (tmp_path / "in" / "Clickstream" / name).write_bytes(data)
    metrics = run(sail, tmp_path)
    assert metrics["status"] == "committed"
    assert list(metrics["bad_files"]) == ["clickstream"]
    assert list(metrics["bad_files"]["clickstream"]) == [name]
    assert holds(tmp_path / "lake", GOOD)
    [row] = bad_files(tmp_path / "lake")
    assert (row["source"], row["file"], row["size"]) == ("clickstream", name, len(data))
    assert row["reason"] == metrics["bad_files"]["clickstream"][name]
    assert row["first_run"] == row["last_run"] == metrics["run_id"]


@pytest.mark.slow
def test_a_bad_file_is_tried_again_until_it_reads(sail: Engine, tmp_path: Path) -> None:
    hostile.write(GOOD, tmp_path / "in")
    file = tmp_path / "in" / "Clickstream" / "x.csv.gz"
    file.write_bytes(WHOLE[:2000])
    first = run(sail, tmp_path)["run_id"]
    before = {path: path.read_bytes() for path in (tmp_path / "lake").rglob("*.*")}
    again = run(sail, tmp_path, max_bad_files=0.0)  # what was bad before does not count again
    assert again["status"] == "nothing_new"
    assert list(again["bad_files"]["clickstream"]) == ["x.csv.gz"]
    assert {path: path.read_bytes() for path in (tmp_path / "lake").rglob("*.*")} == before
    file.write_bytes(WHOLE[:3000])
    assert run(sail, tmp_path)["status"] == "committed"
    [row] = bad_files(tmp_path / "lake")
    assert (row["size"], row["first_run"]) == (3000, first)
    assert row["last_run"] != first
    file.write_bytes(WHOLE)
    mended = run(sail, tmp_path)
    assert "bad_files" not in mended
    assert mended["books"]["clickstream"]["kept"] == 60_000
    assert bad_files(tmp_path / "lake") == []
    clickstream = {**GOOD["clickstream"], "x.csv.gz": WHOLE}
    assert holds(tmp_path / "lake", {**GOOD, "clickstream": clickstream})


def test_a_bad_file_that_is_gone_is_not_listed(sail: Engine, tmp_path: Path) -> None:
    hostile.write(GOOD, tmp_path / "in")
    file = tmp_path / "in" / "Clickstream" / "x.csv.gz"
    file.write_bytes(WHOLE[:2000])
    run(sail, tmp_path)
    file.unlink()
    (tmp_path / "in" / "Clickstream" / "c.csv").write_bytes(clicks("c"))
    assert "bad_files" not in run(sail, tmp_path)
    assert bad_files(tmp_path / "lake") == []


def test_a_grown_file_that_is_bad_keeps_its_old_rows(sail: Engine, tmp_path: Path) -> None:
    members = gzip.compress(clicks("m"), mtime=0)
    first = {**GOOD, "clickstream": {**GOOD["clickstream"], "m.csv.gz": members}}
    hostile.write(first, tmp_path / "in")
    run(sail, tmp_path)
    with (tmp_path / "in" / "Clickstream" / "m.csv.gz").open("ab") as file:
        file.write(WHOLE[:500])
    (tmp_path / "in" / "Clickstream" / "c.csv").write_bytes(clicks("c"))
    grown = run(sail, tmp_path)
    assert list(grown["bad_files"]["clickstream"]) == ["m.csv.gz"]
    more = {**first["clickstream"], "c.csv": clicks("c")}
    assert holds(tmp_path / "lake", {**first, "clickstream": more})


@pytest.mark.parametrize("how", [{"max_bad_files": 0.3}, {"on_bad_file": "refuse"}])
def test_too_many_bad_files_are_refused(sail: Engine, tmp_path: Path, how: dict) -> None:
    hostile.write(GOOD, tmp_path / "in")
    (tmp_path / "in" / "Clickstream" / "x.csv.gz").write_bytes(WHOLE[:2000])
    with pytest.raises(InputError, match=r"x\.csv\.gz.*damaged or cut short"):
        run(sail, tmp_path, **how)
    assert not list((tmp_path / "lake").rglob("*.parquet"))


@pytest.mark.slow
def test_the_exit_code_is_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile.write(GOOD, tmp_path / "in")
    (tmp_path / "in" / "Clickstream" / "x.csv.gz").write_bytes(WHOLE[:2000])
    settings = tmp_path / "dl.cfg"
    settings.write_text(
        f"[DATALAKE]\nINPUT_DATA = {tmp_path / 'in'}\nOUTPUT_DATA = {tmp_path / 'lake'}\n"
        "[SOURCES]\nMAX_BAD_FILES = 0.5\n[RECOMMEND]\nMODEL = none\n"
    )
    given = ["--config", str(settings), "--as-of", f"{AS_OF}", "--json"]
    for _ in range(2):
        assert cli.main(given) == 6
        shown = capsys.readouterr()
        assert "x.csv.gz is set aside" in shown.err
        assert json.loads(shown.out.splitlines()[-1])["bad_files"]["clickstream"]


@pytest.mark.spark
@pytest.mark.slow
def test_on_spark(spark: Engine, tmp_path: Path) -> None:
    hostile.write(GOOD, tmp_path / "in")
    (tmp_path / "in" / "Clickstream" / "x.csv.gz").write_bytes(WHOLE[: len(WHOLE) // 2])
    assert run(spark, tmp_path)["bad_files"]
    assert holds(tmp_path / "lake", GOOD)
    assert len(bad_files(tmp_path / "lake")) == 1
