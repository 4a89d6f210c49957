"""What `up` says while it works and when it fails: at once, and no more than is true."""

from __future__ import annotations

import io
import itertools
import sys

import pytest

from aws_laptop import now
from clicklake.aws import package
from clicklake.aws.progress import Clock

pytestmark = pytest.mark.slow


pytest_plugins = ["aws_fixtures"]

# As EMR has it, of which moto makes clusters that are ready at once.
NEVER_READY = "c.ready_datetime = None\nc.steps[-1].start_date_time = None"


def ended_before_it_began(laptop, code: str, message: str):
    """`up`, whose cluster ends without a machine."""
    laptop.deploy("up", "--detach")
    laptop.server.run(f"{now('STARTING', 'PENDING')}\n{NEVER_READY}")
    reason = {"Code": code, "Message": message}
    laptop.ticks = [now("TERMINATED_WITH_ERRORS", "CANCELLED", reason=reason)]
    laptop.now = 0
    return laptop.deploy("up")


def test_why_it_failed_is_told_before_the_log_is_waited_for(laptop):
    said = []
    laptop.ticks = [now("RUNNING", "FAILED"), lambda: said.append(laptop.capsys.readouterr())]
    done = laptop.deploy("up")
    assert done.exit_code == 1
    (before,) = said
    assert "The job failed. Step s-" in before.err
    assert "Waiting up to 20 s for the log" in before.out
    assert "The job failed" not in done.err
    assert "No log is on S3 yet" in done.err


def test_the_wait_for_the_log_is_told_whatever_the_clock_says(laptop, monkeypatch):
    """On a real clock some time passes between any two looks at it."""
    time = itertools.count(step=0.25)
    clock = Clock(now=lambda: next(time), sleep=laptop.sleep)
    monkeypatch.setattr("clicklake.aws.deployer.Clock", lambda: clock)
    laptop.ticks = [now("TERMINATING", "FAILED")]
    assert laptop.deploy("up").out.count("Waiting up to 20 s for the log") == 1


def test_no_log_is_waited_for_where_no_machine_started(laptop):
    done = ended_before_it_began(laptop, "VALIDATION_ERROR", "The subnet has no route")
    assert done.exit_code == 2
    assert "The cluster did not start, so the job did not run. Cluster j-" in done.err
    assert "The subnet has no route" in done.err
    assert "job failed" not in done.text
    assert "log" not in done.text.partition("did not run")[2]
    assert laptop.now == 10


def test_a_cluster_that_fails_with_its_machines_is_no_failed_job(laptop):
    laptop.deploy("up", "--detach")
    laptop.server.run(f"{now('BOOTSTRAPPING', 'PENDING')}\n{NEVER_READY}")
    reason = {"Code": "BOOTSTRAP_FAILURE", "Message": "bootstrap action 1 failed"}
    laptop.ticks = [now("TERMINATED_WITH_ERRORS", "CANCELLED", reason=reason)]
    done = laptop.deploy("up")
    assert done.exit_code == 1
    assert "The cluster failed before the job began." in done.err
    assert "No log is on S3 yet" in done.err


@pytest.mark.parametrize(
    ("arguments", "cluster", "asked"),
    [
        # m7g.xlarge has 4 vCPUs, m7g.2xlarge 8.
        ([], {}, ["12 vCPUs of quota L-1216C47A", "16 vCPUs of quota L-34B43A08"]),
        (["--on-demand"], {}, ["28 vCPUs of quota L-1216C47A"]),
        ([], {"TASK_NODES": 0, "CORE_NODES": 3}, ["28 vCPUs of quota L-1216C47A"]),
        (
            [],
            {"PRIMARY_TYPES": "x2gd.xlarge"},
            ["aws service-quotas list-service-quotas --service-code ec2"],
        ),
    ],
)
def test_a_quota_that_stops_a_cluster_is_named_with_what_the_cluster_takes(
    laptop, arguments, cluster, asked
):
    laptop.settings["CLUSTER"] |= cluster
    laptop.deploy("up", "--detach", *arguments)
    reason = {"Code": "VALIDATION_ERROR", "Message": "Your quota allows for 0 more vCPUs"}
    laptop.ticks = [now("TERMINATED_WITH_ERRORS", "CANCELLED", reason=reason)]
    done = laptop.deploy("up", *arguments)
    assert done.exit_code == 9
    for words in asked:
        assert words in done.err
    assert done.err.count("vCPUs of quota") == sum("vCPUs" in words for words in asked)
    if len(asked) > 1:
        assert "request-service-quota-increase --region us-east-1 --service-code ec2" in done.err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_uploads_show_how_far_they_are_and_input_files_share_a_line(laptop, monkeypatch):
    package.wheels_file("arm64").write_bytes(b"w" * 3_000_000)
    for number in range(4):
        path = laptop.folder / "raw" / "Clickstream" / f"{number}.csv"
        path.write_bytes(b"c" * 500_000)
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    assert laptop.deploy("up", "--yes", "--detach").exit_code == 0
    said = screen.getvalue()
    for live in ("wheels: 1 of 3 MB", "wheels: 3 of 3 MB", "input file 4 of 5: 2 of 2 MB"):
        assert live in said
    assert "created 5 input files (2 MB)" in said
    assert "created input file " not in said
    assert "wheels-arm64.tar (3 MB)" in said


def test_after_an_interrupt_status_shows_what_was_made(laptop):
    def interrupt() -> None:
        raise KeyboardInterrupt

    laptop.meanwhile = {8: interrupt}
    done = laptop.deploy("up")
    assert done.exit_code == 130
    assert "deploy.py status" in done.err or "clicklake deploy status" in done.err
    there = laptop.deploy("status", "--json").json["resources"]
    assert [each["kind"] for each in there] == ["bucket", "bucket"]
