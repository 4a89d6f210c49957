"""Which release and machines: EMR is asked, in the region where the cluster would be."""

from __future__ import annotations

import pytest

pytest_plugins = ["aws_fixtures"]


def test_a_release_is_taken_by_the_spark_that_emr_says_it_has(laptop):
    """Of a release that no list of this program could have known."""
    laptop.server.run("emr.released = {'emr-7.13.0': '4.1.4-amzn-1'}")
    assert laptop.deploy("plan", "--release", "emr-7.13.0").exit_code == 0
    refused = laptop.deploy("plan", "--release", "emr-spark-8.1.0")
    assert refused.exit_code == 2
    assert "emr-spark-8.1.0 is not to be had in us-east-1" in refused.err


def test_a_release_with_another_spark_is_refused_with_those_that_fit(laptop):
    refused = laptop.deploy("plan", "--release", "emr-spark-8.0.0")
    assert refused.exit_code == 2
    assert "carries Spark 4.0" in refused.err
    assert "to one of: emr-spark-8.1.0." in refused.err


def test_a_region_without_the_release_is_found_by_the_plan(laptop):
    laptop.server.run("emr.released = {'emr-7.14.0': '3.5.8-amzn-0'}")
    refused = laptop.deploy("plan")
    assert refused.exit_code == 2
    assert "No release with Spark 4.1 was found there: set another REGION" in refused.err
    assert laptop.mutations() == []


@pytest.mark.parametrize("release", ["emr-spark-8.1.0", "emr-7.14.0"])
def test_an_emulator_that_describes_no_release_is_not_asked(laptop, release):
    laptop.server.fail("DescribeReleaseLabel", times=99, status=500)
    done = laptop.deploy("plan", "--release", release)
    assert done.exit_code == (0 if release == "emr-spark-8.1.0" else 2), done.text


def test_machines_that_the_release_does_not_run_on_are_found_by_the_plan(laptop):
    """t4g.micro is EC2's, but none of EMR's."""
    laptop.settings["CLUSTER"]["WORKER_TYPES"] = "m7g.2xlarge, t4g.micro"
    refused = laptop.deploy("plan")
    assert refused.exit_code == 2
    assert "emr-spark-8.1.0 does not run on t4g.micro in us-east-1" in refused.err
    assert laptop.mutations() == []
