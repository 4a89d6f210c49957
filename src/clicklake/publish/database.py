"""Which database a run is published to, and how its failures read."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from clicklake.config import Config, databases
from clicklake.config.databases import DatabaseUrl
from clicklake.errors import AccessError, ConfigError, PublicationError
from clicklake.publish.changes import MisfitError
from clicklake.publish.feeds import Outcome, Publication

if TYPE_CHECKING:
    from adbc_driver_manager import Error

LATER = "The lake itself is complete; run again to publish it."
_SHOWN = 300  # characters of what a driver says


def targets(config: Config) -> tuple[DatabaseUrl | None, DatabaseUrl | None]:
    """The databases for readers and for staging. Raises ConfigError if they are the same one."""
    settings = config.database
    try:
        return databases.targets(settings.url, settings.staging_url, config.datalake.output_data)
    except ValueError as error:
        raise ConfigError(f"[DATABASE] {error}.") from None


def publish(target: DatabaseUrl, schema: str, publication: Publication) -> dict[str, object]:
    """Bring a database to the state of `publication`, if it is not there yet.

    `schema` counts for PostgreSQL only.
    Returns `status` (`published` or `current`) and, if published, the `rows` of each table,
    `warnings` and, if only what has changed was sent, how many rows of which tables (`sent`).
    Raises PublicationError if the database cannot be reached or written, AccessError if it does
    not let the user in; it is then as it was.
    """
    from adbc_driver_manager import Error

    try:
        try:
            outcome = _publish(target, schema, publication)
        except MisfitError:
            outcome = _publish(target, schema, replace(publication, anew=True))
    except Error as error:
        raise _told(target, error) from None
    if outcome is None:
        return {"status": "current"}
    sent = {"sent": outcome.sent} if outcome.sent else {}
    return {"status": "published", "rows": outcome.rows, "warnings": outcome.warnings, **sent}


def _told(target: DatabaseUrl, error: Error) -> AccessError:
    """A driver's error in words: the place, the cause, what to do; no rows and no secrets."""
    cause = _cause(str(error))
    if re.search(r"authentication failed|no password supplied|pg_hba\.conf", cause):
        return AccessError(
            f"{target}: lets nobody in: {cause}\n"
            f"The password is taken from PGPASSWORD or ~/.pgpass. {LATER}"
        )
    if error.sqlstate == "42501":  # insufficient privilege
        return AccessError(f"{target}: {cause}\nThe user lacks a right for it. {LATER}")
    if cause.startswith(("connection to server", "could not translate host name")):
        return PublicationError(f"{target}: cannot be reached: {cause}\n{LATER}")
    return PublicationError(f"{target}: {cause}\nThe database shows what it did before. {LATER}")


def _cause(text: str) -> str:
    """The first line of what a driver says; what follows may quote a row."""
    line = text.partition("\n")[0]
    line = re.sub(r"^[A-Z_]+: |\[[A-Za-z]+\] |Failed to connect: |Query was.*", "", line)
    if secret := os.environ.get("PGPASSWORD"):
        line = line.replace(secret, "***")
    shown = "".join(c if c.isprintable() else "?" for c in line.strip())
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + " …"


def _publish(target: DatabaseUrl, schema: str, publication: Publication) -> Outcome | None:
    if target.kind == "duckdb":
        from clicklake.publish import duckdb

        return duckdb.publish(target.path, publication)
    if target.kind == "sqlite":
        from clicklake.publish import sqlite

        return sqlite.publish(target.path, publication)
    from clicklake.publish import postgresql

    return postgresql.publish(target.url, schema, publication)
