"""A lake on S3 is published and asked like a local one."""

from __future__ import annotations

import boto3
import pytest
from moto.server import ThreadedMotoServer

from clicklake import lake
from clicklake.ask import query
from clicklake.config import Config, Csv, Database, DataLake
from clicklake.publish import publish
from clicklake.storage import open_storage
from fake_lake import commit, write_lake
from publish_support import Destination, runs


@pytest.fixture(scope="module")
def server():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def remote(server, tmp_path, monkeypatch):
    """A lake in a bucket, with a file that the manifest does not list."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    boto3.client("s3").create_bucket(Bucket="shop")
    views = [{"user_id": 1, "url": "=1+1"}, {"user_id": 2}]
    commit(write_lake(tmp_path / "local", user_page_views=views, page_views=views))
    storage = open_storage("s3a://shop/lake")
    for file in (tmp_path / "local").rglob("*.*"):
        storage.write(file.relative_to(tmp_path / "local").as_posix(), file.read_bytes())
    stray = storage.list("page_views")[0].path
    storage.write(stray.replace("part", "stray"), storage.read(stray))
    return storage


def config(url: str = "", **csv) -> Config:
    return Config(
        datalake=DataLake(output_data="s3a://shop/lake"), database=Database(url), csv=Csv(**csv)
    )


@pytest.mark.slow
def test_exports_go_into_the_lake_and_no_database_is_made(remote, tmp_path):
    snapshot = lake.snapshot(remote)
    report = publish(snapshot, config(), runs(1))
    assert list(report) == ["csv"]
    assert report["csv"]["to"] == "s3a://shop/lake/csv"
    assert remote.read("csv/user_page_views.csv").splitlines()[1:] == [
        b"1,ann@example.com,'=1+1,2,2018-04-01T12:00:00.000000Z",
        b"2,ann@example.com,/products/1/,2,2018-04-01T12:00:00.000000Z",
    ]
    assert publish(snapshot, config(), runs(1))["csv"]["status"] == "current"
    publish(snapshot, config(split_mb=1), runs(1))
    assert [info.path for info in remote.list("csv")] == [
        "csv/_publication.json",
        "csv/page_follows-00000001-0001.csv",
        "csv/page_recommendations-00000001-0001.csv",
        "csv/user_page_views-00000001-0001.csv",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["duckdb", "sqlite"])
def test_a_database_is_filled_from_s3(remote, tmp_path, kind):
    destination = Destination(kind, f"{kind}:///{tmp_path}/here.{kind}")
    publish(lake.snapshot(remote), config(destination.url), runs(1))
    assert destination.ask("select user_id, url from user_page_views order by 1") == [
        (1, "=1+1"),
        (2, "/products/1/"),
    ]
    assert destination.ask("select host, views from daily_traffic") == [("shop.example", 1)]


@pytest.mark.slow
def test_query_reads_the_files_of_the_manifest(remote):
    question = "select user_id, url, year, month from page_views order by user_id"
    target = query.Target(remote, config())
    answer = query.ask(target, question, lambda reader: reader.read_all().to_pylist())
    assert answer == [
        {"user_id": 1, "url": "=1+1", "year": 2018, "month": 4},
        {"user_id": 2, "url": "/products/1/", "year": 2018, "month": 4},
    ]
