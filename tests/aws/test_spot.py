"""Spot's role is the account's: seen to before the first cluster, and not ours to remove."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow


pytest_plugins = ["aws_fixtures"]

NAME = "AWSServiceRoleForEC2Spot"


def planned(laptop, *arguments: str) -> list[tuple[str, list[str]]]:
    changes = laptop.deploy("plan", "--json", *arguments).json["changes"]
    return [(each["action"], each["calls"]) for each in changes if each["name"] == NAME]


def spot_roles(laptop) -> list[str]:
    path = "/aws-service-role/spot.amazonaws.com/"
    return [each["Path"] for each in laptop.client("iam").list_roles(PathPrefix=path)["Roles"]]


def test_an_account_that_never_used_spot_gets_its_role_once(laptop):
    assert planned(laptop) == [("create", ["iam.create_service_linked_role"])]
    assert laptop.deploy("up", "--detach").exit_code == 0
    (request,) = laptop.parameters("CreateServiceLinkedRole")
    assert request == {"AWSServiceName": "spot.amazonaws.com"}
    assert planned(laptop) == [("reuse", [])]
    laptop.deploy("up", "--detach")
    assert len(laptop.parameters("CreateServiceLinkedRole")) == 1
    assert laptop.deploy("down").exit_code == 0
    assert len(spot_roles(laptop)) == 1


def test_without_spot_nothing_is_asked_of_its_role(laptop):
    assert planned(laptop, "--on-demand") == []
    laptop.settings["CLUSTER"]["TASK_NODES"] = 0
    assert planned(laptop) == []


def test_who_may_not_make_the_role_is_told_how_to_get_it_and_how_to_do_without(laptop):
    laptop.server.fail(
        "CreateServiceLinkedRole", times=9, status=403, code="AccessDenied", form="query"
    )
    done = laptop.deploy("up", "--detach")
    assert done.exit_code == 3
    assert "aws iam create-service-linked-role --aws-service-name spot.amazonaws.com" in done.err
    assert "deploy.py up --on-demand" in done.err
    assert laptop.deploy("up", "--detach", "--on-demand").exit_code == 0


@pytest.mark.parametrize("there", [True, False])
def test_who_may_not_list_roles_can_still_deploy(laptop, there):
    """AWS's own name of the role is looked for first."""
    if there:
        laptop.client("iam").create_role(RoleName=NAME, AssumeRolePolicyDocument="{}")
    laptop.server.fail("ListRoles", times=9, status=403, code="AccessDenied", form="query")
    assert planned(laptop)[0][0] == ("reuse" if there else "create")
