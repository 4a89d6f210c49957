"""`up` and `down` are killed before each request that changes something."""

from __future__ import annotations

import pytest

from aws_account import CODE, LAKE, in_the_account, unhardened
from clicklake.aws import launching

pytest_plugins = ["aws_fixtures"]

UP = ("up", "--detach")
DELETE = ("down", "--delete-data", "--yes", LAKE)


@pytest.fixture(autouse=True)
def _no_lock_is_waited_for(monkeypatch):
    monkeypatch.setattr(launching, "EXPIRY_SECONDS", 0)


@pytest.mark.slow
def test_an_up_that_was_killed_is_completed_by_the_next_and_removed_by_down(laptop):
    before = in_the_account(laptop)
    after = 0
    while laptop.deploy_killed(after, *UP):
        assert laptop.deploy(*UP).exit_code == 0
        assert unhardened(laptop) == []
        assert in_the_account(laptop)["buckets"] == [CODE, LAKE]
        assert laptop.deploy(*DELETE).exit_code == 0
        assert in_the_account(laptop) == before, after
        laptop.server.reset()  # moto gives a bucket the tags of an earlier one of its name
        after += 1
    assert after > 20


@pytest.mark.slow
def test_an_up_that_was_killed_is_removed_by_down(laptop):
    before = in_the_account(laptop)
    after = 0
    while laptop.deploy_killed(after, *UP):
        assert laptop.deploy(*DELETE).exit_code == 0
        assert in_the_account(laptop) == before, after
        laptop.server.reset()  # moto gives a bucket the tags of an earlier one of its name
        after += 1
    assert after > 20


@pytest.mark.slow
def test_a_down_that_was_killed_is_completed_by_the_next(laptop):
    before = in_the_account(laptop)
    after = 0
    laptop.deploy(*UP)
    while laptop.deploy_killed(after, *DELETE):
        assert laptop.deploy(*DELETE).exit_code == 0
        assert in_the_account(laptop) == before, after
        laptop.deploy(*UP)
        after += 1
    assert after > 10


@pytest.mark.parametrize("tags", [[], [{"Key": "clicklake", "Value": "other"}]])
def test_a_bucket_of_a_default_name_is_adopted_unless_a_tag_speaks_against_it(laptop, tags):
    s3 = laptop.client("s3")
    s3.create_bucket(Bucket=CODE)
    if tags:
        s3.put_bucket_tagging(Bucket=CODE, Tagging={"TagSet": tags})
    shown = {each["name"]: each for each in laptop.deploy("plan", "--json").json["changes"]}[CODE]
    if tags:
        assert (shown["action"], shown["calls"]) == ("reuse", [])
    else:
        assert shown["action"] == "change"
        assert shown["note"].startswith("tags, public access blocked")
