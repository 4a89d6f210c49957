"""The catalog shows what the lake holds: one snapshot for a run, whatever breaks in between."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import boto3
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.catalog.sql import SqlCatalog

from clicklake import catalog, config
from clicklake.errors import ConfigError, PublicationError
from clicklake.lake import Definition, LiveFile, Snapshot, places
from clicklake.lake.manifest import Past
from clicklake.schemas import TABLES, USERS
from clicklake.storage import LocalStorage, open_storage
from fake_lake import NOON, write_lake
from rest_catalog import rest_catalog

LOCAL = config.Config()
ANN, BOB = {"user_id": 1}, {"user_id": 2}


def _opened(lake: Path) -> Catalog:
    """As the page on querying says."""
    file = lake / "_clicklake" / "catalog" / "catalog.db"
    return load_catalog("clicklake", type="sql", uri=f"sqlite:///{file}")


def _users(lake: Path, at: int | None = None) -> list[int]:
    """The user ids that the catalog shows, in its newest or an earlier snapshot."""
    scan = _opened(lake).load_table("clicklake.users").scan(snapshot_id=at)
    return sorted(scan.to_arrow()["user_id"].to_pylist())


def _snapshots(lake: Path, table: str = "users") -> dict[int, int]:
    """Ids of a table's snapshots, by the number of the run that they show."""
    found = _opened(lake).load_table(f"clicklake.{table}").snapshots()
    return {int(each.summary["clicklake.seq"]): each.snapshot_id for each in found}


def _after(before: Snapshot, now: Snapshot, *, retained: bool = True) -> Snapshot:
    """The next state of a lake: other users, all other tables as they were."""
    old, new = before.manifest, now.manifest
    past = Past(old.seq, old.run_id, NOON, NOON + timedelta(hours=old.seq))
    tables = {**old.tables, "users": new.tables["users"]}
    history = (*old.history, past) if retained else ()
    return Snapshot(before.storage, replace(new, tables=tables, history=history))


@pytest.fixture
def first(tmp_path: Path) -> Snapshot:
    return write_lake(tmp_path / "lake", 1, users=[ANN])


@pytest.fixture
def second(first: Snapshot, tmp_path: Path) -> Snapshot:
    return _after(first, write_lake(tmp_path / "lake", 2, users=[ANN, BOB]))


def test_every_table_is_there_with_its_rows_and_its_run(first: Snapshot, tmp_path: Path) -> None:
    assert catalog.publish(first, LOCAL)["tables"] == len(TABLES)
    for name in TABLES:
        found = _opened(tmp_path / "lake").load_table(f"clicklake.{name}")
        assert found.scan().to_arrow().num_rows == first.rows(name)
        assert found.properties["clicklake.run-id"] == "run-1"
        assert pl.scan_iceberg(found).collect().height == first.rows(name)
    sources = _opened(tmp_path / "lake").load_table("clicklake.quarantine").scan().to_arrow()
    assert set(sources["source"].to_pylist()) <= {"user_updates", "page_views", "clickstream"}


def test_a_run_is_one_snapshot_of_what_it_changed(
    first: Snapshot, second: Snapshot, tmp_path: Path
) -> None:
    catalog.publish(first, LOCAL)
    assert catalog.publish(second, LOCAL)["tables"] == 1
    assert catalog.publish(second, LOCAL)["status"] == "current"
    found = _snapshots(tmp_path / "lake")
    assert list(found) == [1, 2]
    assert _users(tmp_path / "lake") == [1, 2]
    assert _users(tmp_path / "lake", found[1]) == [1]
    assert list(_snapshots(tmp_path / "lake", "sessions")) == [1]
    for name in TABLES:
        shown = _opened(tmp_path / "lake").load_table(f"clicklake.{name}").properties
        assert shown["clicklake.run-id"] == "run-2"


