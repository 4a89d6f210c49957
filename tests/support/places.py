"""Lakes in a folder or a bucket, read as a stranger would: by the manifest, or by the folders."""

from __future__ import annotations

import csv
import json
import shutil
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

import servers

BUCKET = "torture"
TABLES = (
    *("user_updates", "users", "page_views", "user_page_views"),
    *("clickstream", "sessions", "page_steps", "page_follows"),
    *("page_recommendations", "quarantine"),
)

State = dict[str, list[str]]  # table, its rows in a form that can be compared


@dataclass(frozen=True)
class Place:
    """A folder; `uri` is what `etl.py` is given."""

    uri: str

    @property
    def folder(self) -> Path | None:
        return Path(self.uri)

    @property
    def base(self) -> str:
        return self.uri

    @cached_property
    def fs(self) -> fs.FileSystem:
        return fs.LocalFileSystem()

    def copy(self, uri: str) -> Place:
        shutil.copytree(self.uri, uri)
        return Place(uri)

    def delete(self) -> None:
        shutil.rmtree(self.uri)

    def manifest(self) -> dict[str, Any]:
        with self.fs.open_input_stream(f"{self.base}/_clicklake/manifest.json") as stream:
            return json.loads(stream.read())

    def listed(self) -> list[str]:
        """All files below the tables' folders."""
        selector = fs.FileSelector(self.base, recursive=True, allow_not_found=True)
        paths = [info.path for info in self.fs.get_file_info(selector) if info.is_file]
        below = [path.removeprefix(f"{self.base}/") for path in paths]
        return sorted(path for path in below if path.partition("/")[0] in TABLES)

    def read(self, path: str) -> pa.Table:
        with self.fs.open_input_file(f"{self.base}/{path}") as stream:
            return pq.ParquetFile(stream).read()


@dataclass(frozen=True)
class Bucket(Place):
    """A prefix of a bucket on a server at `url`."""

    url: str

    @property
    def folder(self) -> None:
        return None

    @property
    def base(self) -> str:
        return self.uri.partition("://")[2]

    @cached_property
    def fs(self) -> fs.FileSystem:
        address = self.url.partition("://")[2]
        return fs.S3FileSystem(
            access_key=servers.KEY,
            secret_key=servers.SECRET,
            endpoint_override=address,
            scheme="http",
            region=servers.REGION,
        )

    @cached_property
    def _bucket(self) -> Any:
        session = boto3.Session(servers.KEY, servers.SECRET, region_name=servers.REGION)
        return session.resource("s3", endpoint_url=self.url).Bucket(BUCKET)

    @property
    def _prefix(self) -> str:
        return self.base.partition("/")[2] + "/"

    def copy(self, uri: str) -> Bucket:
        made = Bucket(uri, self.url)
        for item in self._bucket.objects.filter(Prefix=self._prefix):
            target = made._prefix + item.key.removeprefix(self._prefix)
            self._bucket.copy({"Bucket": BUCKET, "Key": item.key}, target)
        return made

    def delete(self) -> None:
        self._bucket.objects.filter(Prefix=self._prefix).delete()

    def upload(self, folder: Path) -> None:
        for file in folder.rglob("*"):
            if file.is_file():
                key = self._prefix + file.relative_to(folder).as_posix()
                self._bucket.put_object(Key=key, Body=file.read_bytes())

    def put(self, path: str, data: bytes) -> None:
        self._bucket.put_object(Key=self._prefix + path, Body=data)

    def get(self, path: str) -> bytes:
        return self._bucket.Object(self._prefix + path).get()["Body"].read()

    def create_bucket(self) -> None:
        self._bucket.create()


def place(uri: str, url: str = "") -> Place:
    return Bucket(uri, url) if url else Place(uri)


def _rows(table: pa.Table, path: str) -> list[str]:
    partitions = [part for part in path.split("/") if "=" in part]
    kept = [name for name in table.column_names if name != "run_id"]
    return [repr((partitions, list(row.values()))) for row in table.select(kept).to_pylist()]


def _state(lake: Place, paths: dict[str, list[str]]) -> State:
    found: State = {}
    for table, files in paths.items():
        rows = [row for path in files for row in _rows(lake.read(path), path)]
        if rows:
            found[table] = sorted(rows)
    return found


def by_manifest(lake: Place) -> State:
    """Every table by the manifest; FileNotFoundError if a run replaced a file meanwhile."""
    tables = lake.manifest()["tables"]
    return _state(lake, {name: [file["path"] for file in files] for name, files in tables.items()})


def by_folders(lake: Place) -> State:
    """Every file below the tables' folders, whoever put it there."""
    paths: dict[str, list[str]] = {}
    for path in lake.listed():
        paths.setdefault(path.partition("/")[0], []).append(path)
    return _state(lake, paths)


def by_duckdb(lake: Place) -> dict[str, int]:
    """The tables' row counts as DuckDB sees them, by the manifest of a local lake."""
    counts = {}
    with duckdb.connect() as connection:
        for name, files in lake.manifest()["tables"].items():
            paths = [f"{lake.base}/{file['path']}" for file in files]
            if paths:
                query = "select count(*) from read_parquet(?, hive_partitioning = true)"
                counts[name] = connection.execute(query, [paths]).fetchone()[0]
    return {name: count for name, count in counts.items() if count}


def by_database(file: Path) -> dict[str, int]:
    """The row counts of a DuckDB file's tables of the lake."""
    with duckdb.connect(str(file), read_only=True) as connection:
        found = [name for (name,) in connection.execute("show tables").fetchall()]
        return {
            name: connection.execute(f"select count(*) from {name}").fetchone()[0]
            for name in found
            if name in TABLES
        }


def by_exports(lake: Place) -> dict[str, int]:
    """The row counts of a local lake's CSV files."""
    counts = {}
    for file in (lake.folder / "csv").glob("*.csv"):
        with file.open(newline="") as stream:
            counts[file.stem] = sum(1 for _ in csv.reader(stream)) - 1
    return counts


def strays(lake: Place) -> list[str]:
    """Files in the tables' folders that are not live, and live ones that are not there."""
    live = {file["path"] for files in lake.manifest()["tables"].values() for file in files}
    return sorted(live ^ set(lake.listed()))


def commits(lake: Place) -> list[str]:
    """The runs that the lake's log has, oldest first."""
    selector = fs.FileSelector(f"{lake.base}/_clicklake/log")
    names = sorted(info.path for info in lake.fs.get_file_info(selector))
    entries = []
    for name in names:
        if name.endswith(".json"):
            with lake.fs.open_input_stream(name) as stream:
                entries.append(json.loads(stream.read()))
    return [entry["run_id"] for entry in entries if "run_id" in entry]


def rows_in_catalog(lake: Place) -> dict[str, int]:
    """How many rows each table has in the catalog of a local lake, whose files must be there."""
    from pyiceberg.catalog import load_catalog

    file = f"{lake.uri}/_clicklake/catalog/catalog.db"
    found = {}
    with closing(load_catalog("clicklake", type="sql", uri=f"sqlite:///{file}")) as catalog:
        for identifier in catalog.list_tables("clicklake"):
            files = [task.file for task in catalog.load_table(identifier).scan().plan_files()]
            assert all(Path(each.file_path.removeprefix("file://")).is_file() for each in files)
            found[identifier[-1]] = sum(each.record_count for each in files)
    return found
