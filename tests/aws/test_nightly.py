"""`schedule`: the job without a laptop, with notices of nights that fail or do not happen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from fnmatch import fnmatchcase

import boto3
import pytest

from aws_account import CODE, LAKE, in_the_account
from aws_laptop import REGION, ROOT, check_request
from aws_machine import AWS_S3_CP
from aws_server import ACCOUNT
from clicklake.aws import package

pytestmark = pytest.mark.slow


pytest_plugins = ["aws_fixtures"]

WHEN = "cron(0 3 * * ? *)"
SCHEDULE = ("schedule", WHEN)
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:clicklake-notices"
ROLE = f"clicklake-schedule-{REGION}"


@pytest.fixture
def told(laptop):
    laptop.settings["SCHEDULE"] = {"NOTIFY": "ops@example.com", "BUDGET_USD": 50}
    laptop.settings["REPORT"] = {"TIME_ZONE": "Europe/Berlin"}
    return laptop


def schedule(laptop) -> dict:
    return laptop.client("scheduler").get_schedule(Name="clicklake", GroupName="clicklake")


def started(laptop) -> dict:
    """The request that the schedule makes of EMR, which must fit EMR's own model."""
    request = json.loads(schedule(laptop)["Target"]["Input"])
    model = boto3.client("emr", REGION).meta.service_model.operation_model("RunJobFlow")
    check_request(request, model)
    return request


def test_from_an_empty_account_to_a_schedule_and_back(told):
    before = in_the_account(told)

    done = told.deploy(*SCHEDULE, "--json")

    assert done.exit_code == 0, done.text
    assert done.json["schedule"] == {
        "expression": WHEN,
        "time_zone": "Europe/Berlin",
        "state": "ENABLED",
        "notices": [{"to": "ops@example.com", "confirmed": True}],
    }
    there = in_the_account(told)
    assert there["live clusters"] == []
    assert there["schedules"] == there["schedule groups"] == ["clicklake"]
    assert there["rules"] == ["clicklake-failures"]
    assert there["alarms"] == [f"clicklake-not-started-{REGION}"]
    assert there["topics"] == [TOPIC]
    assert there["budgets"] == [f"clicklake-{REGION}"]
    assert ROLE in there["roles"]

    assert told.deploy("unschedule").exit_code == 0
    after = in_the_account(told)
    for kind in ("schedules", "schedule groups", "rules", "alarms", "topics", "budgets"):
        assert after[kind] == [], kind
    assert ROLE not in after["roles"]
    assert after["buckets"] == [CODE, LAKE]
    told.sent.clear()
    assert "No schedule" in told.deploy("unschedule").out
    assert told.mutations() == []
    assert told.deploy("down", "--delete-data", "--yes", LAKE).exit_code == 0
    assert in_the_account(told) == before


def test_down_removes_the_schedule_before_it_ends_a_cluster(told):
    before = in_the_account(told)
    told.deploy(*SCHEDULE)
    told.deploy("up", "--detach")
    told.sent.clear()
    assert told.deploy("down", "--delete-data", "--yes", LAKE).exit_code == 0
    order = told.operations()
    assert order.index("DeleteSchedule") < order.index("TerminateJobFlows")
    assert in_the_account(told) == before


def test_a_night_starts_the_cluster_of_up_with_the_newest_code(told):
    told.deploy(*SCHEDULE)
    told.deploy("up", "--detach")
    night, (up,) = started(told), told.parameters("RunJobFlow")
    differing = {key for key in up if night.get(key) != up[key]}
    assert differing == {"BootstrapActions", "Steps"}
    assert schedule(told)["Target"]["Arn"] == "arn:aws:scheduler:::aws-sdk:emr:runJobFlow"
    (action,) = night["BootstrapActions"]
    assert action["ScriptBootstrapAction"]["Args"] == [f"s3://{CODE}/clicklake/newest"]
    arguments = night["Steps"][0]["HadoopJarStep"]["Args"]
    assert arguments[3:] == [
        "--py-files",
        "/opt/clicklake/clicklake.zip",
        "/opt/clicklake/etl.py",
        "--config",
        "/opt/clicklake/dl.cfg",
    ]
    uploaded = {each["Key"] for each in told.parameters("PutObject") if each["Bucket"] == CODE}
    keys = {key.removeprefix("clicklake/") for key in uploaded}
    assert named_by_the_pointer(told) == keys - {"newest"}


def named_by_the_pointer(laptop) -> set[str]:
    body = laptop.client("s3").get_object(Bucket=CODE, Key="clicklake/newest")["Body"].read()
    addresses = [line.split()[1] for line in body.decode().splitlines()]
    return {each.removeprefix(f"s3://{CODE}/clicklake/") for each in addresses}