@pytest.mark.slow
def test_months_are_left_out_by_their_partition(tmp_path: Path) -> None:
    rows = [{"ts": NOON}, {"ts": NOON + timedelta(days=40)}]
    catalog.publish(write_lake(tmp_path / "lake", page_views=rows), LOCAL)
    views = _opened(tmp_path / "lake").load_table("clicklake.page_views")
    asked = views.scan(row_filter="ts >= '2018-05-01T00:00:00+00:00'")
    assert len(list(views.scan().plan_files())) == 2
    assert len(list(asked.plan_files())) == 1
    assert asked.to_arrow().num_rows == 1


@pytest.mark.slow
def test_files_have_statistics(tmp_path: Path) -> None:
    catalog.publish(write_lake(tmp_path / "lake", users=[ANN, BOB]), LOCAL)
    users = _opened(tmp_path / "lake").load_table("clicklake.users")
    assert len(list(users.scan(row_filter="user_id > 2").plan_files())) == 0
    assert len(list(users.scan(row_filter="user_id > 1").plan_files())) == 1


@pytest.mark.slow
def test_snapshots_that_no_kept_state_needs_go_with_their_metadata(
    first: Snapshot, second: Snapshot, tmp_path: Path
) -> None:
    catalog.publish(first, LOCAL)
    catalog.publish(second, LOCAL)
    third = _after(second, write_lake(tmp_path / "lake", 3, users=[BOB]), retained=False)
    catalog.publish(third, LOCAL)
    assert list(_snapshots(tmp_path / "lake")) == [3]
    assert _users(tmp_path / "lake") == [2]
    users = _opened(tmp_path / "lake").load_table("clicklake.users")
    [shown] = users.snapshots()
    needed = {shown.manifest_list} | {m.manifest_path for m in shown.manifests(users.io)}
    folder = tmp_path / "lake" / "_clicklake" / "catalog" / "users"
    left = {f"file://{path}" for path in folder.rglob("*.avro")}
    assert left == needed


@pytest.mark.slow
@pytest.mark.parametrize("call", range(1, 12, 2))
def test_what_was_cut_off_is_made_up_for(
    first: Snapshot,
    second: Snapshot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: int,
) -> None:
    """At any commit of a table: what it shows is one run or the other, then the newer one."""
    catalog.publish(first, LOCAL)
    real, count = SqlCatalog.commit_table, iter(range(1, 100))

    def dies(self: SqlCatalog, *given: object) -> object:
        if next(count) == call:
            raise KeyboardInterrupt
        return real(self, *given)

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(SqlCatalog, "commit_table", dies)
        catalog.publish(second, LOCAL)
    assert _users(tmp_path / "lake") in ([1], [1, 2])
    catalog.publish(second, LOCAL)
    assert _users(tmp_path / "lake") == [1, 2]
    assert list(_snapshots(tmp_path / "lake")) == [1, 2]


@pytest.mark.slow
def test_a_run_that_the_catalog_missed_is_passed_over(
    first: Snapshot, second: Snapshot, tmp_path: Path
) -> None:
    catalog.publish(first, LOCAL)
    third = _after(second, write_lake(tmp_path / "lake", 3, users=[BOB]))
    catalog.publish(third, LOCAL)
    assert list(_snapshots(tmp_path / "lake")) == [1, 3]
    assert _users(tmp_path / "lake") == [2]


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["table", "file", "folder"])
def test_what_is_dropped_comes_back(first: Snapshot, tmp_path: Path, damage: str) -> None:
    catalog.publish(first, LOCAL)
    folder = tmp_path / "lake" / "_clicklake" / "catalog"
    if damage == "table":
        _opened(tmp_path / "lake").drop_table("clicklake.users")
    elif damage == "file":
        (folder / "catalog.db").unlink()
    else:
        shutil.rmtree(folder)
    assert catalog.publish(first, LOCAL)["status"] == "published"
    assert _users(tmp_path / "lake") == [1]


@pytest.mark.slow
def test_a_lake_that_has_moved_is_shown_where_it_is(first: Snapshot, tmp_path: Path) -> None:
    catalog.publish(first, LOCAL)
    (tmp_path / "lake").rename(tmp_path / "moved")
    moved = Snapshot(LocalStorage(tmp_path / "moved"), first.manifest)
    catalog.publish(moved, LOCAL)
    assert _users(tmp_path / "moved") == [1]


