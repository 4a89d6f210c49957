"""A schema of PostgreSQL: the tables, partitions and views in it that are clicklake's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
from adbc_driver_postgresql import dbapi

from clicklake.errors import ConfigError
from clicklake.progress import WORK
from clicklake.publish.changes import GONE, Batches, Change, MisfitError, matching
from clicklake.publish.comments import statements as comments_on
from clicklake.publish.feeds import (
    COUNTS,
    MARK,
    NAMES,
    PUBLICATION,
    Feed,
    Outcome,
    Publication,
)
from clicklake.publish.pg_texts import StorableRows

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

_SERVER = {
    "client_min_messages": "error",
    "lock_timeout": "30s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}


@dataclass(frozen=True)
class Schema:
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
        counts = self._path(Publication.COUNTS)
        self._run(f"create table if not exists {counts} ({_columns(COUNTS)})")
        self._run(f"lock table {publication} in share row exclusive mode")

    def _refuse_foreign(self) -> None:
        foreign = self._rows(
            f"select relname::text from pg_class where relname in ({_listed(NAMES)}) "
            f"and relnamespace = '\"{self.name}\"'::regnamespace "
            "and (relkind <> 'v' or "
            f"not coalesce(obj_description(oid, 'pg_class'), '') like '{MARK}%')"
        )
        if foreign:
            raise ConfigError(
                f'schema "{self.name}" has a table {foreign[0][0]} that clicklake did not publish. '
                "Set another [DATABASE] SCHEMA."
            )

    def version(self) -> int:
        """The version that readers see; 0: none."""
        rows = self._rows(f"select version from {self._path(Publication.TABLE)}")
        return rows[0][0] if rows else 0

    def shown(self, publication: Publication, version: int) -> str | None:
        """The run that readers see with all such views, their rows and indexes; None: no run."""
        query = f"select layout, run_id from {self._path(Publication.TABLE)}"
        found = self._rows(query)
        if [layout for layout, _ in found] != [publication.layout]:
            return None
        counted = dict(self._rows(f"select name, rows from {self._path(Publication.COUNTS)}"))
        shown = str(found[0][1])
        is_whole = all(self._is_there(feed, version) for feed in publication.feeds) and all(
            self._count(feed) == counted.get(feed.name) for feed in publication.to_count(shown)
        )
        return shown if is_whole else None

    def _is_there(self, feed: Feed, version: int) -> bool:
        """Whether a table has its view, its partition and its indexes."""
        parts = [path for path, number in self.parts() if number == version]
        part = self._path(_part(feed, version))
        indexes = self._rows(
            f"select 1 from pg_index where indrelid = to_regclass('{part}') and indisvalid"
        )
        has_view = bool(self._shape(self._path(feed.name)))
        return has_view and part in parts and len(indexes) == len(feed.indexes)

    def _count(self, feed: Feed) -> int:
        return int(self._rows(f"select count(*) from {self._path(feed.name)}")[0][0])

    def next_version(self) -> int:
        """A number that no table here has, also where some were dropped."""
        found = self._rows(
            "select max(substring(relname from '_([0-9]+)$')::bigint) from pg_class "
            f"where relnamespace = '\"{self.name}\"'::regnamespace "
            "and relname ~ '^clicklake_.*_[0-9]{1,15}$'"
        )
        return max(self.version(), found[0][0] or 0) + 1

    def replace(self, publication: Publication, version: int) -> Outcome:
        """Load a version and switch over to it; visible with the transaction's end."""
        outcome = Outcome()
        for feed in publication.feeds:
            outcome.rows[feed.name] = self._load(feed, version, outcome.warnings)
        for feed in publication.feeds:
            self._show(feed, version)
        self._record(publication, version, outcome)
        return outcome

    def amend(self, publication: Publication, version: int, shown: str) -> Outcome:
        """Make of a version, which shows one run, that of another; visible as `replace` is.

        Raises MisfitError if changes do not fit what the tables hold.
        """
        outcome = Outcome()
        with publication.changes(shown) as changes:
            for feed, change in changes:
                outcome.sent[feed.name] = self._change(feed, version, change, outcome.warnings)
        outcome.rows = {feed.name: feed.fits(self._count(feed)) for feed in publication.feeds}
        self._record(publication, version, outcome)
        return outcome

    def _change(self, feed: Feed, version: int, change: Change, warnings: list[str]) -> int:
        part = self._path(_part(feed, version))
        self._run(f"create temp table {GONE} ({_columns(change.key)})")
        gone = StorableRows(change.gone)
        self._ingest(GONE, change.key, gone.batches(), temporary=True)
        self._run(f"delete from {part} t using {GONE} g where {matching(change.key, 't', 'g')}")
        self._run(f"drop table {GONE}")
        texts = StorableRows(change.new)
        rows = self._ingest(_part(feed, version), feed.schema, texts.batches())
        if any(texts.longest.get(column, 0) > _INDEXED_BYTES for column in feed.indexes):
            raise MisfitError  # the index may be of whole texts
        warnings += texts.warnings(feed.name)
        return rows

    def _record(self, publication: Publication, version: int, outcome: Outcome) -> None:
        for small in (publication.counts(outcome.rows), publication.record(version)):
            self._run(f"delete from {self._path(small.name)}")
            self._ingest(small.name, small.schema, small.read())

    def _load(self, feed: Feed, version: int, warnings: list[str]) -> int:
        name = _part(feed, version)
        only = f"version bigint not null default {version} check (version = {version})"
        self._run(f"create table {self._path(name)} ({only}, {_columns(feed.schema)})")
        texts = StorableRows(feed.read)
        rows = self._ingest(name, feed.schema, texts.batches())
        for column in feed.indexes:
            key = f'"{column}"'
            if texts.longest.get(column, 0) > _INDEXED_BYTES:
                key = f"left({key}, {_INDEXED_CHARACTERS})"
            self._run(f"create index on {self._path(name)} ({key})")
        self._run(f"analyze {self._path(name)}")
        warnings += texts.warnings(feed.name)
        WORK.add()
        return feed.check(rows)

    def _ingest(
        self, name: str, schema: pa.Schema, batches: Batches, *, temporary: bool = False
    ) -> int:
        reader = pa.RecordBatchReader.from_batches(schema, batches)
        place = None if temporary else self.name
        return self.cursor.adbc_ingest(
            name, reader, mode="append", db_schema_name=place, temporary=temporary
        )

    def _show(self, feed: Feed, version: int) -> None:
        """Make a loaded table the partition of its version, and the view if it is new."""
        parent, view = self._path(f"clicklake_{feed.name}"), self._path(feed.name)
        part = self._path(_part(feed, version))
        shape = self._shape(part)
        if self._shape(parent) not in ([], shape):  # published by another release of clicklake
            self._run(f"drop view if exists {view}")
            self._run(f"drop table {parent}")
        if not self._shape(parent):
            self._run(f"create table {parent} (like {part}) partition by list (version)")
        if not self._shape(view):
            names = ", ".join(f'"{name}"' for name in feed.schema.names)
            current = f"select version from {self._path(Publication.TABLE)}"
            self._run(
                f"create view {view} as select {names} from {parent} where version = ({current})"
            )
        comments = ";\n".join(comments_on("view", view, feed.comment, feed.schema))
        self._run(f"do $clicklake$ begin\n{comments};\nend $clicklake$")
        self._run(f"alter table {parent} attach partition {part} for values in ({version})")

    def _shape(self, path: str) -> list[tuple]:
        """Name, type and nullability of a table's columns; empty if there is no such table."""
        return self._rows(
            "select attname::text, atttypid::regtype::text, attnotnull from pg_attribute "
            f"where attrelid = to_regclass('{path}') and attnum > 0 and not attisdropped "
            "order by attnum"
        )

    def parts(self) -> list[tuple[str, int]]:
        """All partitions, with their versions."""
        return [
            (self._path(name), int(name.rpartition("_")[2]))
            for (name,) in self._rows(
                "select c.relname::text from pg_inherits i "
                "join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent "
                f"where p.relnamespace = '\"{self.name}\"'::regnamespace "
                f"and p.relname in ({_listed('clicklake_' + name for name in NAMES)}) "
                "and c.relname ~ '_[0-9]{1,15}$'"
            )
        ]

    def old_parts(self, version: int) -> list[str]:
        """The partitions of other versions than this one."""
        return [path for path, number in self.parts() if number != version]

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


def _part(feed: Feed, version: int) -> str:
    return f"clicklake_{feed.name}_{version}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names))


def _columns(schema: pa.Schema) -> str:
    return ", ".join(
        f'"{column.name}" {_TYPES[column.type]}{"" if column.nullable else " not null"}'
        for column in schema
    )
