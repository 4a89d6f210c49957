"""What an earlier configuration made is found by its tag: shown by `status`, removed by `down`."""

from __future__ import annotations

import pytest

from aws_account import CODE, LAKE, in_the_account

pytestmark = pytest.mark.slow


pytest_plugins = ["aws_fixtures"]

UP = ("up", "--detach")


def test_buckets_and_databases_of_an_earlier_configuration_are_removed(laptop):
    before = in_the_account(laptop)
    laptop.deploy(*UP)
    laptop.settings["S3"] = {"CODE_BUCKET": "second-code", "OUTPUT_BUCKET": "second-lake"}
    laptop.settings["CATALOG"] = {"DATABASE": "second"}
    cluster = in_the_account(laptop)["live clusters"][0]
    laptop.client("emr").terminate_job_flows(JobFlowIds=[cluster])
    laptop.deploy(*UP)

    down = laptop.deploy("down")

    assert down.exit_code == 0, down.text
    left = in_the_account(laptop)
    assert left == {
        **before,
        "buckets": [LAKE, "second-lake"],
        "databases": ["clicklake", "second"],
    }
    kept = down.out.partition("Kept")[2]
    for name in (LAKE, "second-lake"):
        assert f"--delete-data --yes {name}" in kept
    assert laptop.deploy("down", "--delete-data", "--yes", "second-lake").exit_code == 0
    assert in_the_account(laptop)["buckets"] == [LAKE]
    assert in_the_account(laptop)["databases"] == ["clicklake"]
    assert laptop.deploy("down", "--delete-data", "--yes", LAKE).exit_code == 0
    assert in_the_account(laptop) == before


def test_status_shows_all_that_is_there(laptop):
    assert laptop.deploy("status", "--json").json["resources"] == []
    laptop.deploy(*UP)
    laptop.settings["S3"] = {"OUTPUT_BUCKET": "second-lake"}
    status = laptop.deploy("status", "--json").json["resources"]
    assert [(each["kind"], each["name"], each["configured"]) for each in status] == [
        ("security configuration", "clicklake-imdsv2-bac04e8d", True),
        ("instance profile", "clicklake-instance-us-east-1", True),
        ("role", "clicklake-instance-us-east-1", True),
        ("role", "clicklake-service-us-east-1", True),
        ("bucket", CODE, True),
        ("database", "clicklake", True),
        ("bucket", LAKE, False),
    ]
    assert f"bucket {LAKE} (today's dl.cfg has another)" in laptop.deploy("status").out


def test_security_configurations_of_earlier_releases_go_and_those_of_others_stay(laptop):
    emr = laptop.client("emr")
    others = ["clicklake-imdsv2-imdsv2-00000000", "clicklake-imdsv2-1", "web-imdsv2-00000000"]
    for name in ("clicklake-imdsv2-00000000", *others):
        emr.create_security_configuration(Name=name, SecurityConfiguration="{}")
    laptop.deploy("down")
    assert in_the_account(laptop)["security configurations"] == others


@pytest.mark.parametrize("key", ["clicklake/users/1.parquet", "clicklake/code/mine.parquet", "a"])
def test_a_bucket_of_an_earlier_configuration_that_holds_data_is_kept(laptop, key):
    """Even a lake below the prefix that the uploads have in a code bucket."""
    s3 = laptop.client("s3")
    s3.create_bucket(Bucket="earlier")
    tags = [{"Key": "clicklake", "Value": "clicklake"}]
    s3.put_bucket_tagging(Bucket="earlier", Tagging={"TagSet": tags})
    s3.put_object(Bucket="earlier", Key=f"clicklake/code/{'0' * 16}/clicklake.zip", Body=b"1")
    s3.put_object(Bucket="earlier", Key=key, Body=b"1")

    assert laptop.deploy("down").exit_code == 0

    left = [each["Key"] for each in s3.list_objects_v2(Bucket="earlier")["Contents"]]
    assert left == [key]
    assert laptop.deploy("down", "--delete-data", "--yes", LAKE).exit_code == 2
    assert laptop.deploy("down", "--delete-data", "--yes", "earlier").exit_code == 0
    assert in_the_account(laptop)["buckets"] == []


def test_another_deployments_resources_are_neither_shown_nor_removed(laptop):
    laptop.settings["CLUSTER"]["NAME"] = "web"
    laptop.deploy(*UP)
    before = in_the_account(laptop)
    laptop.settings["CLUSTER"]["NAME"] = "clicklake"
    assert laptop.deploy("status", "--json").json["resources"] == []
    laptop.deploy("down")
    assert in_the_account(laptop) == before


def test_an_emulator_that_lists_no_security_configurations_is_asked_for_todays(laptop):
    laptop.deploy(*UP)
    laptop.server.fail("ListSecurityConfigurations", times=9, status=500)
    assert laptop.deploy("down").exit_code == 0
    assert in_the_account(laptop)["security configurations"] == []
