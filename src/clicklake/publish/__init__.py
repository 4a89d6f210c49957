"""Publication: a committed run becomes visible in SQL databases and CSV files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from clicklake.config import Config
from clicklake.errors import ClicklakeError, PublicationError
from clicklake.lake import Snapshot
from clicklake.lake.metrics import RunMetrics
from clicklake.progress import WORK
from clicklake.publish import csv, database, tables

__all__ = ["publish"]


def publish(
    snapshot: Snapshot, config: Config, runs: Sequence[RunMetrics]
) -> dict[str, dict[str, Any]]:
    """Bring every destination of the configuration to the state of `snapshot`.

    A destination that shows this run already is left alone, so it is safe and cheap to call at
    the end of each run, one that found nothing new included; what a broken connection left
    behind is made up for then.

    `runs`: the metrics of all committed runs, oldest first, for the table `runs`.
    Returns, for each destination (`database`, `staging`, `csv`), `to`, `status` (`published`,
    `current`, …), `seconds` and what was written. Tries all of them, then raises the first error.
    """
    report: dict[str, dict[str, Any]] = {}
    errors: list[ClicklakeError] = []
    destinations = list(_destinations(snapshot, config, runs))
    WORK.expect(sum(each.tables for each in destinations), "tables")
    for at, (name, place, _, work) in enumerate(destinations):
        WORK.reach(sum(each.tables for each in destinations[:at]))
        start = time.monotonic()
        try:
            outcome = work()
        except ClicklakeError as error:
            errors.append(error)
        except OSError as error:
            errors.append(PublicationError(f"{place}: {error.strerror or error}. {database.LATER}"))
        else:
            seconds = round(time.monotonic() - start, 3)
            report[name] = {"to": place, "seconds": seconds, **outcome}
    if errors:
        raise errors[0]
    return report


class _Destination(NamedTuple):
    """`tables`: how many it gets; `work`: what brings it up to date."""

    name: str
    place: str
    tables: int
    work: Callable[[], Mapping[str, Any]]


def _destinations(
    snapshot: Snapshot, config: Config, runs: Sequence[RunMetrics]
) -> Iterator[_Destination]:
    now, schema = datetime.now(UTC), config.database.schema
    main, staging = database.targets(config)
    if main:
        readers = tables.for_readers(snapshot, runs, now, config.report.time_zone)
        work = partial(database.publish, main, schema, readers)
        yield _Destination("database", str(main), len(readers.feeds), work)
    if staging:
        inputs = tables.for_staging(snapshot, now)
        work = partial(database.publish, staging, schema, inputs)
        yield _Destination("staging", str(staging), len(inputs.feeds), work)
    exports = partial(csv.publish, snapshot, config)
    yield _Destination("csv", csv.folder(config), len(csv.TABLES), exports)
