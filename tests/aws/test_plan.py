"""The plan: complete, priced, and without any change to the account."""

from __future__ import annotations

import json

import pytest

from aws_laptop import ROOT, TO_COMPLETED
from clicklake.aws import prices
from clicklake.config import Cluster

pytest_plugins = ["aws_fixtures"]


def test_a_plan_changes_nothing(laptop):
    assert laptop.deploy("plan").exit_code == 0
    assert laptop.mutations() == []
    assert len(laptop.operations()) > 10
    assert not (laptop.folder / "wheels" / "tmp").exists()


@pytest.mark.slow
def test_a_plan_lists_exactly_what_up_then_makes(laptop):
    planned = laptop.deploy("plan", "--json").json["changes"]
    laptop.sent.clear()
    laptop.deploy("up", "--detach")
    made = [f"{laptop.services[name]}.{name}" for name in laptop.mutations()]
    promised = [call for change in planned for call in change["calls"]]
    assert [_as_api(each) for each in promised] == made


def _as_api(call: str) -> str:
    service, operation = call.split(".")
    return f"{service}.{operation.title().replace('_', '')}"


def test_a_plan_names_every_resource_with_its_tags(laptop):
    changes = laptop.deploy("plan", "--json").json["changes"]
    assert {change["action"] for change in changes} == {"create"}
    tagged = {change["kind"]: change["tags"] for change in changes if change["tags"]}
    own = {"clicklake": "clicklake"}
    assert tagged == {
        "bucket": own,
        "role": own,
        "instance profile": own,
        "database": own,
        "cluster": {**own, "for-use-with-amazon-emr-managed-policies": "true"},
    }


@pytest.mark.slow
def test_a_plan_after_up_says_reuse_and_after_a_drift_what_is_changed(laptop):
    laptop.ticks = [*TO_COMPLETED]
    laptop.deploy("up")
    laptop.client("iam").detach_role_policy(
        RoleName="clicklake-service-us-east-1",
        PolicyArn="arn:aws:iam::aws:policy/service-role/AmazonEMRServicePolicy_v2",
    )
    changes = laptop.deploy("plan", "--json").json["changes"]
    actions = {(change["kind"], change["action"]) for change in changes}
    assert ("cluster", "create") in actions
    assert [c["note"] for c in changes if c["action"] == "change"] == ["managed policies"]
    assert {a for kind, a in actions if kind not in ("cluster", "role")} == {"reuse"}


def test_the_plan_says_that_http_gets_no_tls_policy(laptop):
    assert "plain http" in laptop.deploy("plan").out


def test_the_cost_is_shown_with_its_date(laptop):
    out = laptop.deploy("plan").out
    as_of = json.loads((ROOT / "deploy" / "prices.json").read_text())["as_of"]
    assert f"an estimate by list prices of us-east-1, {as_of}" in out
    assert "per hour" in out
    assert "for a run" in out


def test_the_cost_is_the_sum_of_machines_charges_and_disks():
    settings = Cluster(
        primary_types=("m6g.xlarge",),
        worker_types=("m6g.xlarge", "m6g.2xlarge"),
        core_nodes=2,
        task_nodes=4,
        worker_disk_gb=73,
    )
    cost = prices.estimate(settings, on_demand=False)
    # 0.154 + 0.0385; twice 0.308 + 0.077; four times 0.4 * 0.308 + 0.077; seven disks.
    disks = 7 * 73 * 0.08 / 730
    assert cost.per_hour == pytest.approx(0.1925 + 2 * 0.385 + 4 * 0.2002 + disks)
    assert cost.at_most == pytest.approx(0.1925 + 6 * 0.385 + disks)
    assert prices.estimate(settings, on_demand=True).per_hour == cost.at_most


def test_a_machine_without_a_price_is_named():
    cost = prices.estimate(Cluster(worker_types=("z9.huge",)), on_demand=False)
    assert cost.per_hour is None
    assert "no price is known for z9.huge" in str(cost)


@pytest.mark.parametrize("kind", ["primary_types", "worker_types"])
def test_default_machines_have_prices(kind):
    table = json.loads((ROOT / "deploy" / "prices.json").read_text())["machines"]
    assert set(getattr(Cluster(), kind)) <= set(table)
