"""deploy.py from an empty account to a finished job and back, on moto over HTTP."""

from __future__ import annotations

import gzip
import io
import json
import re
import sys

import pytest

from aws_account import CODE, LAKE, ROLES, in_the_account
from aws_laptop import TO_COMPLETED, now
from clicklake.cli.main import parser

pytest_plugins = ["aws_fixtures"]


def run_metrics(laptop, run_id: str) -> dict:
    """Put a lake's books where the job would."""
    s3 = laptop.client("s3")
    metrics = {
        "run_id": run_id,
        "status": "committed",
        "books": {"clickstream": {"read": 7, "kept": 5, "duplicate": 2, "filtered": 0}},
        "tables": {"sessions": {"rows": 1234, "bytes": 99, "files": 1}},
    }
    for key, value in {
        "lake/_clicklake/manifest.json": {"run_id": run_id},
        f"lake/_clicklake/runs/{run_id}/metrics.json": metrics,
    }.items():
        s3.put_object(Bucket=LAKE, Key=key, Body=json.dumps(value))
    return metrics


def test_up_makes_everything_and_follows_the_step_to_its_end(laptop):
    laptop.ticks = [*TO_COMPLETED[:3], lambda: run_metrics(laptop, "r1"), TO_COMPLETED[-1]]

    done = laptop.deploy()

    assert done.exit_code == 0, done.text
    there = in_the_account(laptop)
    assert there["buckets"] == [CODE, LAKE]
    assert there["roles"] == ROLES
    assert there["profiles"] == ROLES[:1]
    assert there["live clusters"] == []
    states = ["STARTING, step PENDING", "BOOTSTRAPPING, step PENDING", "RUNNING, step RUNNING"]
    places = [done.out.index(state) for state in [*states, "TERMINATING, step COMPLETED"]]
    assert places == sorted(places)
    assert done.out.count("RUNNING, step RUNNING") == 1
    assert "duplicate" in done.out
    assert "1,234" in done.out


@pytest.mark.slow
def test_up_ends_a_cluster_that_does_not_end_by_itself(laptop):
    laptop.ticks = [now("RUNNING", "COMPLETED")]
    assert laptop.deploy("up").exit_code == 0
    assert in_the_account(laptop)["live clusters"] == []


@pytest.mark.slow
def test_the_result_of_up_is_json_with_the_metrics(laptop):
    laptop.ticks = [lambda: run_metrics(laptop, "r1"), now("TERMINATING", "COMPLETED")]
    done = laptop.deploy("up", "--json")
    assert done.json["status"] == "completed"
    assert done.json["metrics"]["tables"]["sessions"]["rows"] == 1234
    assert done.json["exit_code"] == done.exit_code == 0
    assert len(done.out.splitlines()) == 1


@pytest.mark.slow
def test_books_of_an_earlier_run_are_not_shown_as_this_one(laptop):
    laptop.deploy("up", "--detach")
    run_metrics(laptop, "r1")
    laptop.server.run(
        "from datetime import timedelta\n"
        + now("RUNNING", "RUNNING")
        + "\nc.steps[-1].creation_date_time += timedelta(hours=1)"
    )
    laptop.ticks = [now("TERMINATING", "COMPLETED")]
    done = laptop.deploy("up", "--json")
    assert done.json["status"] == "completed"
    assert done.json["metrics"] is None


@pytest.mark.slow
def test_a_second_up_follows_the_live_cluster_and_changes_nothing(laptop):
    first = laptop.deploy("up", "--detach", "--json").json
    laptop.sent.clear()
    laptop.ticks = [now("TERMINATING", "COMPLETED")]
    second = laptop.deploy("up", "--json")
    assert second.json["cluster_id"] == first["cluster_id"]
    assert second.json["step_id"] == first["step_id"]
    assert laptop.mutations() == []
    assert second.exit_code == 0