def _with_column(before: Snapshot, seq: int, alter: str) -> Snapshot:
    """The next state, its users with one more column, one less or one of another type."""
    root = Path(before.storage.root)
    rows = pq.ParquetFile(root / before.live("users")[0].path).read()
    if alter == "added":
        rows = rows.append_column("shoe_size", pa.array([42] * len(rows), pa.int32()))
    elif alter == "removed":
        rows = rows.drop_columns("name")
    else:
        rows = rows.set_column(2, "name", pa.array([1] * len(rows), pa.int64()))
    live = f"users/{alter}.parquet"
    for path in (live, places.data(live)):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, root / path)
    files = (LiveFile(live, len(rows), (root / live).stat().st_size),)
    schema = rows.schema.remove_metadata()
    old = before.manifest
    past = Past(old.seq, old.run_id, NOON, NOON)
    manifest = replace(
        old,
        seq=seq,
        run_id=f"run-{seq}",
        tables={**old.tables, "users": files},
        definitions={**old.definitions, "users": Definition(schema, USERS.rules)},
        history=(*old.history, past),
    )
    return Snapshot(before.storage, manifest)


@pytest.mark.slow
def test_columns_come_and_go_as_an_evolution(first: Snapshot, tmp_path: Path) -> None:
    catalog.publish(first, LOCAL)
    more = _with_column(first, 2, "added")
    catalog.publish(more, LOCAL)
    less = _with_column(first, 3, "removed")
    catalog.publish(replace_history(less, more), LOCAL)
    users = _opened(tmp_path / "lake").load_table("clicklake.users")
    found = _snapshots(tmp_path / "lake")
    shown = {seq: users.scan(snapshot_id=found[seq]).to_arrow() for seq in (1, 2, 3)}
    assert shown[1].column_names == USERS.columns
    assert shown[1]["name"].to_pylist() == ["Ann"]
    assert shown[2]["shoe_size"].to_pylist() == [42]
    assert "name" not in shown[3].column_names


def replace_history(now: Snapshot, before: Snapshot) -> Snapshot:
    past = Past(before.seq, before.run_id, NOON, NOON)
    history = (*before.manifest.history, past)
    return Snapshot(now.storage, replace(now.manifest, history=history))


@pytest.mark.slow
def test_a_column_of_another_type_makes_the_table_anew(first: Snapshot, tmp_path: Path) -> None:
    catalog.publish(first, LOCAL)
    catalog.publish(_with_column(first, 2, "retyped"), LOCAL)
    users = _opened(tmp_path / "lake").load_table("clicklake.users")
    assert users.scan().to_arrow()["name"].to_pylist() == [1]


def test_a_catalog_that_fails_is_told_and_made_up_for(
    first: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*given: object, **named: object) -> object:
        raise sqlite3.OperationalError("database is locked")

    with monkeypatch.context() as patch:
        patch.setattr(SqlCatalog, "create_table", refuses)
        with pytest.raises(PublicationError, match=r"local catalog.*locked.*next run"):
            catalog.publish(first, LOCAL)
    assert catalog.publish(first, LOCAL)["status"] == "published"


@pytest.mark.parametrize(
    "kind, place, words",
    [("local", "s3a://shop/lake", "local needs a lake in a folder"), ("glue", "/x", "on S3")],
)
def test_a_catalog_that_cannot_be_is_refused(kind: str, place: str, words: str) -> None:
    chosen = config.Config(catalog=config.Catalog(kind))
    with pytest.raises(ConfigError, match=words):
        catalog.target(chosen, open_storage(place))
    assert catalog.target(config.Config(catalog=config.Catalog("none")), open_storage("/x")) is None
    assert catalog.target(LOCAL, open_storage("s3a://shop/lake")) is None


# ------------------------------------------------------------------ Glue


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    yield url
    server.stop()


