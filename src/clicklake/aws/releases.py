"""What EMR says of a release in a region: the Spark in it, and the machines that it runs on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from clicklake.aws.client import Aws
from clicklake.config import Cluster
from clicklake.errors import ConfigError

# For emulators, which know no more of releases than their names.
KNOWN = {"emr-spark-8.1.0": "4.1", "emr-spark-8.0.0": "4.0", "emr-7.14.0": "3.5"}
PROPOSED = 6  # releases that are asked for their Spark where the wanted one does not fit

_ABSENT = ("InvalidRequestException", "ValidationException")


def check(aws: Aws, release: str, pyspark: str) -> None:
    """Raise ConfigError unless `release`, in this region, carries the Spark of `pyspark` ("4.1.1").

    The job must run on the minor version of Spark that it was tested on.
    """
    wanted = ".".join(pyspark.split(".")[:2])
    spark = _spark(aws, release)
    if spark == wanted:
        return
    fitting = [each for each in _newest(aws) if _spark(aws, each) == wanted]
    has = f"carries Spark {spark}" if spark else f"is not to be had in {aws.region}"
    others = (
        f"Set RELEASE in [CLUSTER] of dl.cfg, or --release, to one of: {', '.join(fitting)}."
        if fitting
        else f"No release with Spark {wanted} was found there: set another REGION."
    )
    raise ConfigError(
        f"EMR release {release} {has}; the job is tested on pyspark {pyspark}. {others}"
    )


def check_machines(aws: Aws, release: str, settings: Cluster) -> None:
    """Raise ConfigError if `release` does not run on a type of [CLUSTER]."""
    offered = set(_machines(aws, release))
    types = dict.fromkeys(settings.primary_types + settings.worker_types)
    if missing := [name for name in types if name not in offered]:
        raise ConfigError(
            f"dl.cfg: [CLUSTER] EMR release {release} does not run on {', '.join(missing)} in "
            f"{aws.region}; set other PRIMARY_TYPES or WORKER_TYPES. Those that it runs on: "
            f"aws emr list-supported-instance-types --release-label {release}"
        )


def _spark(aws: Aws, release: str) -> str | None:
    """The minor version ("4.1"); None if there is no such release in this region, or no Spark."""
    labelled = {"ReleaseLabel": release}
    if not aws.knows("emr", "describe_release_label", **labelled):
        return KNOWN.get(release)
    answer = aws.find("emr", "describe_release_label", _ABSENT, **labelled) or {}
    versions = {each["Name"]: each["Version"] for each in answer.get("Applications") or ()}
    return ".".join(versions["Spark"].split(".")[:2]) if "Spark" in versions else None


def _newest(aws: Aws) -> list[str]:
    """Releases of this region, those that are made for Spark first."""
    labels = list(_pages(aws, "list_release_labels", "ReleaseLabels", "NextToken"))
    of_spark = sorted((each for each in labels if "-spark-" in each), reverse=True)
    return (of_spark + [each for each in labels if each not in of_spark])[:PROPOSED]


def _machines(aws: Aws, release: str) -> Iterator[str]:
    operation = "list_supported_instance_types"
    more = {"ReleaseLabel": release}
    for each in _pages(aws, operation, "SupportedInstanceTypes", "Marker", **more):
        yield each["Type"]


def _pages(aws: Aws, operation: str, key: str, token: str, **request: Any) -> Iterator[Any]:
    """Every item of a listing for which botocore has no paginator."""
    while True:
        answer = aws.call("emr", operation, **request)
        yield from answer.get(key) or ()
        if not answer.get(token):
            return
        request[token] = answer[token]
