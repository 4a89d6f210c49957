"""Ask the lake: `python scripts/query.py "select …"` (see --help)."""

import sys
from pathlib import Path

if (Path(__file__).resolve().parents[1] / "clicklake").is_dir():
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clicklake.ask.query import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