@pytest.mark.slow
def test_a_lake_on_s3_is_in_glue(aws: str, second: Snapshot, tmp_path: Path) -> None:
    boto3.client("s3").create_bucket(Bucket="shop")
    storage = open_storage("s3a://shop/lake")
    for file in (tmp_path / "lake").rglob("*.parquet"):
        storage.write(file.relative_to(tmp_path / "lake").as_posix(), file.read_bytes())
    chosen = config.Config(catalog=config.Catalog("glue", "web"))
    remote = Snapshot(storage, second.manifest)
    assert catalog.publish(remote, chosen)["status"] == "published"
    glue = boto3.client("glue")
    listed = {table["Name"]: table for table in glue.get_tables(DatabaseName="web")["TableList"]}
    assert listed.keys() == TABLES.keys()
    assert all(table["Parameters"]["table_type"] == "ICEBERG" for table in listed.values())
    location = listed["users"]["Parameters"]["metadata_location"]
    assert location.startswith("s3://shop/lake/_clicklake/catalog/users/metadata/")
    found = load_catalog("any", type="glue", **{"s3.endpoint": aws})
    rows = found.load_table("web.users").scan().to_arrow()
    assert sorted(rows["user_id"].to_pylist()) == [1, 2]
    assert catalog.publish(remote, chosen)["status"] == "current"
    glue.delete_table(DatabaseName="web", Name="users")
    assert catalog.publish(remote, chosen)["status"] == "published"


def _with(address: str) -> config.Config:
    return replace(LOCAL, catalog=replace(LOCAL.catalog, catalog=address))


@pytest.mark.slow
def test_a_rest_catalog_shows_each_run(first: Snapshot, second: Snapshot, tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with rest_catalog(tmp_path / "server") as (address, asked):
        assert catalog.publish(first, _with(address))["tables"] == len(TABLES)
        assert catalog.publish(second, _with(address))["tables"] == 1
        asked.clear()
        assert catalog.publish(second, _with(address))["status"] == "current"
        assert asked == ["GET /v1/config", "GET /v1/namespaces/clicklake/tables"]
        reader = load_catalog("reader", type="rest", uri=address)
        for name in TABLES:
            found = reader.load_table(f"clicklake.{name}")
            assert found.scan().to_arrow().num_rows == second.rows(name)
            assert found.properties["clicklake.run-id"] == "run-2"
        users = reader.load_table("clicklake.users")
        shown = {int(each.summary["clicklake.seq"]): each.snapshot_id for each in users.snapshots()}
        then = users.scan(snapshot_id=shown[1]).to_arrow()
        assert then["user_id"].to_pylist() == [1]


@pytest.mark.slow
def test_a_rest_catalog_that_is_gone_is_told_and_made_up_for(
    first: Snapshot, tmp_path: Path
) -> None:
    (tmp_path / "server").mkdir()
    with rest_catalog(tmp_path / "server") as (address, _):
        pass
    with pytest.raises(PublicationError, match="The lake is complete"):
        catalog.publish(first, _with(address))
    with rest_catalog(tmp_path / "server") as (address, _):
        assert catalog.publish(first, _with(address))["tables"] == len(TABLES)


@pytest.mark.slow
def test_a_rest_catalog_gets_the_token_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    code = (
        "from pyiceberg.catalog import load_catalog\n"
        "from clicklake.catalog.target import CatalogTarget\n"
        "from clicklake.storage import open_storage\n"
        "import sys\n"
        "where = CatalogTarget(sys.argv[1], 'clicklake', open_storage(sys.argv[2]))\n"
        "load_catalog('clicklake', **where.properties)\n"
    )
    with rest_catalog(tmp_path / "server") as (address, asked):
        environment = {**os.environ, "PYICEBERG_CATALOG__CLICKLAKE__TOKEN": "t0k3n"}
        environment["PYTHONPATH"] = str(config.ROOT / "src")
        command = [sys.executable, "-c", code, address, str(tmp_path)]
        subprocess.run(command, env=environment, check=True)
        assert asked == ["GET /v1/config Bearer t0k3n"]
