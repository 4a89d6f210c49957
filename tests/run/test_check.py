"""`etl.py check` says what a run would do, and a run then does it; nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import hostile
from bad_logs import GOOD, MILLISECONDS, updates
from clicklake.cli import app
from clicklake.cli import main as cli

Checked = Callable[..., tuple[int, dict, str]]


@pytest.fixture
def checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Checked:
    """Check logs: the exit code, what programs are told, and what people are."""

    def check(files: hostile.Files, *verb: str) -> tuple[int, dict, str]:
        hostile.write(files, tmp_path / "in")
        settings = tmp_path / "dl.cfg"
        settings.write_text(
            f"[DATALAKE]\nINPUT_DATA = {tmp_path / 'in'}\nOUTPUT_DATA = {tmp_path / 'lake'}\n"
            "[SOURCES]\nMAX_BAD_FILES = 0.5\n[RECOMMEND]\nMODEL = none\n[DATABASE]\nURL = none\n"
        )
        code = cli.main([*verb, "--config", str(settings), "--as-of", "2018-12-31", "--json"])
        shown = capsys.readouterr()
        return code, json.loads(shown.out.splitlines()[-1]) if shown.out else {}, shown.err

    return check


def test_good_logs(checked: Checked, tmp_path: Path) -> None:
    files = {"clickstream": {"a.csv": GOOD}, "user_updates": {"u": updates("staging")}}
    code, told, shown = checked(files, "check")
    assert (code, told["exit_code"]) == (0, 0)
    by_name = {source["source"]: source for source in told["sources"]}
    assert by_name["clickstream"]["new"] == 1
    assert by_name["clickstream"]["sample"]["kept"] == 5
    assert by_name["user_updates"]["sample"]["environments"] == {"staging": 5}
    assert "every row is filtered" in by_name["user_updates"]["wrong"][0]
    assert told["absent"] == ["page_views"]
    assert "A run would take these logs." in shown
    assert not (tmp_path / "lake").exists()


def test_it_is_a_command_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile.write({"clickstream": {"a.csv.gz": GOOD}}, tmp_path / "in")
    given = [f"--input={tmp_path / 'in'}", f"--output={tmp_path / 'lake'}", "--as-of=2018-12-31"]
    assert app.main(["check", *given]) == 4
    assert "A run would publish nothing and exit with 4." in capsys.readouterr().err


def test_what_was_read_is_not_new(checked: Checked, tmp_path: Path) -> None:
    files = {"clickstream": {"a.csv": GOOD}}
    assert checked(files)[0] == 0  # a run
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "lake").rglob("*")}
    code, told, shown = checked(files, "check")
    assert code == 0
    assert "A run would find nothing new." in shown
    assert (told["sources"][0]["files"], told["sources"][0]["new"]) == (1, 0)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "lake").rglob("*")} == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "files, code, cause",
    [
        ({"a.csv": GOOD, "b.csv": MILLISECONDS}, 4, "time in milliseconds"),
        ({"a.csv": GOOD, "b.csv.gz": GOOD}, 6, "rename it to b.csv"),
        ({"a.csv.gz": GOOD}, 4, "rename it to a.csv"),
    ],
    ids=["too many bad rows", "a bad file", "too many bad files"],
)
def test_the_exit_code_is_that_of_the_run(checked, files, code, cause) -> None:
    logs = {"clickstream": files}
    found, told, shown = checked(logs, "check")
    assert found == told["exit_code"] == code
    assert cause in shown.replace("\n", " ")
    assert checked(logs)[0] == code