@pytest.mark.slow
def test_an_up_after_the_run_starts_a_cluster_and_reuses_the_rest(laptop):
    laptop.ticks = [now("TERMINATING", "COMPLETED")]
    first = laptop.deploy("up", "--json").json
    laptop.sent.clear()
    laptop.ticks = [now("TERMINATING", "COMPLETED")]
    second = laptop.deploy("up", "--json").json
    assert second["cluster_id"] != first["cluster_id"]
    assert set(laptop.mutations()) <= {"RunJobFlow", "TerminateJobFlows"}


@pytest.mark.slow
def test_a_kept_cluster_gets_the_job_as_another_step(laptop):
    laptop.ticks = [now("WAITING", "COMPLETED")]
    first = laptop.deploy("up", "--keep-alive", "--json").json
    assert in_the_account(laptop)["live clusters"] == [first["cluster_id"]]
    laptop.sent.clear()
    laptop.ticks = [now("WAITING", "COMPLETED")]
    second = laptop.deploy("up", "--json").json
    assert second["cluster_id"] == first["cluster_id"]
    assert second["step_id"] != first["step_id"]
    assert laptop.mutations() == ["AddJobFlowSteps"]


@pytest.mark.slow
def test_a_kept_cluster_with_another_configuration_is_refused(laptop):
    laptop.ticks = [now("WAITING", "COMPLETED")]
    laptop.deploy("up", "--keep-alive")
    laptop.settings["JOB"] = {"SESSION_GAP_MINUTES": 45}
    done = laptop.deploy("up")
    assert done.exit_code == 2
    assert "deploy.py down" in done.err


@pytest.mark.slow
def test_up_repairs_what_has_drifted(laptop):
    laptop.ticks = [now("TERMINATING", "COMPLETED")]
    laptop.deploy("up")
    laptop.client("s3").delete_public_access_block(Bucket=CODE)
    laptop.client("iam").delete_role_policy(RoleName=ROLES[0], PolicyName="clicklake")
    laptop.sent.clear()
    laptop.ticks = [now("TERMINATING", "COMPLETED")]
    done = laptop.deploy("up")
    assert done.exit_code == 0
    repairs = [name for name in laptop.mutations() if "JobFlow" not in name]
    assert repairs == ["PutPublicAccessBlock", "PutRolePolicy"]


