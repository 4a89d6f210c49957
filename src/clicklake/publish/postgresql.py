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
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

import adbc_driver_manager
import pyarrow as pa
import pyarrow.compute as pc
from adbc_driver_postgresql import dbapi

from clicklake.errors import ConfigError
from clicklake.publish.tables import MARK, NAMES, PUBLICATION, Batches, Feed, Outcome, Publication

# Text is compared by its bytes: sorting is fast, and an index serves `like 'prefix%'` too.
_TYPES = {
    pa.int64(): "bigint",
    pa.int32(): "integer",
    pa.float64(): "double precision",
    pa.bool_(): "boolean",
    pa.string(): 'text collate "C"',
    pa.date32(): "date",
    pa.timestamp("us", tz="UTC"): "timestamptz",
}

# An index entry must fit a third of a page; a longer text is indexed by its first characters.
_INDEXED_BYTES = 2600
_INDEXED_CHARACTERS = 500
_SORT_KB = 256 << 10

# A lost connection is noticed within about a minute, by the client and by the server.
_CLIENT = {
    "application_name": "clicklake",
    "connect_timeout": "15",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
_SERVER = {
    "client_min_messages": "error",
    "lock_timeout": "30s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}


# How long to wait for transactions that still read the version before.
PATIENCE_SECONDS = 10.0


def publish(url: str, schema: str, publication: Publication) -> Outcome | None:
    """Rows of each table; None if the database shows this publication already.

    Raises ConfigError if the schema has a table of such a name that clicklake did not publish.
    """
    with _opened(url) as cursor:
        target = _Schema(cursor, schema)
        target.prepare()
        version, key = target.shown()
        outcome = None
        if key != publication.key:
            version += 1
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


@dataclass(frozen=True)
class _Schema:
    """A schema of the database, and what is clicklake's in it."""

    cursor: dbapi.Cursor
    name: str

    def prepare(self) -> None:
        """Make sure of what every publication needs, and that no other one is under way."""
        settings = ", ".join(f"set_config('{k}', '{v}', true)" for k, v in _SERVER.items())
        self._rows(f"select {settings}")
        self._rows(  # for sorting the indexes
            f"select set_config(name, greatest(setting::bigint, {_SORT_KB})::text, true) "
            "from pg_settings where name = 'maintenance_work_mem'"
        )
        if self._rows("select current_setting('server_encoding')") != [("UTF8",)]:
            raise ConfigError("the database's encoding must be UTF8.")
        if not self._rows(f"select 1 from pg_namespace where nspname = '{self.name}'"):
            self._run(f'create schema "{self.name}"')
        self._refuse_foreign()
        publication = self._path(Publication.TABLE)
        self._run(f"create table if not exists {publication} ({_columns(PUBLICATION)})")
        self._run(f"lock table {publication} in share row exclusive mode")

    def _refuse_foreign(self) -> None:
        foreign = self._rows(
            f"select relname::text from pg_class where relname in ({_listed(NAMES)}) "
            f"and relnamespace = '\"{self.name}\"'::regnamespace "
            f"and (relkind <> 'v' or obj_description(oid, 'pg_class') is distinct from '{MARK}')"
        )
        if foreign:
            raise ConfigError(
                f'schema "{self.name}" has a table {foreign[0][0]} that clicklake did not publish. '
                "Set another [DATABASE] SCHEMA."
            )

    def shown(self) -> tuple[int, tuple[str, str] | None]:
        """The version that readers see (0: none) and the key of its publication."""
        rows = self._rows(f"select version, run_id, layout from {self._path(Publication.TABLE)}")
        return (rows[0][0], rows[0][1:]) if rows else (0, None)

    def replace(self, publication: Publication, version: int) -> Outcome:
        """Load a version and switch over to it; visible with the transaction's end."""
        outcome = Outcome()
        for feed in publication.feeds:
            outcome.rows[feed.name] = self._load(feed, version, outcome.warnings)
        for feed in publication.feeds:
            self._show(feed, version)
        record = publication.record(version)
        self._run(f"delete from {self._path(record.name)}")
        self._ingest(record.name, record, record.read())
        return outcome

    def _load(self, feed: Feed, version: int, warnings: list[str]) -> int:
        name = f"clicklake_{feed.name}_{version}"
        only = f"version bigint not null default {version} check (version = {version})"
        self._run(f"create table {self._path(name)} ({only}, {_columns(feed.schema)})")
        texts = _Texts(feed)
        rows = self._ingest(name, feed, texts.batches())
        for column in feed.indexes:
            key = f'"{column}"'
            if texts.longest.get(column, 0) > _INDEXED_BYTES:
                key = f"left({key}, {_INDEXED_CHARACTERS})"
            self._run(f"create index on {self._path(name)} ({key})")
        self._run(f"analyze {self._path(name)}")
        if texts.with_nul:
            warnings.append(
                f"{feed.name}: {texts.with_nul} texts hold a NUL character, which PostgreSQL "
                "cannot store; there it is U+FFFD."
            )
        return feed.check(rows)

    def _ingest(self, name: str, feed: Feed, batches: Batches) -> int:
        reader = pa.RecordBatchReader.from_batches(feed.schema, batches)
        return self.cursor.adbc_ingest(name, reader, mode="append", db_schema_name=self.name)

    def _show(self, feed: Feed, version: int) -> None:
        """Make a loaded table the partition of its version, and the view if it is new."""
        parent, view = self._path(f"clicklake_{feed.name}"), self._path(feed.name)
        part = self._path(f"clicklake_{feed.name}_{version}")
        shape = self._shape(part)
        if self._shape(parent) not in ([], shape):  # published by another release of clicklake
            self._run(f"drop view {view}")
            self._run(f"drop table {parent}")
        if not self._shape(parent):
            names = ", ".join(f'"{name}"' for name in feed.schema.names)
            current = f"select version from {self._path(Publication.TABLE)}"
            self._run(f"create table {parent} (like {part}) partition by list (version)")
            self._run(
                f"create view {view} as select {names} from {parent} where version = ({current})"
            )
            self._run(f"comment on view {view} is '{MARK}'")
        self._run(f"alter table {parent} attach partition {part} for values in ({version})")

    def _shape(self, path: str) -> list[tuple]:
        """Name, type and nullability of a table's columns; empty if there is no such table."""
        return self._rows(
            "select attname::text, atttypid::regtype::text, attnotnull from pg_attribute "
            f"where attrelid = to_regclass('{path}') and attnum > 0 and not attisdropped "
            "order by attnum"
        )

    def old_parts(self, version: int) -> list[str]:
        """The partitions of other versions than this one."""
        return [
            self._path(name)
            for (name,) in self._rows(
                "select c.relname::text from pg_inherits i "
                "join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent "
                f"where p.relnamespace = '\"{self.name}\"'::regnamespace "
                f"and p.relname in ({_listed('clicklake_' + name for name in NAMES)}) "
                f"and c.relname <> p.relname || '_{version}'"
            )
        ]

    def transactions(self) -> set[str]:
        """The transactions of other sessions that are open in this database."""
        return {
            name
            for (name,) in self._rows(
                "select l.virtualtransaction from pg_locks l join pg_stat_activity a using (pid) "
                "where l.locktype = 'virtualxid' and l.mode = 'ExclusiveLock' "
                "and a.datname = current_database() and pid <> pg_backend_pid() "
                "and a.backend_type is distinct from 'autovacuum worker'"
            )
        }

    def drop(self, parts: list[str]) -> None:
        self._rows("select set_config('lock_timeout', '500ms', true)")
        self._run(f"drop table {', '.join(parts)}")

    def _path(self, name: str) -> str:
        return f'"{self.name}"."{name}"'

    def _run(self, statement: str) -> None:
        self.cursor.execute(statement)

    def _rows(self, query: str) -> list[tuple]:
        self.cursor.execute(query)
        return self.cursor.fetchall()


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names))


