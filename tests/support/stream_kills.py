"""Processes that are killed by how far they have come, not by the clock."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from clicklake.config import ROOT

# A publisher of small chunks: the arguments are src, the lake, the state's folder, and the stream.
PUBLISH = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from clicklake.lake import open_snapshot
from clicklake.streaming.publisher import publish
from clicklake.streaming.state import State

def sink(folder, kind, *address):
    if kind == "kafka":
        from clicklake.streaming.kafka import KafkaSink
        return KafkaSink(*address, "")
    if kind == "kinesis":
        import boto3
        from clicklake.streaming.kinesis import KinesisSink
        return KinesisSink(boto3.client("kinesis"), *address, folder / "kinesis.json")
    from clicklake.streaming.folder import FolderSink
    return FolderSink(folder.parent)

folder = Path(sys.argv[3])
folder.mkdir(parents=True, exist_ok=True)
stream = sink(folder, *sys.argv[4:])
stream.chunk = 100
publish(lambda: open_snapshot(sys.argv[2]), State(folder), stream)
"""
# The command, but that its chunks on Kafka are small.
PUBLISH_COMMAND = """
import sys
sys.path.insert(0, sys.argv[1])
from clicklake.cli import stream
from clicklake.streaming import kafka
kafka.KafkaSink.chunk = 100
sys.exit(stream.main(["publish", *sys.argv[2:]]))
"""
# The command, but that it commits more often.
SUMMARIZE = """
import sys
sys.path.insert(0, sys.argv[1])
from clicklake.cli import stream
from clicklake.streaming import folder, kafka, summarizer
folder._POLL_LINES = kafka._POLL_MESSAGES = 100
summarizer._COMMIT_EVENTS = 500
sys.exit(stream.main(["summarize", *sys.argv[2:]]))
"""


def command(script: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", script, str(ROOT / "src"), *map(str, arguments)]


def killed_on_the_way(
    command: list[str], progress: Callable[[], int], total: int, kills: int, cwd: Path | None = None
) -> list[int]:
    """Start a command `kills` times, and end each with -9 between a step of progress and a next.

    How far the work had come when the process was dead, for each kill; never to its end. To be
    started once more, undisturbed.
    """
    rng = random.Random(total)
    reached: list[int] = []
    for kill in range(1, kills + 1):
        wanted = max(progress(), (kill - 1) * total // (kills + 2)) + 1
        process = subprocess.Popen(
            command,
            cwd=cwd,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        while progress() < wanted and process.poll() is None:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.03))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, f"ended by itself before kill {kill}"
        reached.append(progress())
    assert all(0 < here < total for here in reached), reached
    return reached