@pytest.mark.slow
def test_status_and_logs_need_nothing_but_the_account(laptop, tmp_path, monkeypatch):
    started = laptop.deploy("up", "--detach", "--json").json
    cluster_id, step_id = started["cluster_id"], started["step_id"]
    key = f"logs/{cluster_id}/steps/{step_id}/stderr.gz"
    laptop.client("s3").put_object(Bucket=LAKE, Key=key, Body=gzip.compress(b"reading\ndone\n"))
    (elsewhere := tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(elsewhere)

    status = laptop.deploy("status", "--json").json
    logs = laptop.deploy("logs", "--json").json

    assert status["clusters"][0]["cluster_id"] == cluster_id
    assert status["clusters"][0]["steps"][0]["step_id"] == step_id
    assert logs["texts"]["stderr"] == "reading\ndone\n"
    assert logs["texts"]["stdout"] is None


def test_status_shows_no_cluster_of_others(laptop):
    laptop.client("emr").run_job_flow(Name="clicklake", Instances={"InstanceCount": 1})
    assert laptop.deploy("status", "--json").json["clusters"] == []
    assert laptop.deploy("logs").exit_code == 2


def test_down_leaves_the_account_as_it_was_but_for_the_data(laptop):
    before = in_the_account(laptop)
    laptop.deploy("up", "--detach")
    assert in_the_account(laptop) != before

    assert laptop.deploy("down").exit_code == 0
    assert in_the_account(laptop) == {**before, "buckets": [LAKE], "databases": ["clicklake"]}
    laptop.sent.clear()
    again = laptop.deploy("down")
    assert again.exit_code == 0
    assert laptop.mutations() == []

    confirmed = laptop.deploy("down", "--delete-data", "--yes", LAKE)
    assert confirmed.exit_code == 0
    assert in_the_account(laptop) == before


@pytest.mark.slow
def test_down_waits_for_machines_to_be_gone_before_it_takes_their_role(laptop):
    laptop.deploy("up", "--detach")
    laptop.server.run(
        "c = list(emr.clusters.values())[-1]\n"
        "c.terminate = lambda: setattr(c, 'state', 'TERMINATING')"
    )
    laptop.ticks = ["", "", "list(emr.clusters.values())[-1].state = 'TERMINATED'"]
    seen = []
    laptop.ticks.insert(1, lambda: seen.append(in_the_account(laptop)["roles"]))
    assert laptop.deploy("down").exit_code == 0
    assert seen == [ROLES]
    assert in_the_account(laptop)["roles"] == []


@pytest.mark.slow
def test_down_does_not_wait_for_ever(laptop):
    laptop.deploy("up", "--detach")
    laptop.ticks = [now("TERMINATING", "CANCELLED")]
    laptop.server.run("list(emr.clusters.values())[-1].terminate = lambda: None")
    done = laptop.deploy("down")
    assert done.exit_code == 124
    assert "deploy.py down" in done.err
    assert in_the_account(laptop)["roles"] == ROLES


@pytest.mark.slow
def test_down_ends_a_protected_cluster_and_empties_a_versioned_bucket(laptop):
    laptop.deploy("up", "--detach")
    cluster_id = in_the_account(laptop)["live clusters"][0]
    laptop.client("emr").set_termination_protection(
        JobFlowIds=[cluster_id], TerminationProtected=True
    )
    s3 = laptop.client("s3")
    s3.put_bucket_versioning(Bucket=CODE, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"1", b"2"):
        s3.put_object(Bucket=CODE, Key="clicklake/x", Body=body)
    s3.delete_object(Bucket=CODE, Key="clicklake/x")
    s3.create_multipart_upload(Bucket=CODE, Key="clicklake/part")
    assert laptop.deploy("down").exit_code == 0
    assert in_the_account(laptop)["live clusters"] == []
    assert in_the_account(laptop)["buckets"] == [LAKE]


@pytest.mark.slow
def test_data_is_deleted_only_by_its_name(laptop):
    laptop.deploy("up", "--detach")
    before = in_the_account(laptop)
    for arguments in (
        ["--delete-data"],
        ["--delete-data", "--yes"],
        ["--delete-data", "--yes", CODE],
    ):
        refused = laptop.deploy("down", *arguments)
        assert refused.exit_code == 2
        assert f"--yes {LAKE}" in refused.err
    assert in_the_account(laptop) == before


class Terminal(io.StringIO):
    """A keyboard on which these lines are typed."""

    def isatty(self) -> bool:
        return True


@pytest.mark.slow
def test_on_a_terminal_up_and_down_ask_first(laptop, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal("\n"))
    refused = laptop.deploy("up", "--detach")
    assert refused.exit_code == 130
    assert "Nothing was changed" in refused.err
    assert laptop.mutations() == []

    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert laptop.deploy("up", "--detach").exit_code == 0
    laptop.sent.clear()
    monkeypatch.setattr(sys, "stdin", Terminal("no\n"))
    assert laptop.deploy("down").exit_code == 130
    assert laptop.mutations() == []
    monkeypatch.setattr(sys, "stdin", Terminal(f"{CODE}\n"))
    assert laptop.deploy("down", "--delete-data").exit_code == 2
    assert laptop.mutations() == []
    monkeypatch.setattr(sys, "stdin", Terminal(f"{LAKE}\ny\n"))
    assert laptop.deploy("down", "--delete-data").exit_code == 0
    assert in_the_account(laptop)["buckets"] == []


@pytest.mark.slow
def test_what_is_not_ours_is_used_but_never_changed_or_deleted(laptop):
    s3 = laptop.client("s3")
    for name in ("their-code", "their-lake"):
        s3.create_bucket(Bucket=name)
        s3.put_object(Bucket=name, Key="precious", Body=b"theirs")
    laptop.settings["S3"] = {"CODE_BUCKET": "their-code", "OUTPUT_BUCKET": "their-lake"}

    laptop.deploy("up", "--detach")
    assert laptop.deploy("down", "--delete-data", "--yes", "their-lake").exit_code == 0

    touched = {
        name for name in laptop.mutations() if "Bucket" in name or name in ("PutPublicAccessBlock",)
    }
    assert touched == set()
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket="their-code")["Contents"]]
    assert keys == ["precious"]
    assert s3.get_object(Bucket="their-lake", Key="precious")["Body"].read() == b"theirs"


