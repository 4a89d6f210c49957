"""Spark: on EMR, and locally where it is asked for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from clicklake.engines.interface import Landing, T
from clicklake.engines.java import find_java
from clicklake.engines.memory import machine_memory_mb
from clicklake.storage import s3_endpoint

# A server other than AWS's own checks the region of a signature as well; s3a would guess one.
_DEFAULT_REGION = "us-east-1"

_LOGGING = Path(__file__).with_name("log4j2.properties")

_HADOOP_AWS = "org.apache.hadoop:hadoop-aws:3.4.2"
_SDK = "2.29.52"
# hadoop-aws depends on the whole AWS SDK (640 MB); these parts are what s3a uses.
_SDK_PARTS = ("s3", "s3-transfer-manager", "sts", "apache-client", "netty-nio-client")

# The 640 MB bundle, and what Spark itself has.
_NOT_NEEDED = (
    "software.amazon.awssdk:bundle,commons-logging:commons-logging,commons-codec:commons-codec,"
    "org.slf4j:slf4j-api"
)


class Spark:
    """An engine on one machine or many."""

    name = "spark"
    fits_als = True  # by MLlib

    def __init__(self, uses_s3: bool) -> None:
        find_java()
        submitted = "PYSPARK_GATEWAY_PORT" in os.environ
        if not submitted:
            _prepare_workers()
        builder = SparkSession.builder.appName("clicklake")
        for name, value in _settings(submitted, uses_s3).items():
            builder = builder.config(name, value)
        self.session: SparkSession = builder.getOrCreate()
        self.session.sparkContext.setLogLevel("ERROR")
        self.cores = self.session.sparkContext.defaultParallelism

    def stop(self) -> None:
        self.session.stop()

    def land(self, landing: Landing[T]) -> T:
        return landing.by_exchange()

    @property
    def reader_tasks(self) -> int:
        return 0

    def bucket_count(self, wanted: int) -> int:
        return wanted

    def parts(self, wanted: int) -> int:
        """All at once: the rows are spread over machines."""
        return 1

    def files_at_once(self, month_bytes: int, target_bytes: int) -> int:
        """Spark writes a file for each task and folder."""
        return 0

    def shuffled(self, rows: DataFrame, by: str) -> DataFrame:
        return rows.repartition(by)

    def settled(self, rows: DataFrame, scratch: Path) -> DataFrame:
        return rows.persist()

    def share(self, file: Path) -> str:
        """A session remembers the names of the files that it shipped."""
        self.session.sparkContext.addFile(str(file))
        return file.name


def _prepare_workers() -> None:
    """Spark's Python workers run this Python and find this package."""
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")


def _settings(submitted: bool, uses_s3: bool) -> dict[str, str]:
    settings = {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.io.compression.zstd.level": "1",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "65536",
        "spark.sql.execution.pythonUDF.arrow.enabled": "true",
        "spark.sql.sources.parallelPartitionDiscovery.threshold": "1000000",
        "spark.speculation": "false",
    }
    if submitted:
        return settings
    cores = os.cpu_count() or 2
    settings |= {
        "spark.master": f"local[{cores}]",
        "spark.driver.memory": f"{max(1024, machine_memory_mb() // 3)}m",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": str(2 * cores),
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile=file:{_LOGGING}",
    }
    return settings | (_s3a_settings() if uses_s3 else {})


def _s3a_settings() -> dict[str, str]:
    parts = ",".join(f"software.amazon.awssdk:{part}:{_SDK}" for part in _SDK_PARTS)
    settings = {
        "spark.jars.packages": f"{_HADOOP_AWS},{parts}",
        "spark.jars.excludes": _NOT_NEEDED,
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        "spark.hadoop.fs.s3a.aws.credentials.provider": (
            "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider"
        ),
    }
    endpoint = s3_endpoint()
    if endpoint:
        settings |= {
            "spark.hadoop.fs.s3a.endpoint": endpoint,
            "spark.hadoop.fs.s3a.endpoint.region": (
                os.environ.get("AWS_REGION")
                or os.environ.get("AWS_DEFAULT_REGION")
                or _DEFAULT_REGION
            ),
            "spark.hadoop.fs.s3a.path.style.access": "true",
            "spark.hadoop.fs.s3a.connection.ssl.enabled": str(
                endpoint.startswith("https://")
            ).lower(),
        }
    return settings
