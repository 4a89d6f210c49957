"""The files of all logs of a plan."""

from __future__ import annotations

import bz2
import gzip
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path

import pyarrow as pa

from clicklake.samples.clicks import Clickstream
from clicklake.samples.plan import Plan
from clicklake.samples.users import UserUpdates
from clicklake.samples.views import PageViews


@dataclass(frozen=True)
class Written:
    """A file that was written: its rows and bytes (before compression)."""

    path: Path
    rows: int
    bytes: int


def write(plan: Plan, output: Path) -> Iterator[Written]:
    """Write the three logs below `output`, in a folder for each day; yields file after file."""
    for number, log in enumerate((UserUpdates(plan), PageViews(plan), Clickstream(plan))):
        parts: dict[int, Iterator[int]] = defaultdict(count)
        for day, rows, text in log.files():
            codec = plan.codecs[(day + number) % len(plan.codecs)]
            folder = output / log.folder / f"{plan.start + timedelta(day):%Y/%m/%d}"
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"part-{next(parts[day])}{log.ending}{codec}"
            path.write_bytes(_COMPRESS[codec](text))
            yield Written(path, rows, len(text))


_COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": lambda data: gzip.compress(data, 3, mtime=0),
    ".bz2": bz2.compress,
    ".zst": lambda data: pa.Codec("zstd", compression_level=3).compress(data, asbytes=True),
}
