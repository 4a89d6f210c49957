"""A user's first day: a fresh clone, bare deploy.py, Ctrl-C, and on to the end and back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import aws_server
from aws_laptop import ROOT, now

pytestmark = pytest.mark.slow

CLOUD = {
    "AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nowhere",
}


@pytest.fixture
def clone(tmp_path) -> Path:
    subprocess.run(["git", "clone", "--quiet", ROOT, tmp_path / "clone"], check=True)
    config = "[CLUSTER]\nPOLL_SECONDS = 1\nLOG_WAIT_SECONDS = 1\n"
    (tmp_path / "clone" / "dl.cfg").write_text(config)
    return tmp_path / "clone"


@pytest.fixture
def deploy(clone):
    """Starts deploy.py in the clone; whatever still runs at the end is killed."""
    started = []

    def start(server, *arguments: str) -> subprocess.Popen[str]:
        started.append(popen(clone, server, *arguments))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def popen(clone: Path, server, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "scripts/deploy.py", *arguments],
        cwd=clone / "src",
        env={**os.environ, **CLOUD, "AWS_ENDPOINT_URL": server.url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str], exit_code: int) -> str:
    out, _ = process.communicate(timeout=300)
    assert process.returncode == exit_code, out
    assert "Traceback" not in out
    return out


def wait_for(process: subprocess.Popen[str], words: str) -> str:
    seen = []
    for line in process.stdout:
        seen.append(line)
        if words in line:
            return "".join(seen)
    raise AssertionError("".join(seen))


def test_from_a_fresh_clone_to_a_completed_step_and_back_to_nothing(deploy):
    with aws_server.running() as server:
        first = deploy(server)
        text = wait_for(first, "step RUNNING")
        assert "list prices" in text
        first.send_signal(signal.SIGINT)
        assert "deploy.py down" in ended(first, 130)

        second = deploy(server)
        wait_for(second, "step RUNNING")
        server.run(now("RUNNING", "PENDING"))
        wait_for(second, "step PENDING")
        server.run(now("TERMINATING", "COMPLETED"))
        assert "COMPLETED" in ended(second, 0)
        assert server.run("result = len(emr.clusters)") == 1

        status = json.loads(ended(deploy(server, "status", "--json"), 0).splitlines()[-1])
        assert status["clusters"][0]["steps"][0]["state"] == "COMPLETED"
        assert "No log is on S3 yet" in ended(deploy(server, "logs"), 0)
        server.run(now("TERMINATED", "COMPLETED"))
        assert "removed bucket" in ended(deploy(server, "down"), 0)
        assert "nothing to remove" in ended(deploy(server, "down"), 0)

        sizes = [
            each["size"]
            for each in server.recorded()
            if "wheels" in each["path"] and each["method"] == "PUT"
        ]
        assert len(sizes) == 1
        assert sizes[0] > 50_000_000
