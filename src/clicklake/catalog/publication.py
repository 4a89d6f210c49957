"""Bringing a catalog to the state of the lake."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

from clicklake.catalog.target import CatalogTarget, target
from clicklake.config import Config
from clicklake.errors import ClicklakeError, PublicationError
from clicklake.lake import Snapshot
from clicklake.lake.manifest import RETAINED


def publish(snapshot: Snapshot, config: Config) -> dict[str, Any]:
    """Show a run in the catalog of the configuration; what it did, empty if there is none.

    A catalog that shows the run already is left alone. Raises ConfigError, or PublicationError
    if the catalog could not be brought up to date; the next run tries again.
    """
    where = target(config, snapshot.storage)
    if where is None or snapshot.manifest.format < RETAINED:
        return {}
    began = time.monotonic()
    try:
        if where.shows(snapshot.manifest):
            return {"to": str(where), "status": "current", "seconds": _since(began)}
        tables = _brought_up(where, snapshot)
    except ClicklakeError:
        raise
    except Exception as error:  # of pyiceberg, SQLAlchemy, botocore, Arrow: no common kind
        said = str(error).partition("\n")[0]
        raise PublicationError(
            f"{where}: {type(error).__name__}: {said}. The lake is complete; the next run brings "
            "the catalog up to date."
        ) from error
    return {
        "to": str(where),
        "status": "published",
        "seconds": _since(began),
        "tables": tables,
    }


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)


def _brought_up(where: CatalogTarget, snapshot: Snapshot) -> int:
    """Give every table that has changed a new snapshot; how many there were."""
    where.prepare()
    from clicklake.catalog.sync import CatalogSync

    sync = CatalogSync(where, snapshot)
    with closing(sync.catalog):
        changed = sync.run()
    where.mark(snapshot.manifest)
    return changed
