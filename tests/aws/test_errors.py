"""What goes wrong: said in a line or two, with its exit code, and found as early as it can be."""

from __future__ import annotations

import gzip
import shutil

import pytest

from aws_laptop import REGION, now
from aws_server import ACCOUNT

pytest_plugins = ["aws_fixtures"]

LAKE = f"clicklake-lake-{ACCOUNT}-{REGION}"


def refused(done, exit_code: int, *words: str) -> None:
    """The error is short, for people, and carries its exit code."""
    assert done.exit_code == exit_code, done.text
    for word in words:
        assert word in done.err, done.err
    assert "Traceback" not in done.text


@pytest.mark.slow
def test_no_credentials(laptop, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    done = laptop.deploy("up")
    refused(done, 3, "NoCredentialsError", "aws sts get-caller-identity")
    assert len(done.err.strip().splitlines()) == 1


@pytest.fixture
def with_authorization(laptop):
    """moto checks keys and permissions from now on, as AWS does."""
    iam = laptop.client("iam")
    iam.create_user(UserName="someone")
    key = iam.create_access_key(UserName="someone")["AccessKey"]
    yield laptop.server.run, key
    laptop.server.run(AUTHORIZATION.format("float('inf')"))


AUTHORIZATION = """
from moto import settings
from moto.core.responses import ActionAuthenticatorMixin

settings.INITIAL_NO_AUTH_ACTION_COUNT = {0}
ActionAuthenticatorMixin.request_count = 0
"""


@pytest.mark.slow
def test_a_wrong_key(laptop, with_authorization):
    run, _ = with_authorization
    run(AUTHORIZATION.format(0))
    refused(laptop.deploy("up"), 3, "InvalidClientTokenId", "get caller identity")


@pytest.mark.slow
def test_a_key_that_may_not_do_it(laptop, with_authorization):
    run, key = with_authorization
    laptop.settings["AWS"] = {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }
    run(AUTHORIZATION.format(0))
    done = laptop.deploy("up")
    refused(done, 3, "is not authorized to perform")
    assert laptop.mutations() == []


@pytest.mark.slow
def test_half_a_key_in_the_configuration(laptop):
    laptop.settings["AWS"] = {"AWS_ACCESS_KEY_ID": "AKIA"}
    refused(laptop.deploy("up"), 2, "both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")


def test_no_region(laptop, monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    refused(laptop.deploy("up"), 2, "No AWS region", "REGION in [CLUSTER]", "aws configure")


def test_an_unknown_profile(laptop, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    refused(laptop.deploy("up"), 3, "nobody")


def test_nobody_answers(laptop, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    refused(laptop.deploy("up"), 1, "EndpointConnectionError", "AWS_ENDPOINT_URL")


@pytest.mark.slow
def test_a_bucket_of_another_account(laptop):
    other = laptop.client("sts").assume_role(
        RoleArn="arn:aws:iam::999999999999:role/other", RoleSessionName="somebody"
    )["Credentials"]
    laptop.client(
        "s3",
        aws_access_key_id=other["AccessKeyId"],
        aws_secret_access_key=other["SecretAccessKey"],
        aws_session_token=other["SessionToken"],
    ).create_bucket(Bucket="popular-name")
    laptop.settings["S3"] = {"CODE_BUCKET": "popular-name"}
    done = laptop.deploy("up")
    refused(done, 8, "bucket popular-name", "taken by another account", "[S3] of dl.cfg")
    assert laptop.mutations() == []


@pytest.mark.slow
def test_a_bucket_in_another_region(laptop):
    place = {"LocationConstraint": "eu-west-1"}
    laptop.client("s3", "eu-west-1").create_bucket(
        Bucket="far-away", CreateBucketConfiguration=place
    )
    laptop.settings["S3"] = {"OUTPUT_BUCKET": "far-away"}
    done = laptop.deploy("up")
    refused(done, 8, "far-away", "lies in eu-west-1", "deployment in us-east-1")
    assert laptop.mutations() == []


@pytest.mark.slow
def test_a_role_of_somebody_else(laptop):
    laptop.client("iam").create_role(
        RoleName="clicklake-service-us-east-1", AssumeRolePolicyDocument="{}"
    )
    done = laptop.deploy("up")
    refused(done, 8, "role clicklake-service-us-east-1", "no tag clicklake=clicklake", "NAME")
    assert laptop.mutations() == []
    laptop.deploy("down")
    assert laptop.mutations() == []


@pytest.mark.slow
def test_an_instance_profile_that_emr_does_not_see_yet(laptop):
    laptop.server.fail(
        "ElasticMapReduce.RunJobFlow",
        times=2,
        code="ValidationException",
        message="Invalid InstanceProfile: clicklake-instance-us-east-1.",
    )
    done = laptop.deploy("up", "--detach")
    assert done.exit_code == 0, done.text
    assert laptop.waits == [5, 5]


@pytest.mark.slow
def test_an_instance_profile_that_emr_never_sees(laptop):
    laptop.server.fail(
        "ElasticMapReduce.RunJobFlow",
        times=99,
        code="ValidationException",
        message="Invalid InstanceProfile: x.",
    )
    refused(laptop.deploy("up"), 2, "run job flow clicklake", "Invalid InstanceProfile")
    assert len(laptop.waits) == 11


@pytest.mark.slow
def test_another_refusal_of_the_cluster_is_not_tried_again(laptop):
    laptop.server.fail(
        "ElasticMapReduce.RunJobFlow",
        times=99,
        code="ValidationException",
        message="Instance type is odd.",
    )
    refused(laptop.deploy("up"), 2, "ValidationException", "Instance type is odd")
    assert laptop.waits == []


@pytest.mark.slow
def test_a_failed_step_is_explained(laptop):
    laptop.deploy("up", "--detach")
    started = laptop.deploy("status", "--json").json["clusters"][0]
    cluster_id, step_id = started["cluster_id"], started["steps"][0]["step_id"]
    log = "\n".join([f"line {n}" for n in range(100)] + ["ValueError: the sky is falling", ""])

    def log_arrives() -> None:
        key = f"logs/{cluster_id}/steps/{step_id}/stderr.gz"
        laptop.client("s3").put_object(Bucket=LAKE, Key=key, Body=gzip.compress(log.encode()))

    failure = {"Reason": "Unknown Error.", "Message": "exit status 1"}
    laptop.ticks = [now("RUNNING", "FAILED", failure=failure), log_arrives]
    done = laptop.deploy("up", "--json")

    assert done.exit_code == done.json["exit_code"] == 1
    assert done.json["status"] == "failed"
    assert done.json["cause"] == "ValueError: the sky is falling"
    for words in (step_id, cluster_id, "FAILED", "exit status 1", "line 99", "deploy.py logs"):
        assert words in done.err
    assert "line 60" not in done.err
    assert "EMR copies it with a delay" in done.err
    assert laptop.server.run("result = [c.state for c in emr.clusters.values()]") == ["TERMINATED"]


@pytest.mark.slow
def test_a_failed_step_whose_log_never_comes(laptop):
    laptop.ticks = [now("TERMINATING", "FAILED")]
    done = laptop.deploy("up")
    refused(done, 1, "No log is on S3 yet", "deploy.py logs")
    assert laptop.now == 10 + 20  # one look, and LOG_WAIT_SECONDS


@pytest.mark.slow
@pytest.mark.parametrize("step", ["CANCELLED", "INTERRUPTED"])
def test_a_step_that_did_not_complete_is_no_success(laptop, step):
    laptop.ticks = [now("TERMINATING", step)]
    assert laptop.deploy("up").exit_code == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reason", "exit_code"),
    [
        ({"Code": "VALIDATION_ERROR", "Message": "Your quota allows for 0 more vCPUs"}, 9),
        ({"Code": "INSTANCE_FAILURE", "Message": "Insufficient capacity for m7g.xlarge"}, 9),
        ({"Code": "VALIDATION_ERROR", "Message": "The subnet has no route"}, 2),
        ({"Code": "BOOTSTRAP_FAILURE", "Message": "bootstrap action 1 failed"}, 1),
        (
            {
                "Code": "VALIDATION_ERROR",
                "Message": "The provided credentials do not have permission to create the "
                "service-linked role for EC2 Spot Instances",
            },
            3,
        ),
        ({"Code": "VALIDATION_ERROR", "Message": "Spot price must be positive"}, 2),
    ],
)
def test_a_cluster_that_never_ran_the_job(laptop, reason, exit_code):
    ended = now("TERMINATED_WITH_ERRORS", "CANCELLED", reason=reason)
    laptop.ticks = [now("STARTING", "PENDING"), ended]
    refused(laptop.deploy("up"), exit_code, reason["Code"], reason["Message"])


@pytest.mark.slow
def test_a_failed_bootstrap_script_shows_its_own_log(laptop):
    laptop.deploy("up", "--detach")
    cluster_id = laptop.server.run("result = list(emr.clusters)[-1]")
    key = f"logs/{cluster_id}/node/i-1/bootstrap-actions/1/stderr.gz"
    laptop.client("s3").put_object(Bucket=LAKE, Key=key, Body=gzip.compress(b"no such wheel\n"))
    laptop.ticks = [now("TERMINATED_WITH_ERRORS", "CANCELLED")]
    refused(laptop.deploy("up"), 1, "no such wheel")


@pytest.mark.slow
def test_timeout_leaves_the_cluster_and_says_how_to_stop_it(laptop):
    done = laptop.deploy("up", "--timeout", "30s")
    cluster_id = laptop.server.run("result = list(emr.clusters)[-1]")
    refused(done, 124, cluster_id, "deploy.py down", f"--cluster-ids {cluster_id}")
    assert laptop.now == 30
    assert laptop.server.run("result = list(emr.clusters.values())[-1].state") != "TERMINATED"


@pytest.mark.slow
def test_interrupt_leaves_the_cluster_and_says_how_to_stop_it(laptop):
    def interrupt() -> None:
        raise KeyboardInterrupt

    laptop.ticks = [now("RUNNING", "RUNNING"), interrupt]
    done = laptop.deploy("up", "--json")
    cluster_id = laptop.server.run("result = list(emr.clusters)[-1]")
    refused(done, 130, cluster_id, "deploy.py down")
    assert done.json["exit_code"] == 130


@pytest.mark.slow
def test_a_lost_connection_is_waited_for(laptop):
    laptop.deploy("up", "--detach")
    laptop.ticks = [
        lambda: laptop.server.fail("DescribeCluster", times=6, status=0),
        now("TERMINATING", "COMPLETED"),
    ]
    assert laptop.deploy("up").exit_code == 0


def test_throttling_is_waited_out(laptop):
    laptop.server.fail("ListClusters", times=4, code="ThrottlingException", message="Rate exceeded")
    assert laptop.deploy("plan").exit_code == 0


def test_throttling_without_end(laptop):
    laptop.server.fail(
        "ListClusters", times=99, code="ThrottlingException", message="Rate exceeded"
    )
    refused(laptop.deploy("plan"), 9, "ThrottlingException", "Try again later")


@pytest.mark.slow
def test_no_default_network(laptop):
    laptop.settings["CLUSTER"]["REGION"] = "eu-north-1"
    ec2 = laptop.client("ec2", "eu-north-1")
    for subnet in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    for vpc in ec2.describe_vpcs()["Vpcs"]:
        ec2.delete_vpc(VpcId=vpc["VpcId"])
    done = laptop.deploy("up")
    refused(done, 2, "no default VPC in eu-north-1", "SUBNETS", "aws ec2 create-default-vpc")
    assert laptop.mutations() == []


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("CLUSTER", "PRIMARY_TYPES", "m7g.xlarj", ["InvalidInstanceType", "m7g.xlarj"]),
        ("CLUSTER", "WORKER_TYPES", "m6i.xlarge", ["share one processor", "x86_64"]),
        ("CLUSTER", "SUBNETS", "subnet-0123", ["InvalidSubnetID", "subnet-0123"]),
        ("CLUSTER", "RELEASE", "emr-7.14.0", ["Spark 3.5", "emr-spark-8.1.0"]),
        ("CLUSTER", "RELEASE", "emr-9.9.9", ["not to be had in us-east-1", "emr-spark-8.1.0"]),
        ("CLUSTER", "NAME", "Click Lake", ["[CLUSTER] NAME", "a-z"]),
        ("SOURCES", "CLICKSTREAM", "/var/log/clicks", ["[SOURCES] CLICKSTREAM", "s3a://"]),
        ("DATALAKE", "INPUT_DATA", "/nowhere", ["INPUT_DATA is /nowhere"]),
        ("DATALAKE", "OUTPUT_DATA", "s3a://other/lake", ["OUTPUT_BUCKET is mine", "other"]),
    ],
)
def test_a_wrong_setting_is_found_before_anything_is_made(laptop, section, key, value, words):
    laptop.settings.setdefault("S3", {})["OUTPUT_BUCKET"] = "mine"
    laptop.settings.setdefault(section, {})[key] = value
    refused(laptop.deploy("up"), 2, *words)
    assert laptop.mutations() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("s3a://no-such-bucket/web", "there is no bucket no-such-bucket"),
        ("s3a://raws/wed", "no raw logs; looked at s3://raws/wed"),
    ],
)
def test_raw_logs_that_are_not_there(laptop, place, words):
    laptop.client("s3").create_bucket(Bucket="raws")
    laptop.client("s3").put_object(Bucket="raws", Key="web/Clickstream/1.csv", Body=b"a")
    laptop.settings["DATALAKE"]["INPUT_DATA"] = place
    refused(laptop.deploy("up"), 2, words)
    assert laptop.mutations() == []
    laptop.settings["DATALAKE"]["INPUT_DATA"] = "s3a://raws/web"
    assert laptop.deploy("plan").exit_code == 0


