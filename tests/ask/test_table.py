"""What a terminal shows of an answer: as many columns as fit, or one value a line."""

from __future__ import annotations

import pytest
from rich.console import Console

from clicklake.ask import table
from clicklake.cli import query as command
from fake_lake import commit, write_lake


@pytest.mark.parametrize(
    ("natural", "width", "widths"),
    [
        ([3, 4], 80, [3, 4]),
        ([32, 32], 71, [32, 32]),  # just so: 2 * 35 + 1
        ([32, 33], 71, [32, 32]),  # a cell too many: it is cut, not left out
        ([200], 80, [76]),
        ([5, 200, 7], 60, [5, 32, 7]),  # 8 + 35 + 10 + 1 = 54 of 60, six of which are left over
        ([30] * 5, 80, [30, 30]),
        ([90], 5, [1]),
    ],
)
def test_columns_that_fit(natural, width, widths):
    found = table.fit(natural, width)
    assert len(found) == len(widths)
    assert all(0 < cells <= known for cells, known in zip(found, natural, strict=False))
    assert all(cells >= least for cells, least in zip(found, widths, strict=False)) or width < 6


@pytest.fixture
def terminal(tmp_path, monkeypatch, capsys):
    """Ask a lake of clicks from a terminal of 80 columns; gives exit code, lines and errors."""
    commit(write_lake(tmp_path / "lake", clickstream=[{"url": "https://shop.example/" + "x" * 99}]))
    monkeypatch.chdir(tmp_path)

    def console(**options) -> Console:
        return Console(force_terminal=True, width=80, color_system=None, **options)

    monkeypatch.setattr(table, "Console", console)

    def ask(*arguments: str) -> tuple[int, list[str], str]:
        code = command.main([*arguments, "--output", str(tmp_path / "lake")])
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err

    return ask


def test_a_wide_table_ends_at_the_terminal_s_edge_and_says_so(terminal):
    code, lines, _ = terminal("from clickstream")
    assert code == 0
    assert max(map(len, lines[:-1])) <= 80
    shown = lines[1].split()
    assert shown[:2] == ["anonymous_user_id", "url"]
    assert "…" in "".join(lines)
    assert lines[-2] == "(1 row)"
    assert lines[-1].startswith(f"({len(shown)} of ")
    assert lines[-1].endswith("columns; --wide shows all, --vertical one value a line)")


def test_wide_shows_every_column_on_one_line(terminal):
    _, lines, _ = terminal("from clickstream", "--wide")
    assert {"session_id", "year", "month"} <= set(lines[1].split())
    assert "x" * 99 in "".join(lines)
    assert lines[-1] == "(1 row)"


def test_vertical_shows_one_value_a_line(terminal):
    _, lines, _ = terminal("select 1 as a, null as long_name", "--vertical")
    assert lines == ["-[ row 1 ]--", "a         | 1", "long_name | null", "(1 row)"]


def test_markdown(terminal):
    question = "select 'a|b' as c, null as d"
    assert terminal(question, "--format", "markdown")[1] == ["| c | d |", "| --- | --- |",
                                                             r"| a\|b |  |"]  # fmt: skip


def test_a_folder_that_is_not_there_is_a_message(terminal, tmp_path):
    code, _, err = terminal("select 1", "--to", str(tmp_path / "no" / "o.csv"))
    assert (code, err) == (
        2,
        f"error: --to {tmp_path}/no/o.csv: there is no folder {tmp_path}/no.\n",
    )


@pytest.mark.slow
def test_the_shell_answers_until_the_user_leaves(terminal, tmp_path, monkeypatch, capsys):
    from prompt_toolkit.application import create_app_session
    from prompt_toolkit.input import create_pipe_input
    from prompt_toolkit.output import DummyOutput

    for stream in ("stdin", "stdout"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with create_pipe_input() as typed, create_app_session(input=typed, output=DummyOutput()):
        typed.send_text("select 6\n* 7 as n;\nselect nope;\n\\d users\n\\x\nselect 8 as m;\n\\q\n")
        code, lines, _ = terminal()
    assert code == 0
    text = "\n".join(lines)
    assert "42" in text
    assert "LINE 1: select nope;" in text
    assert "latest e-mail address" in text
    assert "m | 8" in text
    history = tmp_path / "state" / "clicklake" / "query_history"
    assert "select 6" in history.read_text()
    assert history.stat().st_mode & 0o077 == 0
