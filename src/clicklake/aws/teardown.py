"""Back to nothing: everything that `up` made, in the order that AWS allows, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from clicklake.aws import clusters, desired, glue
from clicklake.aws.client import Aws
from clicklake.aws.names import TAG, Deployment
from clicklake.aws.observed import tags_of

_ABSENT = ("NoSuchEntity", "NoSuchBucket", "NoSuchTagSet", "404", "InvalidRequestException")


@dataclass(frozen=True)
class Removal:
    """One resource that goes, and what takes it away."""

    kind: str
    name: str
    run: Callable[[], None]


def removals(aws: Aws, own: Deployment, *, data: bool) -> list[Removal]:
    """What is there of ours, clusters aside; with `data`, the output bucket
    and the catalog's database as well."""
    found = [
        _security_configuration(aws, own),
        _instance_profile(aws, own),
        _role(aws, own.instance_role, own),
        _role(aws, own.service_role, own),
        *_code(aws, own, data=data),
    ]
    if data and glue.is_ours(aws, own):
        # Before the bucket: whoever is stopped in between can still confirm the bucket's name.
        found.append(Removal("database", own.database, lambda: glue.delete(aws, own)))
    if data and owns_output(aws, own):
        found.append(_bucket(aws, own.logs.bucket))
    return [each for each in found if each is not None]


def live_clusters(aws: Aws, own: Deployment) -> list[clusters.Cluster]:
    return list(clusters.find(aws, own, clusters.LIVE + clusters.ENDING))


def owns_output(aws: Aws, own: Deployment) -> bool:
    return _ours_or_not(aws, own, own.logs.bucket) is True


def _security_configuration(aws: Aws, own: Deployment) -> Removal | None:
    name = desired.security_configuration(own).name
    if aws.find("emr", "describe_security_configuration", _ABSENT, Name=name) is None:
        return None

    def run() -> None:
        aws.call("emr", "delete_security_configuration", Name=name)

    return Removal("security configuration", name, run)


def _instance_profile(aws: Aws, own: Deployment) -> Removal | None:
    name = {"InstanceProfileName": own.instance_role}
    answer = aws.find("iam", "get_instance_profile", _ABSENT, **name)
    if answer is None or not _is_ours(own, answer["InstanceProfile"].get("Tags")):
        return None
    roles = [role["RoleName"] for role in answer["InstanceProfile"]["Roles"]]

    def run() -> None:
        for role in roles:
            aws.call("iam", "remove_role_from_instance_profile", **name, RoleName=role)
        aws.call("iam", "delete_instance_profile", **name)

    return Removal("instance profile", own.instance_role, run)


def _role(aws: Aws, role: str, own: Deployment) -> Removal | None:
    name = {"RoleName": role}
    answer = aws.find("iam", "get_role", _ABSENT, **name)
    if answer is None or not _is_ours(own, answer["Role"].get("Tags")):
        return None

    def run() -> None:
        for each in aws.items("iam", "list_attached_role_policies", "AttachedPolicies", **name):
            aws.call("iam", "detach_role_policy", **name, PolicyArn=each["PolicyArn"])
        for policy in aws.items("iam", "list_role_policies", "PolicyNames", **name):
            aws.call("iam", "delete_role_policy", **name, PolicyName=policy)
        aws.call("iam", "delete_role", **name)

    return Removal("role", role, run)


def _code(aws: Aws, own: Deployment, *, data: bool) -> Iterator[Removal]:
    """The code bucket; or only our uploads, where it is not ours or holds the data as well."""
    bucket, uploads = own.code.bucket, own.code.key() + "/"
    ours = _ours_or_not(aws, own, bucket)
    holds_data = bucket == own.logs.bucket
    if ours is None or (holds_data and data and ours):
        return
    if ours and not holds_data:
        yield _bucket(aws, bucket)
    elif next(_versions(aws, bucket, uploads), None):
        yield Removal("uploads", own.code.uri(), lambda: _empty(aws, bucket, uploads))


def _ours_or_not(aws: Aws, own: Deployment, bucket: str) -> bool | None:
    """None where there is no such bucket of this account."""
    request = {"Bucket": bucket, "ExpectedBucketOwner": own.account}
    if aws.find("s3", "head_bucket", ("403", *_ABSENT), **request) is None:
        return None
    answer = aws.find("s3", "get_bucket_tagging", _ABSENT, **request)
    return own.owns_bucket(bucket, tags_of(answer, "TagSet"))


def _bucket(aws: Aws, bucket: str) -> Removal:
    def run() -> None:
        _empty(aws, bucket, "")
        for each in aws.items("s3", "list_multipart_uploads", "Uploads", Bucket=bucket):
            part = {"Key": each["Key"], "UploadId": each["UploadId"]}
            aws.call("s3", "abort_multipart_upload", Bucket=bucket, **part)
        aws.call("s3", "delete_bucket", Bucket=bucket)

    return Removal("bucket", bucket, run)


def _empty(aws: Aws, bucket: str, prefix: str) -> None:
    found = _versions(aws, bucket, prefix)
    while batch := list(islice(found, 1000)):
        delete = {"Objects": batch, "Quiet": True}
        aws.call("s3", "delete_objects", Bucket=bucket, Delete=delete)


def _versions(aws: Aws, bucket: str, prefix: str) -> Iterator[dict[str, str]]:
    """Every object, every version of it and every mark of a deletion."""
    for key in ("Versions", "DeleteMarkers"):
        request = {"Bucket": bucket, "Prefix": prefix}
        for each in aws.items("s3", "list_object_versions", key, **request):
            yield {"Key": each["Key"], "VersionId": each["VersionId"]}


def _is_ours(own: Deployment, tags: list[dict[str, Any]] | None) -> bool:
    return {"Key": TAG, "Value": own.name} in (tags or [])
