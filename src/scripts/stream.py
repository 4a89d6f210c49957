"""The lake's clickstream on a stream: `python scripts/stream.py publish` (see --help)."""

import sys
from pathlib import Path

if (Path(__file__).resolve().parents[1] / "clicklake").is_dir():
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clicklake.cli.app import run

if __name__ == "__main__":
    sys.exit(run("stream", sys.argv[1:]))
