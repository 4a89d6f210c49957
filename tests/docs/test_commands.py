"""Every command of the pages is run: here, on a lake of the sample, or by another test."""

from __future__ import annotations

import os
import re
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shell import printed

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "bench" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(
    r"^(?: {4})?((?:python scripts/|clicklake |make |\.venv/bin/|LAKE=|duckdb |aws ).*)$",
    re.MULTILINE,
)
COMMENT = re.compile(r"\s{2,}#.*$")
RUN_ID = re.compile(r"\b\d{8}T\d{6}-[0-9a-f]{6}\b")
DAY = re.compile(r"(?<=--as-of )20\d\d-\d\d-\d\d")

# Which test runs a command that needs more than a lake, by how it begins; the longest counts.
ELSEWHERE = {
    "make test": ".ci/run::make test",
    "python scripts/generate.py": "tests/samples/test_samples.py::test_the_script_writes_once",
    "python scripts/deploy.py\n": "tests/aws/test_lifecycle.py::test_up_makes_everything_and",
    "python scripts/deploy.py plan": "tests/aws/test_plan.py::test_a_plan_changes_nothing",
    "python scripts/deploy.py schedule": "tests/aws/test_nightly.py::test_from_an_empty_account",
    "python scripts/deploy.py unschedule": "tests/aws/test_nightly.py::test_from_an_empty_account",
    "python scripts/deploy.py down": "tests/aws/test_lifecycle.py::test_down_leaves_the_account",
    "python scripts/deploy.py down --delete-data": (
        "tests/aws/test_lifecycle.py::test_data_is_deleted_only_by_its_name"
    ),
    "python scripts/deploy.py up --": (
        "tests/aws/test_lifecycle.py::test_the_jobs_own_arguments_reach_the_cluster"
    ),
    "python scripts/query.py - <": "tests/ask/test_query.py::test_a_question_from_standard_input",
    "python scripts/stream.py watch": "tests/streaming/test_watch.py::test_the_server_gives",
    "python scripts/stream.py publish --stream kafka": (
        "tests/streaming/test_identity.py::test_a_topic_made_anew_is_refused_until_it_is_told"
    ),
    "python scripts/stream.py summarize --stream kafka": (
        "tests/streaming/test_identity.py::test_a_topic_made_anew_is_refused_until_it_is_told"
    ),
    "LAKE=": "tests/ask/test_notebook.py::test_the_notebook_runs_and_its_committed_outputs",
    'python scripts/query.py "select utm_term': "tests/test_changing.py::def test_",
}

# What no test runs: other programs, and measurements of hours, whose results are in the pages.
BY_HAND = ("aws ", "duckdb ", "make bench", ".venv/bin/python bench/", ".venv/bin/python -m bench.")


def commands(page: Path) -> list[str]:
    return [COMMENT.sub("", found) for found in COMMAND.findall(page.read_text())]


def elsewhere(command: str) -> str | None:
    return max(
        (start for start in ELSEWHERE if f"{command}\n".startswith(start)), key=len, default=None
    )


def is_local(command: str) -> bool:
    """Whether a command needs a lake and no more."""
    return not command.startswith((*BY_HAND, "clicklake ")) and elsewhere(command) is None


def test_what_is_run_elsewhere_is_there() -> None:
    for place in ELSEWHERE.values():
        file, _, name = place.partition("::")
        assert name in (ROOT / file).read_text(), place


def test_no_entry_is_left_over() -> None:
    known = [command for page in PAGES for command in commands(page)]
    assert len(known) > 50
    used = {elsewhere(command) for command in known}
    assert ELSEWHERE.keys() - used == set()
    assert [start for start in BY_HAND if not any(c.startswith(start) for c in known)] == []
    # These pages' own commands are compared with what they print: test_tutorial.py.
    shown = {page.name for page in PAGES if "\n$ clicklake" in page.read_text()}
    assert shown == {"tutorial.md", "mapping.md"}


class Checkout:
    """A copy of the checkout as a user has it, with the environment that `make` makes."""

    def __init__(self, root: Path) -> None:
        for name in ("src", "data/sample"):
            shutil.copytree(ROOT / name, root / name)
        for name in ("Makefile", "dl.cfg.template", "requirements.txt", "pyproject.toml"):
            shutil.copy(ROOT / name, root)
        environment = Path(sys.executable).parents[1]
        (root / ".venv").symlink_to(environment)
        self.root = root
        self.environment = {**os.environ, "PATH": f"{environment}/bin:{os.environ['PATH']}"}

    def first_run(self) -> str:
        return min(RUN_ID.findall(self.run("python scripts/etl.py history")))

    def run(self, command: str) -> str:
        """What a command prints; it must succeed, and installs nothing."""
        command = command.replace("make ", "make --old-file=requirements.txt ")
        folder = self.root if command.startswith("make") else self.root / "src"
        return printed(command, folder, self.environment)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """With a lake of two runs."""
    made = Checkout(tmp_path_factory.mktemp("checkout"))
    late = made.root / "data" / "sample" / "UserUpdates"
    late.rename(made.root / "UserUpdates")
    made.run("python scripts/etl.py")
    (made.root / "UserUpdates").rename(late)
    made.run("python scripts/etl.py")
    return made


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page(page: Path, checkout: Checkout) -> None:
    for command in filter(is_local, commands(page)):
        if command == "python scripts/query.py":
            continue  # it opens a shell on a terminal, and has nothing to say without one
        dated = DAY.sub(f"{datetime.now(UTC):%Y-%m-%d}", command)
        checkout.run(RUN_ID.sub(checkout.first_run(), dated) if RUN_ID.search(dated) else dated)