def _columns(schema: pa.Schema) -> str:
    return ", ".join(
        f'"{column.name}" {_TYPES[column.type]}{"" if column.nullable else " not null"}'
        for column in schema
    )


def _drop_old(target: _Schema, version: int) -> bool:
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


def _dropped(target: _Schema, parts: list[str]) -> bool:
    try:
        target.drop(parts)
        target.cursor.connection.commit()
    except adbc_driver_manager.Error as error:
        if error.sqlstate not in ("55P03", "40P01"):  # a reader holds the lock
            raise
        target.cursor.connection.rollback()
        return False
    return True


@dataclass
class _Texts:
    """A feed as PostgreSQL can store it, and what was seen on the way."""

    feed: Feed
    longest: dict[str, int] = field(default_factory=dict)
    with_nul: int = 0

    def batches(self) -> Batches:
        for batch in self.feed.read():
            columns = map(self._column, batch.schema, batch.columns)
            yield pa.RecordBatch.from_arrays(list(columns), schema=batch.schema)

    def _column(self, meaning: pa.Field, values: pa.Array) -> pa.Array:
        if not pa.types.is_string(meaning.type):
            return values
        length = pc.max(pc.binary_length(values)).as_py() or 0
        self.longest[meaning.name] = max(length, self.longest.get(meaning.name, 0))
        nul = pc.sum(pc.match_substring(values, "\0")).as_py() or 0
        self.with_nul += nul
        return pc.replace_substring(values, "\0", "\ufffd") if nul else values