def test_an_up_moves_the_pointer_and_brings_the_schedule_up_to_date(told):
    told.deploy(*SCHEDULE)
    first = named_by_the_pointer(told)
    told.settings["JOB"] = {"SESSION_GAP_MINUTES": 45}
    told.settings["CLUSTER"]["CORE_NODES"] = 3
    changed = told.deploy("plan", "--json").json["changes"]
    assert {each["kind"]: each["note"] for each in changed if each["action"] == "change"} == {
        "pointer": "content",
        "schedule": "cluster",
    }
    told.deploy("up", "--detach")
    moved = named_by_the_pointer(told) ^ first
    assert [key.split("/")[0] for key in moved] == ["config"] * 2
    fleets = started(told)["Instances"]["InstanceFleets"]
    assert [each.get("TargetOnDemandCapacity") for each in fleets] == [1, 3, None]
    assert schedule(told)["ScheduleExpression"] == WHEN
    told.sent.clear()
    told.deploy("up", "--detach")
    assert [name for name in told.mutations() if "JobFlow" not in name] == []


def test_another_time_changes_the_schedule_and_nothing_else(told):
    told.deploy(*SCHEDULE)
    told.sent.clear()
    assert told.deploy("schedule", "rate(1 day)").exit_code == 0
    assert told.mutations() == ["UpdateSchedule"]
    assert schedule(told)["ScheduleExpression"] == "rate(1 day)"


def test_who_starts_clusters_may_do_that_with_our_tag_and_our_roles_only(told):
    told.deploy(*SCHEDULE)
    iam = told.client("iam")
    trust = iam.get_role(RoleName=ROLE)["Role"]["AssumeRolePolicyDocument"]["Statement"][0]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert trust["Condition"]["StringEquals"] == {
        "aws:SourceAccount": ACCOUNT,
        "aws:SourceArn": f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule-group/clicklake",
    }
    document = iam.get_role_policy(RoleName=ROLE, PolicyName="clicklake")["PolicyDocument"]
    by_action = {}
    for each in document["Statement"]:
        by_action.setdefault(each["Action"][0], []).append(each)
    assert set(by_action) == {
        "elasticmapreduce:RunJobFlow",
        "elasticmapreduce:AddTags",
        "iam:PassRole",
    }
    for each in [*by_action["elasticmapreduce:RunJobFlow"], *by_action["elasticmapreduce:AddTags"]]:
        tag = {"elasticmapreduce:RequestTag/clicklake": "clicklake"}
        assert each["Condition"]["StringEquals"] == tag
    passed = {each["Resource"][0] for each in by_action["iam:PassRole"]}
    night = started(told)
    used = {night["ServiceRole"], night["JobFlowRole"]}
    assert {arn.rpartition("/")[2] for arn in passed} == used


def event(kind: str, **detail: str) -> dict:
    return {"source": "aws.emr", "detail-type": kind, "detail": detail}


def matches(pattern: dict, happened: dict) -> bool:
    """EventBridge's rule, in small: each named field has one of the values."""
    return all(
        matches(wanted, happened.get(key, {}))
        if isinstance(wanted, dict)
        else happened.get(key) in wanted
        for key, wanted in pattern.items()
    )


def test_a_night_that_fails_or_does_not_happen_is_told_by_mail(told):
    told.deploy(*SCHEDULE)
    events = told.client("events")
    pattern = json.loads(events.describe_rule(Name="clicklake-failures")["EventPattern"])
    cluster, step = "EMR Cluster State Change", "EMR Step Status Change"
    assert matches(pattern, event(cluster, name="clicklake", state="TERMINATED_WITH_ERRORS"))
    assert matches(pattern, event(step, name="clicklake", state="FAILED"))
    assert not matches(pattern, event(cluster, name="clicklake", state="TERMINATED"))
    assert not matches(pattern, event(step, name="other", state="FAILED"))
    (target,) = events.list_targets_by_rule(Rule="clicklake-failures")["Targets"]
    assert target["Arn"] == TOPIC

    (alarm,) = told.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Scheduler", "InvocationDroppedCount")
    assert alarm["Dimensions"] == [{"Name": "ScheduleGroup", "Value": "clicklake"}]
    assert alarm["AlarmActions"] == [TOPIC]

    sns = told.client("sns")
    (subscribed,) = sns.list_subscriptions_by_topic(TopicArn=TOPIC)["Subscriptions"]
    assert (subscribed["Protocol"], subscribed["Endpoint"]) == ("email", "ops@example.com")
    policy = json.loads(sns.get_topic_attributes(TopicArn=TOPIC)["Attributes"]["Policy"])
    senders = {
        each["Principal"]["Service"]: each["Condition"]["ArnEquals"]["aws:SourceArn"]
        for each in policy["Statement"]
    }
    assert senders["events.amazonaws.com"] == events.describe_rule(Name="clicklake-failures")["Arn"]
    assert fnmatchcase(alarm["AlarmArn"], senders["cloudwatch.amazonaws.com"])


