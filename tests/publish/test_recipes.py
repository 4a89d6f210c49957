"""Recipes of docs/querying.md, taken at their word, where their programs are at hand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import duckdb
import pytest

from clicklake.publish import publish
from fake_lake import write_lake
from publish_support import Destination, runs

ROOT = Path(__file__).parents[2]
FILE = re.compile(r"^```(?:yaml|sql) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("dbt"), reason="dbt is not installed")
def test_the_model_for_dbt(tmp_path):
    visits = [
        {"session_id": "a", "events": 1},
        {"session_id": "b", "events": 4},
        {"session_id": "bot", "events": 99, "is_bot": True},
    ]
    config = Destination("duckdb", f"duckdb:///{tmp_path}/lake.duckdb").config(tmp_path / "lake")
    publish(write_lake(tmp_path / "lake", sessions=visits), config, runs(1))
    files = FILE.findall((ROOT / "docs" / "querying.md").read_text())
    assert len(files) == 4
    for name, text in files:
        (tmp_path / "shop" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "shop" / name).write_text(text)
    done = subprocess.run(
        ["dbt", "run", "--profiles-dir", "."],
        cwd=tmp_path / "shop",
        env={**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    with duckdb.connect(str(tmp_path / "shop" / "models.duckdb"), read_only=True) as made:
        assert made.execute("from landing_pages").fetchall() == [("/", 2, 2.5)]
