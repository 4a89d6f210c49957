"""Which database a run is published to, and how its failures read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from clicklake.config import Config
from clicklake.errors import AccessError, ConfigError
from clicklake.publish.tables import Outcome, Publication
from clicklake.storage import is_s3, open_storage


@dataclass(frozen=True)
class Target:
    """A database: `schema` counts for PostgreSQL only."""

    url: str
    schema: str

    @property
    def kind(self) -> str:
        return urlsplit(self.url).scheme

    @property
    def path(self) -> Path:
        """The file of DuckDB or SQLite."""
        return Path(self.url.partition(":///")[2]).expanduser().absolute()

    def __str__(self) -> str:
        """The URL without user and options."""
        parts = urlsplit(self.url)
        if self.kind in ("duckdb", "sqlite"):
            return f"{self.kind}:///{self.path}"
        return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"


def targets(config: Config) -> tuple[Target | None, Target | None]:
    """The databases for readers and for staging. Raises ConfigError if they are the same one."""
    settings = config.database
    found = [
        Target(url, settings.schema) if url not in ("", "none") else None
        for url in (settings.url or _beside(config.datalake.output_data), settings.staging_url)
    ]
    if found[0] and found[1] and str(found[0]) == str(found[1]):
        raise ConfigError(
            f"[DATABASE] URL and STAGING_URL are both {found[0]}; staging needs one of its own."
        )
    return found[0], found[1]


def _beside(output: str) -> str:
    """The default: `lake.duckdb` beside a local folder `lake`, nothing for S3."""
    return "none" if is_s3(output) else f"duckdb:///{open_storage(output).root}.duckdb"


def publish(target: Target, publication: Publication) -> dict[str, object]:
    """Bring a database to the state of `publication`, if it is not there yet.

    Returns `status` (`published` or `current`) and, if published, the `rows` of each table and
    `warnings`.
    Raises AccessError if the database could not be written; it is then as it was.
    """
    from adbc_driver_manager import Error

    try:
        outcome = _publish(target, publication)
    except Error as error:
        reason = str(error).splitlines()[0]  # what follows may quote a row
        raise AccessError(
            f"{target}: {reason}\nThe database shows what it did before. "
            "The lake itself is complete; run again to publish it."
        ) from None
    if outcome is None:
        return {"status": "current"}
    return {"status": "published", "rows": outcome.rows, "warnings": outcome.warnings}


def _publish(target: Target, publication: Publication) -> Outcome | None:
    if target.kind == "duckdb":
        from clicklake.publish import duckdb

        return duckdb.publish(target.path, publication)
    if target.kind == "sqlite":
        from clicklake.publish import sqlite

        return sqlite.publish(target.path, publication)
    from clicklake.publish import postgresql

    return postgresql.publish(target.url, target.schema, publication)
