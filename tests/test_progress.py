"""What a person sees while a run works: how far it is, in lines that do not wrap."""

from __future__ import annotations

import io
import re
import time
from datetime import date
from pathlib import Path

import pytest
from rich.console import Console

import hostile
import lakes
from bad_logs import GOOD, updates
from clicklake.cli import main as cli
from clicklake.engines import Engine
from clicklake.progress import WORK, Reporter, Work
from clicklake.progress.bar import Bar, told

AS_OF = date(2018, 12, 31)


def shown(name: str, total: int, unit: str, done: int, rows: int = 0) -> str:
    """The bar on a terminal of 80 columns."""
    console = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    work = Work()
    work.expect(total, unit)
    work.add(done, rows)
    with Bar(console, name) as bar:
        bar.show(work)
    lines = re.split(r"[\r\n]", re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", console.file.getvalue()))
    return next(line for line in reversed(lines) if line.strip())


def test_bytes_have_a_share_and_rows() -> None:
    line = shown("read clickstream", 200_000_000, "bytes", 50_000_000, rows=1_234_567)
    assert line.startswith("read clickstream ")
    assert " 25% 50/200 MB 1.2M rows" in line


@pytest.mark.parametrize(
    "done, total, unit, words",
    [(3, 8, "tables", "3/8 tables"), (12, 0, "trials", "12 trials"), (0, 8, "tables", "")],
)
def test_other_units(done: int, total: int, unit: str, words: str) -> None:
    work = Work()
    work.expect(total, unit)
    work.add(done)
    assert told(work) == words
    assert ("%" in shown("publish", total, unit, done)) == bool(done and total)


def test_what_is_counted_twice_is_not_more_than_all() -> None:
    assert "100%" in shown("read page_views", 10, "bytes", 20)


def test_the_longest_lines_fit_80_columns() -> None:
    assert (
        len(shown("write tables without them", 99_999 * 10**6, "bytes", 98_765 * 10**6, 10**9)) < 80
    )
    console = Console(file=io.StringIO(), width=80)
    reporter = Reporter(console)
    with reporter.stage("write tables without them") as stage:
        stage.rows = 987_654_321
        time.sleep(0.06)
    [line] = console.file.getvalue().splitlines()
    assert len(line) < 80
    assert "987,654,321 rows" in line


def test_without_a_terminal_a_message_is_one_line() -> None:
    console = Console(file=io.StringIO(), width=80)
    Reporter(console).warn("a long warning " * 20)
    assert len(console.file.getvalue().splitlines()) == 1


def test_a_run_counts_all_that_it_does(
    sail: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"clickstream": {"a.csv": GOOD}, "user_updates": {"u": updates("production")}}
    hostile.write(files, tmp_path / "in")
    ended = []
    expect = Work.expect

    def recorded(work: Work, total: int, unit: str) -> None:
        if getattr(work, "unit", ""):
            ended.append((work.unit, work.done, work.total))
        expect(work, total, unit)

    monkeypatch.setattr(Work, "expect", recorded)
    lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF)
    WORK.begin()
    read = [(done, total) for unit, done, total in ended if unit == "bytes"]
    assert sorted(read) == sorted((size, size) for size in (len(GOOD), len(updates("production"))))
    written = [(done, total) for unit, done, total in ended if unit == "partitions"]
    assert len(written) >= 3
    assert all(done == total > 0 for done, total in written)


@pytest.mark.slow
def test_terminal_and_report_tell_the_same_seconds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile.write({"clickstream": {"a.csv": GOOD}}, tmp_path / "in")
    settings = tmp_path / "dl.cfg"
    settings.write_text(
        f"[DATALAKE]\nINPUT_DATA = {tmp_path / 'in'}\nOUTPUT_DATA = {tmp_path / 'lake'}\n"
        "[RECOMMEND]\nMODEL = none\n"
    )
    assert cli.main(["--config", str(settings), "--as-of", f"{AS_OF}"]) == 0
    said = capsys.readouterr().err
    found = re.search(r"committed in (.+) on sail, (.+) in all", said)
    assert found
    [page] = (tmp_path / "lake/_clicklake/runs").glob("*/report.html")
    assert f"<strong>{found[1]}</strong><span>on Sail; {found[2]} with publication</span>" in (
        page.read_text().replace("\xa0", " ")
    )