def test_the_budget_is_this_deployments_alone(told):
    told.deploy(*SCHEDULE)
    (budget,) = told.client("budgets").describe_budgets(AccountId=ACCOUNT)["Budgets"]
    assert budget["BudgetLimit"] == {"Amount": "50", "Unit": "USD"}
    assert budget["CostFilters"] == {"TagKeyValue": ["user:clicklake$clicklake"]}


def test_without_an_address_there_is_a_schedule_and_no_notice(laptop):
    laptop.deploy(*SCHEDULE)
    there = in_the_account(laptop)
    assert there["schedules"] == ["clicklake"]
    assert there["rules"] == there["topics"] == there["alarms"] == there["budgets"] == []
    laptop.settings["SCHEDULE"] = {"BUDGET_USD": 50}
    refused = laptop.deploy(*SCHEDULE)
    assert refused.exit_code == 2
    assert "[SCHEDULE] BUDGET_USD needs NOTIFY" in refused.err


def test_status_shows_the_schedule(told):
    assert told.deploy("status", "--json").json["schedule"] is None
    told.deploy(*SCHEDULE)
    assert f"Schedule: {WHEN} in Europe/Berlin, ENABLED." in told.deploy("status").out
    shown = told.deploy("status", "--json").json
    assert shown["schedule"]["expression"] == WHEN
    kinds = [each["kind"] for each in shown["resources"]]
    assert kinds[:7] == ["schedule", "budget", "alarm", "rule", "topic", "role", "schedule group"]


@pytest.mark.slow
def test_a_schedule_that_was_killed_is_completed_by_the_next_and_removed(told):
    told.deploy("up", "--detach")
    before = in_the_account(told)
    after = 0
    while told.deploy_killed(after, *SCHEDULE):
        assert told.deploy("unschedule").exit_code == 0
        assert in_the_account(told) == before, after
        told.deploy_killed(after, *SCHEDULE)
        assert told.deploy(*SCHEDULE).exit_code == 0
        assert in_the_account(told)["schedules"] == ["clicklake"]
        assert told.deploy("unschedule").exit_code == 0
        assert in_the_account(told) == before, after
        after += 1
    assert after > 8


@pytest.mark.parametrize(
    "arguments", [["schedule"], ["schedule", "at three"], ["up", WHEN], ["schedule", "at(2030)"]]
)
def test_when_must_be_an_expression_and_goes_with_schedule(laptop, arguments):
    with pytest.raises(SystemExit) as ended:
        laptop.deploy(*arguments)
    assert ended.value.code == 2


def test_who_may_not_see_schedules_can_still_deploy(laptop):
    laptop.server.fail("/schedule", times=99, status=403, code="AccessDeniedException")
    assert laptop.deploy("up", "--detach").exit_code == 0
    assert laptop.deploy("status").exit_code == 0
    assert laptop.deploy("down").exit_code == 0


VENV = """#!/bin/bash
mkdir -p "$3/bin" && printf '#!/bin/bash\\n' >"$3/bin/pip" && chmod +x "$3/bin/pip"
"""


def test_the_bootstrap_script_takes_the_newest_uploads_by_the_pointer(told, tmp_path):
    """With everything on the machine that the step of a night names."""
    with tarfile.open(package.wheels_file("arm64"), "w") as wheels:
        wheels.addfile(tarfile.TarInfo("wheels/requirements.txt"))
    told.deploy(*SCHEDULE)
    told.settings["JOB"] = {"SESSION_GAP_MINUTES": 45}
    told.deploy("up", "--detach")
    (programs := tmp_path / "bin").mkdir()
    (home := tmp_path / "home").mkdir()
    for name, text in {"aws": AWS_S3_CP.format(python=sys.executable), "python3.11": VENV}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (action,) = started(told)["BootstrapActions"]

    done = subprocess.run(
        ["bash", ROOT / "deploy" / "bootstrap.sh", *action["ScriptBootstrapAction"]["Args"]],
        env={
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "CLICKLAKE_HOME": str(home),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "SESSION_GAP_MINUTES = 45" in (home / "dl.cfg").read_text()
    assert (home / "clicklake.zip").read_bytes() == package.code_zip()
    assert (home / "etl.py").read_bytes() == (ROOT / "src/scripts/etl.py").read_bytes()
    assert (home / "venv" / "bin" / "pip").exists()
