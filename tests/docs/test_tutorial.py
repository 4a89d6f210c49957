"""Tutorial and mapping, taken at their word: their commands are run, and print what they show."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from shell import printed

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
PAGES = {"tutorial.md": 7, "mapping.md": 4}  # and how many commands of ours each has at least


def steps(page: str) -> list[tuple[str, str]]:
    """The commands of a page, each with what it prints."""
    blocks = BLOCK.findall((ROOT / "docs" / page).read_text())
    return [step for block in blocks for step in COMMAND.findall(block)]


class Shell:
    """A shell of a user who has the command `clicklake`."""

    def __init__(self, home: Path) -> None:
        (home / "bin").mkdir()
        command = home / "bin" / "clicklake"
        call = "from clicklake.cli.app import entry\nraise SystemExit(entry())\n"
        command.write_text(f"#!{sys.executable}\n{call}")
        command.chmod(0o755)
        self.environment = {
            **os.environ,
            "HOME": str(home),
            "PATH": f"{command.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "src"),
            "COLUMNS": "90",
        }
        self.folder = ROOT

    def run(self, command: str) -> str:
        """What a command prints; it must succeed."""
        typed = f"{command}\nstatus=$?; echo; pwd; exit $status"
        text, folder = printed(typed, self.folder, self.environment).rstrip("\n").rsplit("\n", 1)
        self.folder = Path(folder)
        return text


def shown(expected: str) -> re.Pattern[str]:
    """The lines that a page shows, one after another; an ellipsis is anything."""
    lines = [re.escape(line.rstrip()).replace("…", ".*?") for line in expected.splitlines()]
    return re.compile(r"[ \t]*\n\s*?".join(lines).replace(r".*?[ \t]*\n\s*?", r".*?"), re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_command_prints_what_its_page_shows(tmp_path: Path, page: str) -> None:
    shell = Shell(tmp_path)
    assert sum("clicklake" in command for command, _ in steps(page)) >= PAGES[page]
    for command, expected in steps(page):
        text = shell.run(command)
        assert shown(expected).search(text), f"{command}\n{text}"


def test_what_is_shown_is_looked_for_line_by_line() -> None:
    text = "\n  a   b\n ───\n  1   2  \n  3   4\n\n(2 rows)\n"
    assert shown("  a   b\n ───\n  1   2\n").search(text)
    assert shown("…\n  3   4\n…\n").search(text)
    assert not shown("  a   b\n  1   2\n").search(text)
    assert not shown("…\n  3   5\n").search(text)


def test_the_sections_that_the_page_shows_are_those_of_the_file() -> None:
    page = (ROOT / "docs" / "mapping.md").read_text()
    [shown_there] = re.findall(r"^```ini\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert (ROOT / "data" / "mapping" / "news.cfg").read_text().endswith(shown_there)