@pytest.mark.slow
def test_packages_that_cannot_be_had(laptop, monkeypatch):
    shutil.rmtree(laptop.folder / "wheels")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(laptop.folder))
    refused(laptop.deploy("up"), 2, "pip could not download", "requirements-emr.txt")
    assert laptop.mutations() == []


@pytest.mark.slow
def test_down_does_not_ask_for_the_raw_logs(laptop):
    laptop.deploy("up", "--detach")
    shutil.rmtree(laptop.folder / "raw")
    assert laptop.deploy("up").exit_code == 2
    assert laptop.deploy("down").exit_code == 0


def test_an_error_is_json_too(laptop):
    laptop.settings["CLUSTER"]["RELEASE"] = "emr-1"
    done = laptop.deploy("plan", "--json")
    assert done.json["verb"] == "plan"
    assert done.json["exit_code"] == 2
    assert "emr-1" in done.json["error"]


@pytest.mark.parametrize("arguments", [["destroy"], ["up", "--delete-data"], ["--timeout", "soon"]])
def test_a_wrong_command_line_ends_with_2(laptop, arguments):
    with pytest.raises(SystemExit) as ended:
        laptop.deploy(*arguments)
    assert ended.value.code == 2


def test_a_verb_after_yes_is_a_verb(laptop):
    assert laptop.deploy("--json", "--yes", "down").json["verb"] == "down"


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (["--output", "s3a://elsewhere/lake"], "--output: on the cluster"),
        (["--engine", "sail"], "those of this deployment"),
        (["replay", "page_views", "mended.json"], "files of this machine"),
        (["forget-user", "someone@example.com", "--yes"], "no e-mail address"),
        (["forget-user", "u-17"], "add --yes or --dry-run"),
    ],
)
def test_arguments_that_the_cluster_could_not_follow(laptop, job, words):
    done = laptop.deploy_then("up", then=job)
    refused(done, 2, words)
    assert "someone@" not in done.text
    assert laptop.mutations() == []


@pytest.mark.parametrize("job", [["--rebuilt"], ["varify"], ["--as-of", "soon"]])
def test_arguments_that_the_job_does_not_know(laptop, job):
    with pytest.raises(SystemExit) as ended:
        laptop.deploy_then("up", then=job)
    assert ended.value.code == 2


def test_arguments_of_the_job_go_with_up(laptop):
    with pytest.raises(SystemExit) as ended:
        laptop.deploy_then("down", then=["--rebuild"])
    assert ended.value.code == 2
