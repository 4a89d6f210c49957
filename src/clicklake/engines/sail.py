"""Sail: an engine in Rust inside this process, which speaks the Spark Connect protocol."""

from __future__ import annotations

import math
import os
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from clicklake.engines.interface import Landing, T
from clicklake.engines.memory import allow_open_files, machine_memory_mb
from clicklake.storage import s3_endpoint

# Memory is bounded, and what does not fit is spilled to disk: by default half of the machine,
# or what a work of a known size runs well with.
_MEMORY_SHARE = 0.5
_LEAST_MB = 1024
_WORK_SHARE = 8

_OPEN = 32  # files at once, up to which a bucket is no larger than wanted


class Sail:
    """An engine on one machine. `memory_mb`: 0 for as much as `work_mb`, what is read, needs."""

    name = "sail"
    fits_als = False

    def __init__(self, memory_mb: int, work_mb: int | None) -> None:
        for name, value in _settings((memory_mb or _bound(work_mb)) << 20).items():
            os.environ.setdefault(name, value)
        allow_open_files()
        import pyarrow as pa
        from pysail.spark import SparkConnectServer

        # The readers run in this process. Other pools keep a third more of what they have freed.
        pa.set_memory_pool(pa.system_memory_pool())
        self._server = SparkConnectServer(ip="127.0.0.1", port=0)
        self._server.start(background=True)
        host, port = self._server.listening_address
        self.session: SparkSession = SparkSession.builder.remote(f"sc://{host}:{port}").create()
        self.session.conf.set("spark.sql.session.timeZone", "UTC")
        self.session.conf.set("spark.sql.ansi.enabled", "true")
        self.cores = os.cpu_count() or 1

    def stop(self) -> None:
        self.session.stop()
        self._server.stop()

    def land(self, landing: Landing[T]) -> T:
        return landing.by_readers()

    @property
    def reader_tasks(self) -> int:
        return self.cores

    def bucket_count(self, wanted: int) -> int:
        """Fewer, larger ones where there are many: each reader has a file open for every bucket,
        so that the memory for files and for a bucket grows with the square root of the work."""
        return min(wanted, math.isqrt(_OPEN * wanted))

    def parts(self, wanted: int) -> int:
        return wanted

    def files_at_once(self, month_bytes: int, target_bytes: int) -> int:
        """Sail writes one file for each folder."""
        return month_bytes // target_bytes

    def shuffled(self, rows: DataFrame, by: str) -> DataFrame:
        return rows

    def settled(self, rows: DataFrame, scratch: Path) -> DataFrame:
        """Sail has no cache: what was written is read back."""
        path = str(scratch / "settled")
        rows.write.parquet(path)
        return self.session.read.schema(rows.schema).parquet(path)

    def share(self, file: Path) -> str:
        return str(file)


def _bound(work_mb: int | None) -> int:
    half = int(machine_memory_mb() * _MEMORY_SHARE)
    return half if work_mb is None else min(half, _LEAST_MB + work_mb // _WORK_SHARE)


def _settings(memory: int) -> dict[str, str]:
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
    endpoint = s3_endpoint()
    if endpoint:
        settings["AWS_ENDPOINT"] = endpoint
        settings["AWS_ALLOW_HTTP"] = str(endpoint.startswith("http://")).lower()
    return settings