@pytest.mark.slow
def test_only_new_and_changed_input_files_are_copied(laptop):
    laptop.deploy("up", "--detach")
    folder = laptop.folder / "raw" / "Clickstream"
    (folder / "events.csv").write_text("anonymous_user_id,URL\n")
    (folder / "more.csv").write_text("anonymous_user_id\n")
    (folder / "_hidden.csv").write_text("no")
    laptop.sent.clear()
    laptop.deploy("up", "--detach")
    keys = [each["Key"] for each in laptop.parameters("PutObject")]
    assert [key.split("/")[0:2] for key in keys] == [["input", "clicklake"]] * 2
    assert [key.split("/", 3)[3] for key in keys] == [
        "Clickstream/events.csv",
        "Clickstream/more.csv",
    ]
    laptop.sent.clear()
    laptop.deploy("up", "--detach")
    assert laptop.parameters("PutObject") == []


@pytest.mark.slow
def test_one_bucket_for_code_and_data_keeps_the_data(laptop):
    laptop.settings["S3"] = {"CODE_BUCKET": "just-one", "OUTPUT_BUCKET": "just-one"}
    laptop.deploy("up", "--detach")
    laptop.deploy("down")
    s3 = laptop.client("s3")
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket="just-one")["Contents"]]
    assert len(keys) == 1
    assert re.fullmatch(r"input/clicklake/[0-9a-f]{12}/Clickstream/events.csv", keys[0])


def read_by_the_job(laptop) -> list[str]:
    """What lies below INPUT_DATA of the configuration that went up last."""
    config = [each for each in laptop.parameters("PutObject") if each["Key"].endswith("dl.cfg")]
    place = re.search(r"INPUT_DATA = s3a://(.*?)/(.*)\n", config[-1]["Body"].decode())
    listed = laptop.client("s3").list_objects_v2(Bucket=place[1], Prefix=place[2] + "/")
    return [each["Key"].removeprefix(place[2] + "/") for each in listed.get("Contents", [])]


@pytest.mark.slow
def test_a_second_folder_of_logs_is_read_without_the_first(laptop):
    laptop.deploy("up", "--detach")
    assert read_by_the_job(laptop) == ["Clickstream/events.csv"]
    laptop.deploy("down")
    (other := laptop.folder / "mine" / "PageViews").mkdir(parents=True)
    (other / "views.json").write_text("{}")
    laptop.settings["DATALAKE"]["INPUT_DATA"] = other.parent
    laptop.deploy("up", "--detach")
    assert read_by_the_job(laptop) == ["PageViews/views.json"]


@pytest.mark.slow
def test_what_is_no_longer_in_the_folder_is_reported_and_removed_from_its_copy(laptop):
    folder = laptop.folder / "raw" / "Clickstream"
    (folder / "more.csv").write_text("anonymous_user_id\n")
    laptop.deploy("up", "--detach")
    (folder / "events.csv").unlink()
    planned = laptop.deploy("plan")
    assert "1 that INPUT_DATA no longer has" in planned.out
    assert sorted(read_by_the_job(laptop)) == ["Clickstream/events.csv", "Clickstream/more.csv"]
    laptop.deploy("up", "--detach")
    assert read_by_the_job(laptop) == ["Clickstream/more.csv"]


