"""Small programs that `run.py` times: `python bench/probes.py first-row|read|spark-defaults …`."""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import sys
import time
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

AS_OF = date(2019, 1, 31)
FOLDERS = {"user_updates": "UserUpdates", "page_views": "PageViews", "clickstream": "Clickstream"}
WIDTHS = {"user_updates": 5, "clickstream": 6}
TYPES = {"ts": str, "url": str, "environment": str, "user_id": int}
PLAIN = {"user_updates": ".csv", "page_views": ".json", "clickstream": ".csv"}


def sound_copy(logs: Path, to: Path) -> Path:
    """The uncompressed files without the lines at which an engine's reader stops; made once."""
    if to.exists():
        return to
    making = to.with_name(f"{to.name}.part")
    shutil.rmtree(making, ignore_errors=True)
    for source, folder in FOLDERS.items():
        for file in sorted((logs / folder).rglob(f"*{PLAIN[source]}")):
            copy = making / file.relative_to(logs)
            copy.parent.mkdir(parents=True, exist_ok=True)
            with file.open("rb") as lines, copy.open("wb") as sound:
                sound.writelines(line for line in lines if _is_sound(line, source))
    making.rename(to)
    return to


def _is_sound(line: bytes, source: str) -> bool:
    if len(line) > 10_000:
        return False
    try:
        text = line.decode()
        if source in WIDTHS:
            return len(next(csv.reader([text], strict=True))) == WIDTHS[source]
        value = json.loads(text)
        return [type(value[name]) for name in TYPES] == list(TYPES.values())
    except (ValueError, TypeError, KeyError, csv.Error, StopIteration):
        return False


def first_row(given: argparse.Namespace) -> None:
    """From nothing to one row of a log."""
    from clicklake import engines

    running = engines.start(given.engine)
    rows = _ours(running, given.input, "clickstream", first_only=True).limit(1).collect()
    assert len(rows) == 1
    running.stop()


def read(given: argparse.Namespace) -> None:
    """Read the uncompressed files of a source, every column; the seconds of the second time."""
    from pyspark.sql import functions as F

    from clicklake import engines

    running = engines.start(given.engine)
    reader = _ours if given.reader == "ours" else _engines_own
    seconds = 0.0
    for _ in range(2):
        began = time.monotonic()
        rows = reader(running, given.input, given.source)
        every = [F.count(F.col(name)) for name in rows.columns]
        counts = rows.agg(F.count(F.lit(1)), *every).collect()[0]
        seconds = time.monotonic() - began
    running.stop()
    print(json.dumps({"seconds": round(seconds, 3), "rows": counts[0]}))


def _ours(running, logs: Path, source: str, *, first_only: bool = False):
    from clicklake.logs.source import LogSource, reader_options
    from clicklake.storage import open_storage

    running.session.dataSource.register(LogSource)
    folder = str(logs / FOLDERS[source])
    found = [info for info in open_storage(folder).list("") if info.path.endswith(PLAIN[source])]
    files = found[:1] if first_only else found
    tasks = running.cores if running.name == "sail" else 0  # as the job does
    given = reader_options(source, folder, files, as_of=AS_OF, tasks=tasks)
    return running.session.read.format(LogSource.name()).options(**given).load()


def _engines_own(running, logs: Path, source: str):
    """The engine's CSV or JSON reader, without checks and quarantine."""
    reader = running.session.read.option("recursiveFileLookup", "true")
    folder = str(logs / FOLDERS[source])
    # Several formats in one folder: only the uncompressed ones are compared.
    paths = [str(path) for path in sorted(Path(folder).rglob(f"*{PLAIN[source]}"))]
    if source == "page_views":
        return reader.schema("ts string, url string, environment string, user_id bigint").json(
            paths
        )
    if source == "clickstream":
        schema = "anonymous_user_id string, url string, time string, browser string, os string"
        return (
            reader.schema(f"{schema}, screen_resolution string").option("header", "true").csv(paths)
        )
    schema = "updated_at string, user_id string, email string, name string, environment string"
    return reader.schema(schema).csv(paths)


def spark_defaults(given: argparse.Namespace) -> None:
    """The job on Spark with Spark's own settings, but for what it cannot do without."""
    from clicklake.cli import main as cli
    from clicklake.engines import spark

    kept = (
        "spark.master",
        "spark.driver.",
        "spark.ui.",
        "spark.log.level",
        "spark.sql.session.timeZone",
        "spark.sql.parquet.outputTimestampType",
    )
    ours = spark._settings
    spark._settings = lambda *arguments: {
        name: value for name, value in ours(*arguments).items() if name.startswith(kept)
    }
    sys.exit(cli.main(["--engine", "spark", *given.rest]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("first-row")
    verb.add_argument("engine")
    verb.add_argument("input", type=Path)
    verb.set_defaults(action=first_row)
    verb = verbs.add_parser("read")
    verb.add_argument("engine")
    verb.add_argument("input", type=Path)
    verb.add_argument("source", choices=tuple(FOLDERS))
    verb.add_argument("reader", choices=("ours", "own"))
    verb.set_defaults(action=read)
    verb = verbs.add_parser("spark-defaults")
    verb.set_defaults(action=spark_defaults)
    given, given.rest = parser.parse_known_args()  # what follows is the job's
    given.action(given)


if __name__ == "__main__":
    main()
