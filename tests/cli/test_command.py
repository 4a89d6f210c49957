"""The commands: one main for errors, one help, packages that are not there, an installed wheel."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest

from clicklake import __version__
from clicklake.cli import app, outer
from clicklake.config import ROOT
from clicklake.errors import InputError


def test_help_names_the_commands_and_the_exit_codes(capsys):
    assert app.main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(re.search(rf"^  {name} ", said, re.MULTILINE) for name in app.COMMANDS)
    assert re.findall(r"^  (\d+) ", said, re.MULTILINE) == [
        "0",
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
        "8",
        "9",
        "130",
        "1",
    ]
    assert all(len(line) <= 100 for line in said.splitlines())


@pytest.mark.parametrize("name", list(app.COMMANDS))
def test_each_command_s_help_has_the_exit_codes(name, capsys):
    with pytest.raises(SystemExit) as left:
        app.main([name, "--help"])
    assert left.value.code == 0
    assert outer.EXIT_CODES in capsys.readouterr().out


def test_version_and_a_slip(capsys):
    assert app.main(["--version"]) == 0
    assert capsys.readouterr().out == f"clicklake {__version__}\n"
    assert app.main(["querry"]) == 2
    assert "did you mean query?" in capsys.readouterr().err


def _raise(error: BaseException) -> int:
    raise error


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("no lake."), 4, "error: no lake.\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
        (
            ModuleNotFoundError("No module", name="confluent_kafka"),
            1,
            f"error: The Python package confluent_kafka is not installed in {sys.prefix}; run: pip "
            "install 'clicklake[kafka]', or in a checkout: make .venv/runtime\n",
        ),
        (
            ValueError("odd"),
            1,
            "error: ValueError: odd\n  All is well. CLICKLAKE_DEBUG=1 shows where it happened.\n",
        ),
    ],
)
def test_errors_become_words_and_exit_codes(error, code, said, capsys, monkeypatch):
    monkeypatch.delenv("CLICKLAKE_DEBUG", raising=False)
    done = outer.guarded(lambda: _raise(error), interrupted="stopped", state="All is well.")
    assert (done, capsys.readouterr().err) == (code, said)


def test_debugging_shows_where(monkeypatch):
    monkeypatch.setenv("CLICKLAKE_DEBUG", "1")
    with pytest.raises(ValueError, match="odd"):
        outer.guarded(lambda: _raise(ValueError("odd")))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "missing", "arguments"),
    [
        ("etl", "rich", "--help"),
        ("query", "duckdb", "select 1"),
        ("deploy", "boto3", "plan"),
    ],
)
def test_a_missing_package_is_one_line(script, missing, arguments):
    code = (
        f"import sys, runpy; sys.modules[{missing!r}] = None; sys.argv = "
        f"['scripts/{script}.py', {arguments!r}]; "
        f"runpy.run_path('scripts/{script}.py', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "src", capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"The Python package {missing} is not installed" in done.stderr


def test_a_hint_can_be_pasted_where_the_user_stands(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["src/scripts/etl.py"])
    python, script = outer.command("query").split()
    assert script == "src/scripts/query.py"
    assert (ROOT / python).exists() or python == "python"
    monkeypatch.setattr(sys, "argv", ["/usr/bin/clicklake"])
    assert outer.command("query") == "clicklake query"


def _pins(lines: list[str]) -> set[str]:
    return {line for line in lines if line and not line.startswith("#")}


def test_the_package_s_pins_are_those_of_requirements():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = dict(project["optional-dependencies"])
    notebook = set(extras.pop("notebook"))
    declared = {*project["dependencies"], *(pin for pins in extras.values() for pin in pins)}
    assert declared == _pins((ROOT / "requirements.txt").read_text().splitlines())
    assert notebook <= _pins((ROOT / "requirements-dev.txt").read_text().splitlines())
    assert set(outer.EXTRAS.values()) == set(project["optional-dependencies"])


def test_the_lock_has_every_pin_with_hashes():
    blocks = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text())
    locked = {block.split()[0] for block in blocks if "==" in block.split()[0]}
    assert all("--hash=sha256:" in block for block in blocks if "==" in block.split()[0])
    named = {re.sub(r"\[.*\]", "", pin).replace("_", "-") for pin in _pins(
        (ROOT / "requirements.txt").read_text().splitlines())}  # fmt: skip
    assert named <= {re.sub(r"\[.*\]", "", pin) for pin in locked}


@pytest.mark.slow
def test_an_installed_wheel_has_all_that_it_needs(tmp_path):
    """Built and unpacked beside nothing else; the environment's packages stand in for pip's."""
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", str(ROOT)]
    subprocess.run([*build, "--wheel-dir", str(tmp_path)], check=True)
    wheel = next(tmp_path.glob("clicklake-*.whl"))
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    subprocess.run([*install, str(tmp_path / "site"), str(wheel)], check=True)
    files = tmp_path / "site" / "clicklake"
    assert (files / "_checkout" / "deploy" / "bootstrap.sh").is_file()
    data = {p.relative_to(ROOT / "src") for p in (ROOT / "src" / "clicklake").rglob("*")
            if p.is_file() and "__pycache__" not in p.parts}  # fmt: skip
    assert [name for name in sorted(data) if not (tmp_path / "site" / name).is_file()] == []

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        start = "from clicklake.cli.app import entry; entry()"
        command = [sys.executable, "-c", start, *arguments]
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path / "site"),
                       "HOME": str(tmp_path)}  # fmt: skip
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    made = call("generate", "--output", "data/sample", "--days", "2")
    assert made.returncode == 0, made.stderr
    ran = call("etl")
    assert ran.returncode == 0, ran.stderr
    assert "ask it: clicklake query 'from" in ran.stderr
    asked = call("query", "select count(*) > 0 as n from users", "--format", "csv")
    assert asked.stdout.split() == ["n", "true"], asked.stderr


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["etl", "--outptu", "x"], "there is no option --outptu; did you mean --output?"),
        (["etl", "verify", "--jsn"], "there is no option --jsn; did you mean --json?"),
        (["query", "select 1", "--zzzzz=1"], "there is no option --zzzzz; --help lists them"),
    ],
)
def test_a_misspelt_option_is_named(arguments, words, capsys):
    with pytest.raises(SystemExit, match="2"):
        app.main(arguments)
    assert words in capsys.readouterr().err


def test_folders_without_logs_are_no_news(tmp_path, capsys):
    (tmp_path / "in" / "Clickstream").mkdir(parents=True)
    place = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "lake")]
    assert app.main(["etl", *place]) == 0
    assert "nothing new; there are no logs yet, and no lake" in capsys.readouterr().err
