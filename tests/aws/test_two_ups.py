"""Two laptops say `up` at once: one cluster, both follow it, and nobody is refused."""

from __future__ import annotations

import threading
import time

import pytest

from aws_account import in_the_account, unhardened
from aws_laptop import READS
from clicklake.aws import launching
from clicklake.aws.progress import Clock

pytestmark = pytest.mark.slow


pytest_plugins = ["aws_fixtures"]

UP = ("up", "--detach")
KEY = "clicklake/launch.lock"


@pytest.mark.slow
@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_an_up_within_another_makes_no_second_cluster(laptop, region):
    """Before each request of the one that changes something, the other runs as a whole.

    In eu-west-1 S3 refuses to make a bucket twice, in us-east-1 it does not.
    """
    laptop.settings["CLUSTER"]["REGION"] = region
    laptop.deploy(*UP)
    changes = [name for name in laptop.operations() if not READS.match(name)]
    assert changes[-3:] == ["PutObject", "RunJobFlow", "DeleteObject"]
    for number in range(len(changes) - 2):  # up to where the lock is taken
        laptop.server.reset()
        laptop.sent.clear()
        done = []
        laptop.meanwhile = {number: lambda done=done: done.append(laptop.deploy(*UP))}
        last = laptop.deploy(*UP)
        assert [each.exit_code for each in [*done, last]] == [0, 0], (changes[number], last.text)
        assert len(laptop.server.run("result = list(emr.clusters)")) == 1, changes[number]
        assert unhardened(laptop) == []


def test_who_finds_the_lock_taken_waits_and_then_gives_up(laptop):
    laptop.deploy(*UP)
    laptop.server.run("emr.clusters.clear()")
    laptop.sent.clear()
    done = []
    laptop.meanwhile = {1: lambda: done.append(laptop.deploy(*UP))}
    assert laptop.deploy(*UP).exit_code == 0
    (other,) = done
    assert other.exit_code == 5
    assert other.out.count("waiting for it") == 1
    assert f"it holds s3://clicklake-code-123456789012-us-east-1/{KEY}" in other.err
    assert len(in_the_account(laptop)["live clusters"]) == 1
    code = "clicklake-code-123456789012-us-east-1"
    assert "Contents" not in laptop.client("s3").list_objects_v2(Bucket=code, Prefix=KEY)


def left_by_a_dead_one(laptop, seconds: int) -> None:
    laptop.server.run(f"""
from datetime import timedelta
from moto.s3.models import s3_backends
bucket = s3_backends["123456789012"]["aws"].buckets["clicklake-code-123456789012-us-east-1"]
bucket.keys["{KEY}"].last_modified -= timedelta(seconds={seconds})
""")


def test_the_lock_of_one_that_died_counts_for_some_minutes_only(laptop):
    laptop.deploy(*UP)
    laptop.server.run("emr.clusters.clear()")
    code = "clicklake-code-123456789012-us-east-1"
    laptop.client("s3").put_object(Bucket=code, Key=KEY, Body=b"dead")
    left_by_a_dead_one(laptop, 150)
    laptop.ticks = [lambda: None, lambda: left_by_a_dead_one(laptop, 60)]
    done = laptop.deploy(*UP)
    assert done.exit_code == 0, done.text
    assert laptop.now == 2 * launching.POLL_SECONDS


@pytest.mark.slow
@pytest.mark.parametrize("_", range(3))
def test_two_ups_side_by_side_make_one_cluster(laptop, monkeypatch, _):
    """In real time, from an empty account."""
    clock = Clock(sleep=lambda seconds: time.sleep(min(seconds, 0.1)))
    monkeypatch.setattr("clicklake.aws.deployer.Clock", lambda: clock)
    (laptop.folder / "dl.cfg").write_text(f"[DATALAKE]\nINPUT_DATA = {laptop.folder}/raw\n")
    codes: list[int] = []
    command = [*UP, "--config", str(laptop.folder / "dl.cfg")]
    both = [threading.Thread(target=lambda: codes.append(laptop.main(command))) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join(timeout=60)
    assert codes == [0, 0], laptop.capsys.readouterr()
    assert len(laptop.server.run("result = list(emr.clusters)")) == 1
