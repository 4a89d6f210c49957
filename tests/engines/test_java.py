"""Spark starts on a machine without Java, by the runtime that a Python package brings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COUNT = """
from clicklake import engines
engine = engines.start("spark")
print(engine.session.range(7).count())
engine.stop()
"""


@pytest.mark.slow
@pytest.mark.spark
def test_spark_without_a_java_of_the_machine(tmp_path: Path) -> None:
    """The PATH has what Spark's scripts call, and no java."""
    for name in ("bash", "sh", "dirname", "basename", "ps", "cat", "uname", "env", "find", "rm"):
        if found := next((p for p in ("/usr/bin", "/bin") if Path(p, name).exists()), None):
            (tmp_path / name).symlink_to(Path(found, name))
    known = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"}
    done = subprocess.run(
        [sys.executable, "-c", COUNT],
        env={**known, "PATH": str(tmp_path), "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["7"], done.stderr[-2000:]
