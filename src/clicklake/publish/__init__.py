"""Publication: a committed run becomes visible in SQL databases and CSV files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from clicklake.config import Config
from clicklake.errors import ClicklakeError, PublicationError
from clicklake.lake import Snapshot
from clicklake.lake.metrics import RunMetrics
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
    for name, place, work in _destinations(snapshot, config, runs):
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


def _destinations(
    snapshot: Snapshot, config: Config, runs: Sequence[RunMetrics]
) -> Iterator[tuple[str, str, Callable[[], Mapping[str, Any]]]]:
    """The name and place of each destination, and what brings it up to date."""
    now, schema = datetime.now(UTC), config.database.schema
    main, staging = database.targets(config)
    if main:
        readers = tables.for_readers(snapshot, runs, now)
        yield "database", str(main), partial(database.publish, main, schema, readers)
    if staging:
        inputs = tables.for_staging(snapshot, now)
        yield "staging", str(staging), partial(database.publish, staging, schema, inputs)
    yield "csv", csv.folder(config), partial(csv.publish, snapshot, config)
