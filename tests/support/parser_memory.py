"""What the parser finds in a folder, and the memory that it takes: each in a process of its own.

The processes are forked from one that has imported everything, so that they are quick to have.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
Measure = Callable[[Path, str], tuple[dict[str, int], int]]


@contextmanager
def measuring() -> Iterator[Measure]:
    """A function of folder and source: what was found, and megabytes beside those at rest."""
    paths = [str(HERE), str(HERE.parents[1] / "src"), os.environ.get("PYTHONPATH", "")]
    with subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
    ) as process:

        def measure(folder: Path, source: str) -> tuple[dict[str, int], int]:
            process.stdin.write(json.dumps([str(folder), source]) + "\n")
            process.stdin.flush()
            found, kilobytes = json.loads(process.stdout.readline())
            return found, kilobytes >> 10

        yield measure
        process.stdin.close()


def _peak() -> int:
    """The most memory that this process has had, in kilobytes."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1))


def _measure(root: str, source: str) -> tuple[dict[str, int], int]:
    import hostile
    from clicklake import storage
    from clicklake.logs.reader import LogReader
    from clicklake.logs.source import reader_options
    from clicklake.logs.summary import SplitSummary

    place = storage.open_storage(root)
    given = reader_options(source, place.root, place.list(), as_of=hostile.AS_OF)
    reader = LogReader(given)
    before = _peak()
    found: Counter[str] = Counter()
    for partition in reader.partitions():
        for batch in reader.read(partition):
            for summary in batch["_summary"].drop_null().to_pylist():
                split = SplitSummary(**json.loads(summary))
                found.update(split.reasons)
                good = split.read - split.filtered - split.quarantined
                found.update(good=good, refused=int(bool(split.refused)))
    return {key: count for key, count in found.items() if count}, _peak() - before


def _main() -> None:
    import pyarrow.compute
    import pyarrow.csv
    import pyarrow.json  # noqa: F401

    import clicklake.logs.source  # noqa: F401
    import hostile  # noqa: F401

    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            print(json.dumps(_measure(*json.loads(line))), flush=True)
            os._exit(0)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    _main()
