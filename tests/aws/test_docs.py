"""docs/deploy.md says what the program does: flags, exit codes, JSON, permissions."""

from __future__ import annotations

import re

import pytest

from aws_laptop import ROOT, now, script
from aws_server import ACCOUNT

pytestmark = pytest.mark.slow


pytest_plugins = ["aws_fixtures"]

PAGE = (ROOT / "docs" / "deploy.md").read_text()
LAKE = f"clicklake-lake-{ACCOUNT}-us-east-1"

# Where IAM's action has another name than S3's operation.
ACTIONS = {
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "DeleteObjects": "DeleteObject",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
}


def section(title: str) -> str:
    return re.split(r"^##+ ", PAGE.partition(f"# {title}\n")[2], flags=re.MULTILINE)[0]


def test_every_flag_and_verb_is_explained(capsys):
    with pytest.raises(SystemExit):
        script().main(["--help"])
    flags = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert flags == set(re.findall(r"--[a-z][a-z-]+", section("Commands")))
    for verb in script().VERBS:
        assert f"| `{verb}`" in section("Commands")


@pytest.mark.slow
def test_the_keys_of_the_json_are_documented(laptop):
    """Three years from now a script still finds them."""
    shown = {
        "plan": laptop.deploy("plan", "--json").json,
        "up": laptop.deploy("up", "--detach", "--json").json,
        "status": laptop.deploy("status", "--json").json,
        "logs": laptop.deploy("logs", "--json").json,
    }
    laptop.ticks = [now("TERMINATED", "COMPLETED")]
    shown["up"] |= laptop.deploy("up", "--json").json
    shown["down"] = laptop.deploy("down", "--json").json
    common = {"verb", "exit_code", "name", "account", "region", "lake", "logs"}
    text = section("JSON")
    for key in common:
        assert f"`{key}`" in text
    for verb, facts in shown.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{verb}`"))
        for key in set(facts) - common:
            assert f"`{key}`" in row, (verb, key)


def test_the_request_of_the_plan_is_the_one_that_up_sends(laptop):
    planned = laptop.deploy("plan", "--json").json["cluster_request"]
    laptop.deploy("up", "--detach")
    assert laptop.parameters("RunJobFlow") == [planned]
    assert laptop.deploy("plan", "--json").json["cluster_request"] is None


def test_the_permissions_that_a_user_needs_are_listed(laptop):
    laptop.ticks = [now("RUNNING", "FAILED")]
    laptop.deploy("up", "--keep-alive")
    for verb in ("up", "logs", "status"):
        laptop.deploy(verb, "--detach")
    cluster_id = laptop.server.run("result = list(emr.clusters)[0]")
    laptop.server.run("list(emr.clusters.values())[0].termination_protected = True")
    laptop.client("s3").create_multipart_upload(Bucket=LAKE, Key="part")
    assert cluster_id in laptop.deploy("down", "--delete-data", "--yes", LAKE).out
    assert len(set(laptop.operations())) > 50
    for operation in set(laptop.operations()):
        action = ACTIONS.get(operation, operation)
        assert re.search(rf"[`:]{action}`", section("You")), action
