"""The scripts that the job is measured against make the job's tables."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "bench"))

import equality
import measure
import report

SAMPLE = ROOT / "data" / "sample"
AS_OF = date(2018, 12, 31)


@pytest.fixture(scope="module")
def lake(sample_lake: tuple[Path, dict[str, Any]]) -> Path:
    return sample_lake[0]


@pytest.mark.slow
@pytest.mark.parametrize("peer", ["duckdb", "polars"])
def test_a_peer_makes_the_tables_of_the_job(peer: str, lake: Path, tmp_path: Path) -> None:
    script = ROOT / "bench" / "peers" / f"{peer}_job.py"
    tables = tmp_path / "tables"
    subprocess.run([sys.executable, script, SAMPLE, tables, "--as-of", str(AS_OF)], check=True)
    assert equality.digests(tables) == equality.digests(lake)


@pytest.mark.slow
def test_equality_sees_a_row_less_and_a_row_in_another_month(lake: Path, tmp_path: Path) -> None:
    whole = equality.digests(lake)
    assert equality.differences(whole, whole) == []
    shutil.copytree(lake, tmp_path / "copy")
    copy = tmp_path / "copy"
    (copy / "_clicklake" / "manifest.json").unlink()  # from here on all files count
    assert equality.digests(copy) == whole
    shutil.rmtree(copy / "page_views" / "year=2018" / "month=5")
    (copy / "user_updates/year=2018/month=5").rename(copy / "user_updates/year=2018/month=6")
    changed = equality.digests(copy)
    assert equality.differences(whole, changed) == ["user_updates", "page_views"]
    assert changed["user_updates"][0] == whole["user_updates"][0]


@pytest.mark.slow
def test_the_cost_of_a_command_is_that_of_its_children_too(tmp_path: Path) -> None:
    child = "x = b'x' * 80_000_000\nfor n in range(8_000_000): pass\nimport time; time.sleep(1)"
    parent = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    )
    cost = measure.measured([sys.executable, "-c", parent], {}, tmp_path / "log")
    assert 80 < cost.memory < 400
    assert 0.1 < cost.cpu <= 2 * cost.wall
    assert cost.wall >= 1


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(measure.CommandFailedError, match="no such thing"):
        measure.measured([sys.executable, "-c", "raise SystemExit('no such thing')"], {},
                         tmp_path / "log")  # fmt: skip


def test_ratios_are_those_of_rounds_not_of_medians() -> None:
    ours = [{"wall": 1.0}, {"wall": 9.0}, {"wall": 2.0}]
    other = [{"wall": 2.0}, {"wall": 9.0}, {"wall": 8.0}]
    assert report.ratio(ours, other, "wall") == 0.5
