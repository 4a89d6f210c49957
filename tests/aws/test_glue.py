"""The deployment's database in Glue, from `up` to `down`, with the tables of the job's catalog."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from botocore.model import OperationModel

from aws_laptop import OWN, Laptop, Sent, check_request
from aws_policies import Need, allowing, of_glue
from aws_server import ACCOUNT
from clicklake import catalog, config
from clicklake.aws import policies
from clicklake.aws.names import deployment
from clicklake.errors import ConfigError
from clicklake.lake import Snapshot
from clicklake.schemas import TABLES
from clicklake.storage import open_storage
from fake_lake import write_lake

pytest_plugins = ["aws_fixtures"]

LAKE = f"clicklake-lake-{ACCOUNT}-us-east-1"
CONFIG = config.Config(catalog=config.Catalog("glue"))
DELETE = ("down", "--delete-data", "--yes", LAKE)


def databases(laptop: Laptop) -> list[str]:
    return [each["Name"] for each in laptop.client("glue").get_databases()["DatabaseList"]]


def shown(laptop: Laptop, number: int = 1) -> Snapshot:
    """Bring a run into the catalog, as the job on the cluster does."""
    folder = laptop.folder / f"made-{number}"
    made = write_lake(folder, number, users=[{"user_id": number}])
    storage = open_storage(f"s3a://{LAKE}/lake")
    for file in folder.rglob("*.parquet"):
        storage.write(file.relative_to(folder).as_posix(), file.read_bytes())
    remote = Snapshot(storage, made.manifest)
    assert catalog.publish(remote, CONFIG)["status"] == "published"
    return remote


def test_up_makes_the_database_with_our_tag_and_once(laptop):
    planned = laptop.deploy("plan")
    assert "create  database                clicklake  (tags clicklake=clicklake)" in planned.out
    assert laptop.deploy("up", "--detach").exit_code == 0
    laptop.deploy("up", "--detach")
    (request,) = laptop.parameters("CreateDatabase")
    assert request["DatabaseInput"]["Name"] == "clicklake"
    assert f"s3://{LAKE}/lake" in request["DatabaseInput"]["Description"]
    arn = f"arn:aws:glue:us-east-1:{ACCOUNT}:database/clicklake"
    tags = laptop.client("glue").get_tags(ResourceArn=arn)["Tags"]
    assert tags == {"clicklake": "clicklake"}


def test_the_job_on_the_cluster_is_told_of_the_database(laptop):
    laptop.deploy("up", "--detach")
    sent = {each["Key"]: each["Body"] for each in laptop.parameters("PutObject")}
    (settings,) = [body.decode() for key, body in sent.items() if key.endswith("dl.cfg")]
    (laptop.folder / "cluster.cfg").write_text(settings)
    told = config.load(laptop.folder / "cluster.cfg").catalog
    assert told == config.Catalog("glue", "clicklake")


@pytest.mark.slow
def test_status_shows_the_tables_and_the_newest_run(laptop):
    assert laptop.deploy("status", "--json").json["catalog"] == {
        "database": "clicklake",
        "tables": [],
        "run_id": None,
        "complete": False,
    }
    laptop.deploy("up", "--detach")
    shown(laptop)
    facts = laptop.deploy("status", "--json").json["catalog"]
    assert facts == {
        "database": "clicklake",
        "tables": sorted(TABLES),
        "run_id": "run-1",
        "complete": True,
    }
    said = laptop.deploy("status").out
    assert f"Database clicklake in Glue, run run-1: {', '.join(sorted(TABLES))}." in said


@pytest.mark.slow
def test_status_tells_a_run_that_has_not_reached_all_tables(laptop):
    laptop.deploy("up", "--detach")
    shown(laptop)
    glue = laptop.client("glue")
    table = glue.get_table(DatabaseName="clicklake", Name="users")["Table"]
    kept = {key: table[key] for key in ("Name", "TableType", "StorageDescriptor")}
    marks = {**table["Parameters"], "clicklake.run-id": "run-10", "clicklake.seq": "10"}
    glue.update_table(DatabaseName="clicklake", TableInput={**kept, "Parameters": marks})
    facts = laptop.deploy("status", "--json").json["catalog"]
    assert (facts["run_id"], facts["complete"]) == ("run-10", False)
    assert "run run-10 is not in all of them" in laptop.deploy("status").out


@pytest.mark.slow
def test_the_database_goes_with_the_data_and_stays_with_it(laptop):
    laptop.deploy("up", "--detach")
    shown(laptop)
    kept = laptop.deploy("down")
    assert "database clicklake" in kept.out.partition("Kept")[2]
    assert databases(laptop) == ["clicklake"]
    assert len(laptop.client("glue").get_tables(DatabaseName="clicklake")["TableList"]) == len(
        TABLES
    )
    done = laptop.deploy(*DELETE)
    assert "removed database clicklake" in done.out
    assert databases(laptop) == []
    laptop.sent.clear()
    assert laptop.deploy(*DELETE).exit_code == 0
    assert laptop.mutations() == []


@pytest.mark.slow
@pytest.mark.parametrize("at", range(4))
def test_down_that_breaks_off_is_completed_by_the_next(laptop, at):
    """At the second table, at the database, and at what follows it."""
    laptop.deploy("up", "--detach")
    shown(laptop)
    broken = ("DeleteTable", "DeleteTable", "AWSGlue.DeleteDatabase", "?delete")[at]
    laptop.server.fail(broken, skip=at if broken == "DeleteTable" else 0, code="AccessDenied")
    first = laptop.deploy(*DELETE)
    if broken != "?delete":
        assert first.exit_code == 3, first.text
        assert databases(laptop) == ["clicklake"]
    assert laptop.deploy(*DELETE).exit_code == 0
    assert databases(laptop) == []
    assert laptop.client("s3").list_buckets()["Buckets"] == []


@pytest.mark.slow
def test_a_database_of_somebody_else_is_refused_and_never_deleted(laptop):
    laptop.client("glue").create_database(DatabaseInput={"Name": "theirs"})
    laptop.settings["CATALOG"] = {"DATABASE": "theirs"}
    refused = laptop.deploy("up", "--detach")
    assert refused.exit_code == 8
    assert "database theirs: exists with no tag clicklake=clicklake" in refused.err
    assert "set another DATABASE in [CATALOG]" in refused.err
    assert laptop.mutations() == []
    laptop.settings["CATALOG"] = {}
    laptop.deploy("up", "--detach")
    laptop.settings["CATALOG"] = {"DATABASE": "theirs"}
    assert laptop.deploy(*DELETE).exit_code == 0
    assert "theirs" in databases(laptop)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["none", "http://127.0.0.1:9/catalog"])
def test_without_glue_nothing_is_asked_of_it(laptop, kind):
    laptop.settings["CATALOG"] = {"CATALOG": kind}
    laptop.deploy("up", "--detach")
    assert laptop.deploy("status", "--json").json["catalog"] is None
    laptop.deploy(*DELETE)
    assert {each.operation for each in laptop.sent if each.service == "glue"} == set()
    assert "glue:" not in str(
        [each["PolicyDocument"] for each in laptop.parameters("PutRolePolicy")]
    )


def test_another_name_has_another_database_and_local_is_refused():
    def named(cluster: str, *chosen: str) -> str:
        settings = config.Config(
            cluster=config.Cluster(name=cluster), catalog=config.Catalog(*chosen)
        )
        return deployment(settings, ACCOUNT, "aws", "us-east-1").database

    assert named("clicklake") == "clicklake"
    assert named("my-web") == "my_web"
    assert named("my-web", "glue", "shop") == "shop"
    assert named("my-web", "none") == ""
    with pytest.raises(ConfigError, match=r"\[CATALOG\] CATALOG is local"):
        named("my-web", "local")


@pytest.fixture
def asked_of_glue(laptop, monkeypatch) -> Iterator[list[Sent]]:
    """Every request that the job's catalog makes of Glue, held against the service's model."""
    found: list[Sent] = []

    def note(params: dict, model: OperationModel, **_) -> None:
        found.append(Sent("glue", model.name, dict(params)))
        check_request(params, model)

    made = boto3.Session.client

    def client(self, service: str, *arguments, **more):
        one = made(self, service, *arguments, **more)
        if service == "glue":
            one.meta.events.register("before-parameter-build.glue.*", note)
        return one

    laptop.deploy("up", "--detach")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setattr(boto3.Session, "client", client)
    yield found


@pytest.mark.slow
def test_the_machines_may_do_what_the_catalog_does_and_no_more(laptop, asked_of_glue):
    first = shown(laptop)
    catalog.publish(first, CONFIG)
    shown(laptop, 2)
    policy = policies.document(policies.instance_statements(OWN))
    used: set[tuple[str, str]] = set()
    for sent in asked_of_glue:
        for need in of_glue(sent.operation, sent.parameters):
            allowed_by = allowing(policy, need)
            assert allowed_by, need
            used |= allowed_by
    granted = {
        (statement["Sid"], action)
        for statement in policy["Statement"]
        for action in statement["Action"]
        if action.startswith("glue:")
    }
    assert granted - used == {("ShowTables", "glue:DeleteTable")}  # a column of another type


@pytest.mark.parametrize(
    "arn",
    ["database/clicklake2", "table/clicklake2/users", "table/other/users", "database/*"],
)
def test_no_other_database_is_reached(arn):
    policy = policies.document(policies.instance_statements(OWN))
    whole = f"arn:aws:glue:us-east-1:{ACCOUNT}:{arn}"
    for action in ("GetDatabase", "GetTable", "CreateTable", "UpdateTable", "DeleteTable"):
        assert not allowing(policy, Need(f"glue:{action}", whole))
    for action in ("CreateDatabase", "DeleteDatabase", "UpdateDatabase", "GetDatabases"):
        own = f"arn:aws:glue:us-east-1:{ACCOUNT}:database/clicklake"
        assert not allowing(policy, Need(f"glue:{action}", own))
