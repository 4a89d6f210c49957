"""docs/changing.md, taken at its word: its edits are made to a copy, which opens an old lake."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from other_release import empty_input, unpacked

ROOT = Path(__file__).parents[1]
EDIT = re.compile(r"^```diff (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def edits() -> list[tuple[str, str, str]]:
    """File, what stands there, and what shall."""
    text = (ROOT / "docs" / "changing.md").read_text()
    found = []
    for path, body in EDIT.findall(text):
        lines = body.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] in " -").rstrip("\n")
        new = "".join(line[1:] for line in lines if line[0] in " +").rstrip("\n")
        found.append((path, old, new))
    return found


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project with the edits."""
    skipped = shutil.ignore_patterns("__pycache__", "generated", "*.pyc")
    for name in ("src", "docs", "deploy", "tests"):
        shutil.copytree(ROOT / name, tmp_path / "copy" / name, ignore=skipped)
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "copy")
    (tmp_path / "copy" / "data").symlink_to(ROOT / "data")
    for path, old, new in edits():
        file = tmp_path / "copy" / path
        text = file.read_text()
        assert text.count(old) == 1, f"{path}: {old!r} stands there {text.count(old)} times"
        file.write_text(text.replace(old, new))
    return tmp_path / "copy"


def run(copy: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=copy / "src",
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_example_touches_few_files() -> None:
    files = [path for path, *_ in edits()]
    assert len([path for path in files if not path.startswith(("docs/", "tests/"))]) <= 4
    assert len(files) == len(set(files)) == 3


@pytest.mark.slow
def test_a_lake_that_is_there_gets_the_new_column(copy: Path, tmp_path: Path) -> None:
    lake, logs = unpacked(tmp_path), empty_input(tmp_path / "in")
    settings = tmp_path / "dl.cfg"
    settings.write_text(
        f"[DATALAKE]\nINPUT_DATA = {logs}\nOUTPUT_DATA = {lake}\n"
        "[RECOMMEND]\nMODEL = none\n[DATABASE]\nURL = none\n[CSV]\nENABLED = false\n"
    )
    settings.chmod(0o600)
    given = ("--config", str(settings))
    told = run(copy, "scripts/etl.py", "--as-of", "2018-12-31", *given)
    assert "made by another release of clicklake" in told
    query = "select count(*) as n, count(utm_term) as terms from clickstream"
    answer = run(copy, "scripts/query.py", query, "--format", "json", *given)
    assert '"n": 17715' in answer or '"n":17715' in answer, answer
    assert "all" in run(copy, "scripts/etl.py", "verify", *given)
    names = [name for name, *_ in columns_of(lake)]
    assert "utm_term" in names


def columns_of(lake: Path) -> list[list[object]]:
    manifest = json.loads((lake / "_clicklake" / "manifest.json").read_text())
    return manifest["definitions"]["clickstream"]["columns"]


@pytest.mark.slow
def test_the_edited_copy_passes_the_tests_that_it_concerns(copy: Path) -> None:
    concerned = ("derive", "parse/test_fuzz.py", "run/test_job.py")
    tests = [f"../tests/{name}" for name in concerned]
    run(copy, "-m", "pytest", "-q", "-x", "-m", "not slow and not spark", *tests)
