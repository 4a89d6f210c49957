"""forget-user as a program: on S3, with every database, and killed in the middle."""

from __future__ import annotations

import gzip
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import postgres
import servers
from clicklake import config
from people_logs import LATER, NAMES, logs, write
from publish_support import Destination

pytestmark = pytest.mark.slow

BUCKET = "persons"
TABLES = {
    "duckdb": "select table_name from duckdb_tables() union all select view_name from "
    "duckdb_views() where not internal",
    "sqlite": "select name from sqlite_master where type = 'table'",
    "postgresql": "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname "
    "= '{schema}'",
}


@dataclass
class Scene:
    """Raw logs with Ann in them, a lake, its databases, and CSV files elsewhere.

    `files` are all that is stored, old versions of objects too.
    """

    folder: Path
    lake: str
    databases: list[Destination]
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        logs(self.folder / "in", with_ann=True)
        main, staging = self.databases
        self.config = self.folder / "dl.cfg"
        self.config.write_text(
            f"[DATALAKE]\nINPUT_DATA = {self.folder / 'in'}\nOUTPUT_DATA = {self.lake}\n"
            f"[DATABASE]\nURL = {main.url}\nSTAGING_URL = {staging.url}\nSCHEMA = {main.schema}\n"
            f"[CSV]\nFOLDER = {self.folder / 'csv'}\nGZIP = true\n"
            "[JOB]\nMAX_BAD_RATIO = 1\n[RECOMMEND]\nMODEL = popularity\n"
        )

    def start(self, *arguments: str) -> subprocess.Popen:
        script = config.ROOT / "src" / "scripts" / "etl.py"
        command = [sys.executable, str(script), *arguments, "--config", str(self.config)]
        return subprocess.Popen(
            command,
            env=os.environ | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str) -> None:
        with self.start(*arguments) as process:
            shown = process.communicate(timeout=300)[0]
        assert process.returncode == 0, shown

    def files(self) -> Iterator[tuple[str, bytes]]:
        for file in [*self.folder.rglob("*")]:
            if file.is_file() and self.folder / "in" not in file.parents:
                yield str(file), file.read_bytes()
        if self.lake.startswith("s3a://"):
            client = servers.client(self.environment["AWS_ENDPOINT_URL"])
            for page in client.get_paginator("list_object_versions").paginate(Bucket=BUCKET):
                for found in page.get("Versions", []):
                    name = {"Key": found["Key"], "VersionId": found["VersionId"]}
                    if name["VersionId"] in ("", "null"):
                        del name["VersionId"]
                    yield found["Key"], client.get_object(Bucket=BUCKET, **name)["Body"].read()

    def texts(self) -> Iterator[tuple[str, str]]:
        """All that can be read, in files and tables, compressed or not."""
        for name, data in self.files():
            yield name, _text(name, data)
        for base in self.databases:
            for (table,) in base.ask(TABLES[base.kind].format(schema=base.schema)):
                yield f"{base.kind}: {table}", str(base.ask(f"select * from {table}"))

    def places_of_ann(self) -> list[str]:
        found = [name for name, text in self.texts() if any(n in text.lower() for n in NAMES)]
        rows = [
            f"{base.kind}: {table}"
            for base in self.databases
            for table in ("user_page_views", "users", "page_views", "user_updates")
            if (table in ("page_views", "user_updates")) == (base is self.databases[1])
            and base.ask(f"select * from {table} where user_id = 7")
        ]
        return found + rows


def _text(name: str, data: bytes) -> str:
    if name.endswith(".parquet"):
        return str(pq.read_table(io.BytesIO(data)).to_pylist())
    if name.endswith(".gz"):
        data = gzip.decompress(data)
    return data.decode(errors="replace")


@pytest.fixture(scope="module")
def server():
    with postgres.server() as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", postgres.PASSWORD)
        yield url


def destinations(folder: Path, server: str, kinds: tuple[str, str], name: str) -> list[Destination]:
    urls = {"postgresql": server} | {
        kind: f"{kind}:///{folder / f'base.{kind}'}" for kind in ("sqlite", "duckdb")
    }
    schema = f"s_{name}" if kinds[0] == "postgresql" else "public"
    return [Destination(kind, urls[kind], schema) for kind in kinds]


@pytest.fixture(params=["moto", "versitygw"])
def bucket(request):
    if request.param == "versitygw" and not servers.versitygw():
        pytest.skip("no versitygw")
    with servers.server(request.param) as url:
        environment = servers.environment(url)
        client = servers.client(url)
        client.create_bucket(Bucket=BUCKET)
        if request.param == "moto":
            status = {"Status": "Enabled"}
            client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration=status)
        yield environment


def check_forgotten_for_good(scene: Scene) -> None:
    assert scene.places_of_ann() == []
    write(scene.folder / "in" / "UserUpdates", "later.csv", LATER, with_ann=True)
    scene.run()
    assert scene.places_of_ann() == []
    scene.run("--rebuild")
    assert scene.places_of_ann() == []
    assert any("bobby@example.com" in text for _, text in scene.texts())


def test_on_s3_with_postgresql_and_sqlite(tmp_path, bucket, server):
    kinds = ("postgresql", "sqlite")
    bases = destinations(tmp_path, server, kinds, bucket["AWS_ENDPOINT_URL"].rpartition(":")[2])
    scene = Scene(tmp_path, f"s3a://{BUCKET}/lake", bases, bucket)
    scene.run()
    found = scene.places_of_ann()
    assert {name.partition(":")[0] for name in found} > {"postgresql", "sqlite"}
    assert any(name.startswith("lake/quarantine/") for name in found)
    assert any(name.endswith("user_page_views.csv.gz") for name in found)
    scene.run("forget-user", "ann@example.com", "--yes")
    check_forgotten_for_good(scene)


@pytest.mark.parametrize("kinds", [("postgresql", "duckdb"), ("duckdb", "sqlite")])
def test_killed_at_any_moment_a_second_attempt_completes_it(tmp_path, server, kinds):
    moments = random.Random(7)
    whole = 0.0
    unfinished = 0
    for attempt in range(8):
        folder = tmp_path / str(attempt)
        bases = destinations(folder, server, kinds, f"attempt_{attempt}")
        scene = Scene(folder, str(folder / "lake"), bases)
        scene.run()
        assert scene.places_of_ann()
        began = time.monotonic()
        process = scene.start("forget-user", "7", "--yes")
        if attempt:
            time.sleep(whole * moments.uniform(0.4, 1.0))
            os.killpg(process.pid, signal.SIGKILL)
        shown = process.communicate()[0]
        unfinished += process.returncode != 0
        if not attempt:
            assert process.returncode == 0, shown
            whole = time.monotonic() - began
        scene.run("forget-user", "7", "--yes")
        assert scene.places_of_ann() == [], f"attempt {attempt}"
        shutil.rmtree(folder)
    assert unfinished > 3
