"""The three sources as a Spark Python Data Source over the pure parser.

The data source `clicklake_logs` yields one row per event (`parse.sources.SOURCES[...].schema`) and
besides them, with all event columns null, one row per quarantined record (`_file`, `_start`,
`_line`, `_reason`, `_raw`) and one per split with what was counted in it (`_summary`, JSON).
`_line` counts from 1 at the split's start; `line_bases` turns it into a line of the file.
Where it is told to (`into`), it puts the events into buckets itself and yields the others alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date

from pyspark.sql.datasource import DataSource
from pyspark.sql.types import StructType

from clicklake.config import SHAPES, Shape
from clicklake.lake.privacy import Forgotten
from clicklake.logs.reader import LogReader
from clicklake.logs.schema import landing_schema
from clicklake.storage import FileInfo


class LogSource(DataSource):
    """`spark.read.format("clicklake_logs")`, with options made by `reader_options`."""

    @classmethod
    def name(cls) -> str:
        return "clicklake_logs"

    def schema(self) -> StructType:
        from pyspark.sql.pandas.types import from_arrow_schema

        return from_arrow_schema(landing_schema(self.options["source"]))

    def reader(self, schema: StructType) -> LogReader:
        return LogReader(self.options)


def reader_options(
    source: str,
    root: str,
    files: Sequence[FileInfo],
    *,
    as_of: date,
    shape: Shape | None = None,
    multiline: bool = False,
    split_bytes: int = 64 << 20,
    tasks: int = 0,
    lake: str = "",
    into: tuple[str, int] | None = None,
    forgotten: Forgotten | None = None,
) -> dict[str, str]:
    """The options of a read: plain text, as both engines carry them.

    `shape`: what the files look like, the source's default if it is not given.
    `tasks`: so many partitions of about the same size, 0 for one of every `split_bytes`; for an
    engine that reads all of them at once. `lake`: the lake's root, for files that were replayed.
    `into`: a folder of the lake and a number of buckets; the readers put the events into these
    buckets themselves, and yield all else.
    """
    given = shape or SHAPES[source]()
    return {
        "source": source,
        "root": root,
        "files": json.dumps([[info.path, info.size, info.version] for info in files]),
        "as_of": as_of.isoformat(),
        "shape": json.dumps(asdict(given)),
        "multiline": str(multiline and given.format == "csv"),
        "split_bytes": str(split_bytes),
        "tasks": str(tasks),
        "lake": lake,
        "into": json.dumps(into),
        "forgotten": forgotten.to_json().decode() if forgotten else "",
    }