@pytest.mark.slow
def test_an_empty_folder_takes_nothing_away(laptop):
    laptop.deploy("up", "--detach")
    (laptop.folder / "raw" / "Clickstream" / "events.csv").unlink()
    done = laptop.deploy("up", "--detach")
    assert done.exit_code == 2
    assert "there are no raw logs" in done.err
    assert read_by_the_job(laptop) == ["Clickstream/events.csv"]


@pytest.mark.slow
def test_two_names_with_one_output_bucket_share_nothing(laptop):
    places = {}
    for name in ("first", "second"):
        laptop.settings["CLUSTER"]["NAME"] = name
        laptop.settings["S3"] = {"OUTPUT_BUCKET": "common-bucket"}
        shown = laptop.deploy("up", "--detach", "--json").json
        (written,) = [
            each["Bucket"] + "/" + each["Key"]
            for each in laptop.parameters("PutObject")
            if each["Bucket"] == "common-bucket"
        ]
        laptop.sent.clear()
        places[name] = {shown["lake"], shown["logs"], written.rpartition("/Clickstream")[0]}
    assert len(places["first"] | places["second"]) == 6
    for place in places["first"] | places["second"]:
        assert not [
            other
            for other in places["first"] | places["second"]
            if other != place and other.startswith(place)
        ]


def test_a_name_that_would_mix_code_and_data_is_refused(laptop):
    laptop.settings["S3"] = {"CODE_BUCKET": "just-one", "OUTPUT_BUCKET": "just-one"}
    laptop.settings["CLUSTER"]["NAME"] = "lake"
    assert laptop.deploy("up").exit_code == 2
    assert laptop.mutations() == []


@pytest.mark.slow
def test_another_region_is_named_to_s3(laptop):
    laptop.settings["CLUSTER"]["REGION"] = "us-west-2"
    assert laptop.deploy("up", "--detach").exit_code == 0
    places = [each["CreateBucketConfiguration"] for each in laptop.parameters("CreateBucket")]
    assert [each["LocationConstraint"] for each in places] == ["us-west-2"] * 2
    buckets = laptop.client("s3").list_buckets()["Buckets"]
    assert all(each["Name"].endswith("us-west-2") for each in buckets)
    laptop.settings["CLUSTER"]["REGION"] = "us-west-2"
    assert laptop.deploy("down").exit_code == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "job",
    [
        ["--rebuild", "--forget-missing"],
        ["--as-of", "2018-05-01"],
        ["verify"],
        ["replay", "page_views"],
        ["forget-user", "u-17", "--yes"],
    ],
)
def test_the_jobs_own_arguments_reach_the_cluster(laptop, job):
    assert laptop.deploy_then("up", "--detach", then=job).exit_code == 0
    (request,) = laptop.parameters("RunJobFlow")
    sent = request["Steps"][0]["HadoopJarStep"]["Args"]
    assert sent[6:] == [*job, "--config", "/opt/clicklake/dl.cfg"]
    assert parser().parse_args(sent[6:]).config == "/opt/clicklake/dl.cfg"


@pytest.mark.slow
def test_a_job_with_arguments_is_followed_again_but_not_mistaken_for_another(laptop):
    first = laptop.deploy_then("up", "--detach", "--json", then=["--rebuild"]).json
    again = laptop.deploy_then("up", "--detach", "--json", then=["--rebuild"]).json
    assert again["step_id"] == first["step_id"]
    other = laptop.deploy_then("up", then=["verify"])
    assert other.exit_code == 2
    assert "not started with: verify" in other.err
    laptop.ticks = [now("TERMINATING", "COMPLETED")]
    assert laptop.deploy("up").exit_code == 0


@pytest.mark.slow
def test_a_kept_cluster_gets_arguments_as_well(laptop):
    laptop.ticks = [now("WAITING", "COMPLETED")]
    laptop.deploy("up", "--keep-alive")
    laptop.ticks = [now("WAITING", "COMPLETED")]
    done = laptop.deploy_then("up", then=["verify"])
    assert "Its arguments: verify" in done.out
    (added,) = laptop.parameters("AddJobFlowSteps")
    assert "verify" in added["Steps"][0]["HadoopJarStep"]["Args"]
