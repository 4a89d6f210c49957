"""Which catalog a lake is in, and whether it shows a run already."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from clicklake.config import Config
from clicklake.errors import ConfigError
from clicklake.lake import STATE_FOLDER, Manifest
from clicklake.schemas import TABLES
from clicklake.storage import LocalStorage, Storage, s3_endpoint

FOLDER = f"{STATE_FOLDER}/catalog"
_MARK = f"{FOLDER}/published.json"  # which run the catalog shows; rewritten last
_FILE = f"{FOLDER}/catalog.db"


@dataclass(frozen=True)
class CatalogTarget:
    """A catalog and the database in it. `kind`: local, glue, or the address of a REST catalog."""

    kind: str
    database: str
    storage: Storage

    def __str__(self) -> str:
        return f"{self.kind} catalog, database {self.database}"

    def uri(self, path: str) -> str:
        """A path of the lake as Iceberg's readers spell it."""
        if isinstance(self.storage, LocalStorage):
            return f"file://{(self.storage.folder / path).absolute()}"  # as it is: no %3D for =
        return self.storage.uri(path).replace("s3a://", "s3://", 1)

    @property
    def properties(self) -> dict[str, str]:
        """How pyiceberg reaches the catalog and the files."""
        files = {"warehouse": self.uri(FOLDER)}
        if endpoint := s3_endpoint():
            files["s3.endpoint"] = endpoint
        if self.kind == "local":
            return {"type": "sql", "uri": f"sqlite:///{self._local_file}"} | files
        if self.kind == "glue":
            return {"type": "glue"} | files
        return {"type": "rest", "uri": self.kind} | files

    @property
    def _local_file(self) -> str:
        assert isinstance(self.storage, LocalStorage)
        return str(self.storage.folder / _FILE)

    def mark(self, manifest: Manifest) -> None:
        """Note that the catalog shows a state."""
        self.storage.write(_MARK, json.dumps(self._marked(manifest)).encode())

    def _marked(self, manifest: Manifest) -> Mapping[str, Any]:
        place = {"catalog": self.kind, "database": self.database, "lake": self.uri("")}
        return {**place, "run_id": manifest.run_id, "seq": manifest.seq}

    def shows(self, manifest: Manifest) -> bool:
        """Whether the catalog has all tables as they are in a state, as far as a glance tells."""
        return self._mark() == self._marked(manifest) and self._names() >= TABLES.keys()

    def prepare(self) -> None:
        """Make room for a local catalog; one of a lake that lay elsewhere names no file here."""
        mark = self._mark()
        if mark and mark.get("lake") != self.uri(""):
            self.storage.delete_tree(FOLDER)
        if isinstance(self.storage, LocalStorage):
            (self.storage.folder / FOLDER).mkdir(parents=True, exist_ok=True)

    def _mark(self) -> Mapping[str, Any]:
        with suppress(ValueError):
            found = json.loads(self.storage.read(_MARK) or b"{}")
            return found if isinstance(found, dict) else {}
        return {}

    def _names(self) -> set[str]:
        """The tables that the catalog has."""
        if self.kind == "local":
            return self._names_in_file()
        if self.kind == "glue":
            return self._names_in_glue()
        from pyiceberg.catalog import load_catalog
        from pyiceberg.exceptions import NoSuchNamespaceError

        with suppress(NoSuchNamespaceError):
            catalog = load_catalog("clicklake", **self.properties)
            return {name[-1] for name in catalog.list_tables(self.database)}
        return set()

    def _names_in_file(self) -> set[str]:
        query = "select table_name from iceberg_tables where table_namespace = ?"
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(f"file:{self._local_file}?mode=ro", uri=True)) as connection,
        ):
            return {name for (name,) in connection.execute(query, [self.database])}
        return set()

    def _names_in_glue(self) -> set[str]:
        import boto3

        glue = boto3.client("glue")
        with suppress(glue.exceptions.EntityNotFoundException):
            pages = glue.get_paginator("get_tables").paginate(DatabaseName=self.database)
            return {table["Name"] for page in pages for table in page["TableList"]}
        return set()


def target(config: Config, storage: Storage) -> CatalogTarget | None:
    """The catalog of a configuration; None if there is none. Raises ConfigError."""
    kind, is_local = config.catalog.catalog, isinstance(storage, LocalStorage)
    if kind == "auto":
        kind = "local" if is_local else "none"
    if kind == "none":
        return None
    if kind == "local" and not is_local:
        raise ConfigError(
            f"[CATALOG] CATALOG = local needs a lake in a folder, not {storage.root}; take glue, "
            "a REST catalog's address, or none."
        )
    if kind == "glue" and is_local:
        raise ConfigError(
            f"[CATALOG] CATALOG = glue needs a lake on S3, not {storage.root}; take local or none."
        )
    return CatalogTarget(kind, config.catalog.database, storage)
