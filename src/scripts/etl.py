"""Bring the lake up to date: `python scripts/etl.py` (see --help)."""

import sys
from pathlib import Path

if (Path(__file__).resolve().parents[1] / "clicklake").is_dir():
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clicklake.cli.app import leave, run

if __name__ == "__main__":
    leave(run("etl", sys.argv[1:]))
