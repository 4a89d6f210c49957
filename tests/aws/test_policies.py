"""The IAM policies: each statement explained, nothing wider than it has to be."""

from __future__ import annotations

import json

import pytest

from aws_laptop import NETWORK, OWN, ROOT
from aws_policies import Need, allowing, needs
from clicklake.aws import nightly_policies, policies
from clicklake.aws.names import deployment
from clicklake.config import Config, DataLake, Sources

pytest_plugins = ["aws_fixtures"]

INSTANCE = policies.document(policies.instance_statements(OWN))
SERVICE_STATEMENTS = policies.service_statements(
    OWN, NETWORK.vpc, NETWORK.subnets, NETWORK.security_groups
)


def request(method: str, path: str, query: str = "", body: str = "", **headers: str) -> dict:
    return {"method": method, "path": path, "query": query, "body": body, "headers": headers}


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        (request("GET", "/codes/clicklake/code/1/etl.py"), True),
        (request("GET", "/codes/another/secret"), False),
        (request("PUT", "/codes/clicklake/code/1/etl.py"), False),
        (request("GET", "/codes", "list-type=2&prefix=clicklake/"), False),
        (request("GET", "/raws/web/PageViews/1.json"), True),
        (request("GET", "/raws/payroll/1.csv"), False),
        (request("GET", "/raws", "list-type=2&prefix=web/PageViews/"), True),
        (request("GET", "/raws", "list-type=2&prefix=web"), True),
        (request("GET", "/raws", "list-type=2&prefix=website/"), False),
        (request("GET", "/raws", "list-type=2"), False),
        (request("PUT", "/raws/web/PageViews/1.json"), False),
        (request("DELETE", "/raws/web/PageViews/1.json"), False),
        (request("PUT", "/lakes/lake/users/a.parquet"), True),
        (request("POST", "/lakes/lake/users/a.parquet", "uploads"), True),
        (request("DELETE", "/lakes/lake/users/a.parquet", "uploadId=1"), True),
        (request("PUT", "/lakes/lake/b", X_AMZ_COPY_SOURCE="/lakes/lake/a"), True),
        (request("PUT", "/lakes/lake/b", X_AMZ_COPY_SOURCE="/raws/payroll/a"), False),
        (request("POST", "/lakes", "delete", "<Key>lake/a</Key><Key>lake/b</Key>"), True),
        (request("POST", "/lakes", "delete", "<Key>lake/a</Key><Key>other/b</Key>"), False),
        (request("PUT", "/lakes/logs/j-1/steps/s-1/stderr.gz"), True),
        (request("DELETE", "/lakes/logs/j-1/steps/s-1/stderr.gz"), False),
        (request("PUT", "/lakes/other"), False),
    ],
)
def test_the_machines_may_do_what_the_job_does_and_no_more(asked, allowed):
    assert all(allowing(INSTANCE, need) for need in needs(asked)) is allowed


def test_the_input_may_be_a_third_bucket_and_sources_may_have_their_own():
    settings = Config(
        datalake=DataLake("s3a://raw/web", "s3a://out/lake"),
        sources=Sources(clickstream="s3://clicks/2018"),
    )
    own = deployment(settings, "123456789012", "aws", "us-east-1")
    policy = policies.document(policies.instance_statements(own))
    for arn in ("raw/web/a", "clicks/2018/b"):
        assert allowing(policy, Need("s3:GetObject", f"arn:aws:s3:::{arn}"))
        assert not allowing(policy, Need("s3:PutObject", f"arn:aws:s3:::{arn}"))
    assert not allowing(policy, Need("s3:GetObject", "arn:aws:s3:::clicks/2019/b"))


def test_no_statement_is_for_all_resources_or_all_actions():
    for statement in [*policies.instance_statements(OWN), *SERVICE_STATEMENTS]:
        for arn in statement.resources:
            assert arn.count("*") <= 1, arn
            assert not arn.endswith(":*"), arn
        assert not [action for action in statement.actions if "*" in action]


def test_the_instance_role_is_passed_to_ec2_only():
    (statement,) = [each for each in SERVICE_STATEMENTS if "iam:PassRole" in each.actions]
    assert statement.resources == ("arn:aws:iam::123456789012:role/clicklake-instance-us-east-1",)
    assert statement.condition == {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}


def test_only_emr_of_this_account_and_region_may_take_the_service_role():
    (statement,) = policies.service_trust(OWN)["Statement"]
    assert statement["Principal"] == {"Service": "elasticmapreduce.amazonaws.com"}
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "123456789012"},
        "ArnLike": {"aws:SourceArn": "arn:aws:elasticmapreduce:us-east-1:123456789012:*"},
    }


@pytest.mark.slow
def test_the_managed_policy_does_not_reach_an_untagged_network_so_ours_does(laptop):
    """Without the tag on subnets, the inline statements are what lets EMR start machines."""
    arn = policies.managed_service_policy(OWN)
    version = laptop.client("iam").get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = laptop.client("iam").get_policy_version(PolicyArn=arn, VersionId=version)
    managed = document["PolicyVersion"]["Document"]
    tagged = [
        each
        for each in managed["Statement"]
        if "for-use-with-amazon-emr-managed-policies"
        in json.dumps(each.get("Condition", {}).get("StringEquals", {})).replace("RequestTag", "")
        and "aws:ResourceTag" in json.dumps(each["Condition"])
    ]
    on_networks = {
        action
        for each in tagged
        for arn in _as_list(each["Resource"])
        if any(f":{kind}/" in arn for kind in ("subnet", "vpc", "security-group"))
        for action in _as_list(each["Action"])
    }
    ours = {action for each in SERVICE_STATEMENTS for action in each.actions}
    assert on_networks
    assert on_networks <= ours


def _as_list(value) -> list:
    return value if isinstance(value, list) else [value]


@pytest.mark.slow
def test_groups_that_emr_made_without_its_tag_are_allowed_by_name(laptop):
    ec2 = laptop.client("ec2")
    group = ec2.create_security_group(GroupName="ElasticMapReduce-master", Description="EMR")
    try:
        laptop.deploy("up", "--detach")
        ec2.create_tags(
            Resources=[group["GroupId"]],
            Tags=[{"Key": "for-use-with-amazon-emr-managed-policies", "Value": "true"}],
        )
        laptop.deploy("up", "--detach")
    finally:
        ec2.delete_security_group(GroupId=group["GroupId"])
    untagged, tagged = [
        "UseEmrSecurityGroups" in each["PolicyDocument"]
        and group["GroupId"] in each["PolicyDocument"]
        for each in laptop.parameters("PutRolePolicy")
        if each["RoleName"] == "clicklake-service-us-east-1"
    ]
    assert (untagged, tagged) == (True, False)


def test_every_statement_is_explained_in_the_documentation():
    page = (ROOT / "docs" / "deploy.md").read_text()
    of_roles = [*policies.instance_statements(OWN), *SERVICE_STATEMENTS]
    for statement in [*of_roles, *nightly_policies.statements(OWN)]:
        row = next(line for line in page.splitlines() if line.startswith(f"| {statement.sid} |"))
        for action in statement.actions:
            assert action.partition(":")[2] in row, row
        assert statement.reason in row
