"""A log that grows in the middle of a line: its last line waits until it is whole, never longer."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import hostile
import lakes
import oracle
from clicklake.engines import Engine
from days import AS_OF, HEADER

CLICKS = HEADER + "v,/a,1522540800,,,\nbad\nv,/b,1522540860,,,\nw,/c,1522540920,,,\nlast,/d,1522"
LOG = ("clickstream", "log.csv")


def _write(folder: Path, text: str, age: float = 0) -> None:
    """Beside the log lies one that has expired by the time of a second run."""
    file = folder / "Clickstream" / "log.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    written = time.time() - age
    os.utime(file, (written, written))


def _expected(text: str, *, old: str, being_written: bool = True) -> oracle.Result:
    files = {"clickstream": {"log.csv": text.encode(), "old.csv": old.encode()}}
    return oracle.compute(files, AS_OF, being_written=[LOG] if being_written else [])


def _grows(engine: Engine, folder: Path, cuts: list[int]) -> None:
    old = HEADER + "old,/,1522540000,,,\n"
    hostile.write({"clickstream": {"old.csv": old.encode()}}, folder / "in")
    for cut in cuts:
        text = CLICKS[:cut]
        _write(folder / "in", text)
        metrics = lakes.run(engine, folder / "in", folder / "lake", AS_OF)
        assert lakes.differences(folder / "lake", _expected(text, old=old)) == []
        tail = len(text) - text.rfind("\n") - 1
        assert metrics.get("pending", {}) == ({"clickstream": {"log.csv": tail}} if tail else {})
        assert metrics["rebuilt"] == ()
        (folder / "in" / "Clickstream" / "old.csv").unlink(missing_ok=True)
    _write(folder / "in", CLICKS, age=601)
    lakes.run(engine, folder / "in", folder / "lake", AS_OF)
    whole = _expected(CLICKS, old=old, being_written=False)
    assert lakes.differences(folder / "lake", whole) == []


@pytest.mark.slow
def test_growth_at_any_byte_is_growth(sail: Engine, tmp_path: Path) -> None:
    begin = len(HEADER)
    cuts = [begin - 9, begin, begin + 7, begin + 18, begin + 19, begin + 21, begin + 40]
    _grows(sail, tmp_path, [*cuts, len(CLICKS)])


@pytest.mark.slow
@pytest.mark.spark
def test_growth_on_spark(spark: Engine, tmp_path: Path) -> None:
    _grows(spark, tmp_path, [len(HEADER) + 20, len(CLICKS)])


def test_nothing_but_pending_lines(sail: Engine, tmp_path: Path) -> None:
    """Not read, however often it is looked at; in the end a row, or one of a file left alone."""
    row = "v,/a,1522540800,,,"
    for text in (HEADER, HEADER + row[:5], HEADER + row):
        _write(tmp_path / "in", text)
        metrics = lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF)
    assert metrics["status"] == "nothing_new"
    assert metrics["pending"] == {"clickstream": {"log.csv": len(row)}}
    settled = lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF, settle_minutes=0)
    assert settled["books"]["clickstream"]["kept"] == 1
    assert "pending" not in settled


@pytest.mark.parametrize("age, pending", [(0, True), (590, True), (610, False), (-900, False)])
def test_a_file_that_is_left_alone_is_whole(
    sail: Engine, tmp_path: Path, age: float, pending: bool
) -> None:
    _write(tmp_path / "in", HEADER + "v,/a,1522540800,,,", age)
    metrics = lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF)
    assert metrics["books"]["clickstream"]["read"] == (0 if pending else 1)
    assert ("pending" in metrics) is pending
