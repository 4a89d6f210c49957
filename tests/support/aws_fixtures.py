"""A moto server for the whole run of tests, and a laptop that deploys to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import aws_server
from aws_laptop import CODE, REGION, Laptop, RecordingAws, script
from clicklake.aws import package
from clicklake.aws.progress import Clock


@pytest.fixture(scope="session")
def moto_process() -> Iterator[aws_server.Server]:
    with aws_server.running() as server:
        yield server


@pytest.fixture
def laptop(moto_process, tmp_path, monkeypatch, capsys) -> Iterator[Laptop]:
    moto_process.reset()
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_process.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATESTTESTTESTTEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-environment")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", _at_once)
    monkeypatch.setattr(package, "code_zip", lambda: CODE)
    monkeypatch.setattr(package, "CACHE", tmp_path / "wheels")
    _wheels_at_hand()
    logs = tmp_path / "raw"
    (logs / "Clickstream").mkdir(parents=True)
    (logs / "Clickstream" / "events.csv").write_text("anonymous_user_id,url\n")

    module = script()
    settings = {"DATALAKE": {"INPUT_DATA": logs}, "CLUSTER": {"LOG_WAIT_SECONDS": 20}}
    made = Laptop(moto_process, tmp_path, module.main, capsys, settings)

    RecordingAws.current = made
    monkeypatch.setattr(module, "Aws", RecordingAws)
    clock = Clock(now=lambda: made.now, sleep=made.sleep)
    monkeypatch.setattr("clicklake.aws.deployer.Clock", lambda: clock)
    yield made


def _at_once(*_: Any) -> float:
    return 0.0


def _wheels_at_hand() -> None:
    """The wheels are as good as downloaded; what they are made of is tested elsewhere."""
    package.CACHE.mkdir()
    for architecture in package.MACHINES:
        package.wheels_file(architecture).write_bytes(b"wheels")
