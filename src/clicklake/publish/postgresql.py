"""Publication to PostgreSQL: a version of every table is loaded, then one row says which counts.

For a table `users` there are a partitioned table `clicklake_users` with one partition for each
version (`clicklake_users_7`), and a view `users` of the version that `clicklake_publication`
names. Loading and switching over are one transaction. As the switch is the update of a row, a
reader sees one version throughout, in every isolation level, and neither waits for the other;
grants on the views, and views built upon them, stay. The version before is dropped as soon as no
transaction is left that may still read it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import parse_qs, urlencode, urlsplit

import adbc_driver_manager
from adbc_driver_postgresql import dbapi

from clicklake.publish.feeds import Outcome, Publication
from clicklake.publish.pg_schema import Schema

# A lost connection is noticed within about a minute, by the client and by the server.
_CLIENT = {
    "application_name": "clicklake",
    "connect_timeout": "15",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}

# How long to wait for transactions that still read the version before.
PATIENCE_SECONDS = 10.0


def publish(url: str, schema: str, publication: Publication) -> Outcome | None:
    """Rows of each table; None if the database shows this publication already.

    Raises ConfigError if the schema has a table of such a name that clicklake did not publish.
    """
    with _opened(url) as cursor:
        target = Schema(cursor, schema)
        target.prepare()
        version, outcome = target.version(), None
        shown = target.shown(publication, version)
        if shown and shown != publication.run_id and not publication.anew:
            outcome = target.amend(publication, version, shown)
        elif shown != publication.run_id:
            version = target.next_version()
            outcome = target.replace(publication, version)
        cursor.connection.commit()
        dropped = _drop_old(target, version)
    if outcome and not dropped:
        outcome.warnings.append(
            "A transaction still reads the version before; the next publication drops it."
        )
    return outcome


@contextmanager
def _opened(url: str) -> Iterator[dbapi.Cursor]:
    given = parse_qs(urlsplit(url).query)
    options = urlencode({name: value for name, value in _CLIENT.items() if name not in given})
    with (
        closing(dbapi.connect(f"{url}{'&' if given else '?'}{options}")) as connection,
        closing(connection.cursor()) as cursor,
    ):
        yield cursor


def _drop_old(target: Schema, version: int) -> bool:
    """Drop other versions once every transaction has ended that may read them; False if not."""
    connection = target.cursor.connection
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        parts = target.old_parts(version)
        readers = target.transactions() if parts else set()
        while parts:
            connection.rollback()  # each look is a transaction of its own
            if not readers & target.transactions() and _dropped(target, parts):
                break
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
    except adbc_driver_manager.Error:  # the connection is lost; what is published stays
        return False
    return True


def _dropped(target: Schema, parts: list[str]) -> bool:
    try:
        target.drop(parts)
        target.cursor.connection.commit()
    except adbc_driver_manager.Error as error:
        if error.sqlstate not in ("55P03", "40P01"):  # a reader holds the lock
            raise
        target.cursor.connection.rollback()
        return False
    return True
