"""Publication: a committed run becomes visible in SQL databases and CSV files."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from clicklake.config import Config
from clicklake.errors import ClicklakeError
from clicklake.publish import database, tables
from clicklake.sql import Snapshot

__all__ = ["publish"]


def publish(
    snapshot: Snapshot, config: Config, runs: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Bring every destination of the configuration to the state of `snapshot`.

    A destination that shows this run already is left alone, so it is safe and cheap to call at
    the end of each run, one that found nothing new included; what a broken connection left
    behind is made up for then.

    `runs`: the metrics of all committed runs, oldest first, for the table `runs`.
    Returns, for each destination (`database`, `staging`, `csv`), `to`, `status` (`published` or
    `current`), `seconds`, and what was written. Tries all of them, then raises the first error.
    """
    now = datetime.now(UTC)
    main, staging = database.targets(config)
    report: dict[str, dict[str, Any]] = {}
    errors: list[ClicklakeError] = []

    def attempt(name: str, to: object, work: Callable[[], Mapping[str, object]]) -> None:
        start = time.monotonic()
        try:
            outcome = work()
        except ClicklakeError as error:
            errors.append(error)
        else:
            seconds = round(time.monotonic() - start, 3)
            report[name] = {"to": str(to), "seconds": seconds, **outcome}

    if main:
        attempt(
            "database",
            main,
            lambda: database.publish(main, tables.for_readers(snapshot, runs, now)),
        )
    if staging:
        attempt(
            "staging", staging, lambda: database.publish(staging, tables.for_staging(snapshot, now))
        )
    if errors:
        raise errors[0]
    return report
