"""The engines that run the DataFrames: Sail inside this process, or Spark.

Sail is the default on one machine; Spark is used under `spark-submit` (EMR) and when asked for.
"""

from __future__ import annotations

import os

from clicklake.engines.credentials import use_keys
from clicklake.engines.interface import Engine, Landing, shared
from clicklake.engines.words import brief

__all__ = ["Engine", "Landing", "brief", "choose", "shared", "start", "use_keys"]


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
        from clicklake.engines.sail import Sail

        return Sail(memory_mb, work_mb)
    from clicklake.engines.spark import Spark

    return Spark(uses_s3)
