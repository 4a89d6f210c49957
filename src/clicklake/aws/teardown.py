"""Back to nothing: everything that `up` made, in the order that AWS allows, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from typing import Any

from clicklake.aws import clusters, glue, inventory, nights
from clicklake.aws.client import Aws
from clicklake.aws.inventory import Found
from clicklake.aws.names import Deployment, Place


def going(found: list[Found], data: str) -> list[Found]:
    """What of all that is ours goes: the machinery, and with `data` the bucket of that name.

    The uploads in a bucket that goes need not go first.
    """
    return [
        each
        for each in found
        if each.data in ("", data)
        and not (each.kind == "uploads" and data and Place.of(each.name).bucket == data)
    ]


def live_clusters(aws: Aws, own: Deployment) -> list[clusters.Cluster]:
    return list(clusters.find(aws, own, clusters.LIVE + clusters.ENDING))


def remove(aws: Aws, own: Deployment, each: Found) -> None:
    """Take one resource away, with all that is in it."""
    if each.kind in nights.KINDS:
        nights.remove(aws, own, each.kind)
        return
    removers: dict[str, Callable[[Aws, str], None]] = {
        "security configuration": _security_configuration,
        "instance profile": _instance_profile,
        "role": _role,
        "uploads": partial(_uploads, own=own),
        "database": glue.delete,
        "bucket": _bucket,
    }
    removers[each.kind](aws, each.name)


def _security_configuration(aws: Aws, name: str) -> None:
    aws.call("emr", "delete_security_configuration", Name=name)


def _instance_profile(aws: Aws, name: str) -> None:
    profile: dict[str, Any] = {"InstanceProfileName": name}
    described = aws.call("iam", "get_instance_profile", **profile)["InstanceProfile"]
    for role in described["Roles"]:
        operation = "remove_role_from_instance_profile"
        aws.call("iam", operation, **profile, RoleName=role["RoleName"])
    aws.call("iam", "delete_instance_profile", **profile)


def _role(aws: Aws, name: str) -> None:
    role: dict[str, Any] = {"RoleName": name}
    for each in aws.items("iam", "list_attached_role_policies", "AttachedPolicies", **role):
        aws.call("iam", "detach_role_policy", **role, PolicyArn=each["PolicyArn"])
    for policy in aws.items("iam", "list_role_policies", "PolicyNames", **role):
        aws.call("iam", "delete_role_policy", **role, PolicyName=policy)
    aws.call("iam", "delete_role", **role)


def _uploads(aws: Aws, address: str, own: Deployment) -> None:
    bucket = Place.of(address).bucket
    _delete(aws, bucket, inventory.uploads(aws, own, bucket))


def _bucket(aws: Aws, bucket: str) -> None:
    _delete(aws, bucket, inventory.versions(aws, bucket))
    for each in aws.items("s3", "list_multipart_uploads", "Uploads", Bucket=bucket):
        part = {"Key": each["Key"], "UploadId": each["UploadId"]}
        aws.call("s3", "abort_multipart_upload", Bucket=bucket, **part)
    aws.call("s3", "delete_bucket", Bucket=bucket)


def _delete(aws: Aws, bucket: str, objects: Iterable[tuple[str, str]]) -> None:
    left = iter(objects)
    while batch := list(islice(left, 1000)):
        named = [{"Key": key, "VersionId": version} for key, version in batch]
        aws.call("s3", "delete_objects", Bucket=bucket, Delete={"Objects": named, "Quiet": True})
