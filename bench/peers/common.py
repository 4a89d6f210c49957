"""What both peers need: arguments, lists of log files, the crawlers' names."""

from __future__ import annotations

import argparse
import bz2
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

FOLDERS = {"user_updates": "UserUpdates", "page_views": "PageViews", "clickstream": "Clickstream"}
CRAWLERS = Path(__file__).resolve().parents[2] / "src" / "clicklake" / "rules" / "crawlers.txt"


@dataclass(frozen=True)
class Arguments:
    input: Path
    output: Path
    until: datetime  # the first instant that is out of range
    gap_minutes: int
    bot_views_per_minute: int


def arguments(description: str) -> Arguments:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("input", type=Path, help="the folder of the logs")
    parser.add_argument("output", type=Path, help="a new folder for the tables")
    parser.add_argument("--as-of", type=date.fromisoformat, default=datetime.now(UTC).date())
    parser.add_argument("--gap-minutes", type=int, default=30)
    parser.add_argument("--bot-views-per-minute", type=int, default=60)
    given = parser.parse_args()
    given.output.mkdir(parents=True)
    until = datetime.combine(given.as_of + timedelta(days=2), time(), UTC)
    return Arguments(
        given.input, given.output, until, given.gap_minutes, given.bot_views_per_minute
    )


def log_files(source: Path, scratch: Path) -> list[str]:
    """A source's files; those in .bz2, which neither engine reads, decompressed into `scratch`."""
    files = []
    for path in sorted(source.rglob("*")):
        hidden = any(part[0] in "._" for part in path.relative_to(source).parts)
        if not path.is_file() or hidden or not path.stat().st_size:
            continue
        files.append(str(_decompressed(path, scratch) if path.suffix == ".bz2" else path))
    return files


def _decompressed(path: Path, scratch: Path) -> Path:
    plain = scratch / "-".join(path.with_suffix("").parts[1:])
    with bz2.open(path) as packed, plain.open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked, 1 << 20)
    return plain


def crawler_pattern() -> str:
    """A regular expression that finds a crawler's name in a text in lower case."""
    lines = (line.partition("#")[0].strip() for line in CRAWLERS.read_text().splitlines())
    return "|".join(re.escape(name).replace(r"\ ", " ") for name in lines if name)
