"""Mutated files through the whole job: tables, fates and refusals are those of the oracle."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import hostile
import oracle
from against_oracle import check
from clicklake.engines import Engine
from fuzz import mutated
from scene import share


def _file(rng: Random, source: str) -> bytes:
    """A file of a source, mutated; a Clickstream's header seldom, as it refuses the whole run."""
    records = [hostile._record(rng, source) for _ in range(rng.randrange(1, 15))]
    text = hostile._file(rng, source, records, refused=False)
    head, line_end, rest = text.partition(b"\n")
    if source != "clickstream" or rng.randrange(30) == 0:
        return mutated(rng, text)
    return head + line_end + mutated(rng, rest)


def test_mutated_files_through_the_job(sail: Engine, tmp_path: Path, rng: Random) -> None:
    fates: Counter[str] = Counter()
    times = share(200, 3)
    for number in range(times):
        files: hostile.Files = {
            source: {f"{part}": _file(rng, source) for part in range(rng.randrange(1, 4))}
            for source in hostile.FOLDERS
        }
        multiline = rng.randrange(3) == 0
        try:
            check(sail, tmp_path, files, csv_multiline=multiline)
        except BaseException:
            print(f"run {number}, multiline {multiline}: {files!r}")
            raise
        expected = oracle.compute(files, hostile.AS_OF, multiline=multiline)
        if expected.refused:
            fates["refused runs"] += 1
            continue
        for source in files:
            fates.update({k: v for k, v in expected.books[source].items() if k != "read"})
    print(f"{times} runs", dict(fates))
    assert fates["kept"]
    assert fates["quarantined"]
