"""S3 servers on this machine: versitygw where it is at hand, moto otherwise."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

KEY, SECRET = "torture-key", "torture-secret"
REGION = "us-east-1"
CACHED = Path(__file__).resolve().parents[2] / ".cache" / "versitygw" / "versitygw"


def versitygw() -> str | None:
    """`go install github.com/versity/versitygw/cmd/versitygw@latest` makes it."""
    return str(CACHED) if CACHED.exists() else shutil.which("versitygw")


def environment(url: str) -> dict[str, str]:
    """What makes every S3 client of a run go to `url`."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def client(url: str) -> Any:
    """A client of boto3 for the server at `url`."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        region_name=REGION,
    )


@contextmanager
def server(kind: str) -> Iterator[str]:
    """Start `moto` or `versitygw` on a free port of 127.0.0.1; its address."""
    folder = tempfile.mkdtemp(prefix="torture-s3-")
    port = free_port()
    if kind == "versitygw":
        program = versitygw()
        assert program
        Path(folder, "side").mkdir()
        Path(folder, "data").mkdir()
        command = [program, "--port", f"127.0.0.1:{port}", "--quiet", "posix"]
        command += ["--sidecar", f"{folder}/side", f"{folder}/data"]
    else:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    keys = {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}
    process = subprocess.Popen(
        command,
        env=os.environ | keys,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _await(url)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """One that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(url: str) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"no server at {url}")
