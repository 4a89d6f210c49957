"""What is there of a deployment, whatever today's configuration says. Everything here only reads.

Buckets and databases are found by their tag. Roles and the profile have names of their own, and
security configurations, which cannot be tagged, names that tell whose they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from clicklake.aws import desired, glue, nights
from clicklake.aws.client import Aws
from clicklake.aws.console import Console
from clicklake.aws.names import TAG, Deployment, tags_of
from clicklake.aws.package import LOCK, POINTER, UPLOADS, is_upload

_ABSENT = ("NoSuchEntity", "NoSuchBucket", "NoSuchTagSet", "404", "InvalidRequestException")


@dataclass(frozen=True)
class Found:
    """A resource of ours. `data`: the bucket whose data it is or shows; "" where it holds none."""

    kind: str
    name: str
    configured: bool = True
    data: str = ""
    is_nightly: bool = False  # of the schedule alone

    def __str__(self) -> str:
        other = "" if self.configured else " (today's dl.cfg has another)"
        return f"{self.kind} {self.name}{other}"


def found(aws: Aws, own: Deployment) -> list[Found]:
    """All of ours but clusters, in the order in which it can go: data last, shown before held."""
    tagged = _tagged(aws, own)
    # Its role before the group: by that the rest is found.
    nightly = [Found(*each, is_nightly=True) for each in nights.found(aws, own)]
    roles = _roles(aws, own, own.schedule_role)
    nightly[-1:-1] = [replace(each, is_nightly=True) for each in roles]
    buckets = list(_buckets(aws, own, tagged))
    return [
        *nightly,
        *_security_configurations(aws, own),
        *_instance_profile(aws, own),
        *_roles(aws, own, own.made_instance_role, own.made_service_role),
        *(each for each in buckets if not each.data),
        *_databases(aws, own, tagged),
        *(each for each in buckets if each.data),
    ]


def _tagged(aws: Aws, own: Deployment) -> list[str]:
    """ARNs with our tag in this region; some may be gone, the newest may be missing."""
    wanted = [{"Key": TAG, "Values": [own.name]}]
    listing = ("resourcegroupstaggingapi", "get_resources", "ResourceTagMappingList")
    return [each["ResourceARN"] for each in aws.items(*listing, TagFilters=wanted)]


def _named(arns: list[str], service: str, kind: str = "") -> list[str]:
    pattern = re.compile(rf"arn:[\w-]+:{service}:[^:]*:[^:]*:{kind}([^/]+)")
    return [match[1] for arn in arns if (match := pattern.fullmatch(arn))]


def _security_configurations(aws: Aws, own: Deployment) -> Iterator[Found]:
    today = desired.security_configuration(own).name
    for name in _configurations(aws, today):
        if re.fullmatch(rf"{own.name}-imdsv2-[0-9a-f]{{8}}", name):
            yield Found("security configuration", name, name == today)


def _configurations(aws: Aws, today: str) -> list[str]:
    listing = "list_security_configurations"
    if aws.knows("emr", listing):
        return [each["Name"] for each in aws.items("emr", listing, "SecurityConfigurations")]
    answer = aws.find("emr", "describe_security_configuration", _ABSENT, Name=today)
    return [today] if answer else []


def _instance_profile(aws: Aws, own: Deployment) -> Iterator[Found]:
    name = own.made_instance_role
    answer = aws.find("iam", "get_instance_profile", _ABSENT, InstanceProfileName=name)
    if answer and _has_tag(own, answer["InstanceProfile"]):
        yield Found("instance profile", name)


def _roles(aws: Aws, own: Deployment, *names: str) -> Iterator[Found]:
    for name in names:
        answer = aws.find("iam", "get_role", _ABSENT, RoleName=name)
        if answer and _has_tag(own, answer["Role"]):
            yield Found("role", name)


def _has_tag(own: Deployment, described: dict[str, Any]) -> bool:
    return tags_of(described, "Tags").get(TAG) == own.name


def _buckets(aws: Aws, own: Deployment, tagged: list[str]) -> Iterator[Found]:
    """Buckets of ours, and our uploads in buckets that are not or that hold data as well."""
    code, output = own.code.bucket, own.logs.bucket
    for bucket in dict.fromkeys([code, output, *_named(tagged, "s3")]):
        ours, configured = _ours_or_not(aws, own, bucket), bucket in (code, output)
        if ours is None or not (ours or configured):
            continue
        holds_data = ours and (
            bucket == output or (bucket != code and _holds_more(aws, own, bucket))
        )
        if ours:
            yield Found("bucket", bucket, configured, data=bucket if holds_data else "")
        if (holds_data or not ours) and next(uploads(aws, own, bucket), None):
            yield Found("uploads", f"s3://{bucket}/{own.code.key()}", configured)


def _ours_or_not(aws: Aws, own: Deployment, bucket: str) -> bool | None:
    """None where there is no such bucket of this account."""
    request = {"Bucket": bucket, "ExpectedBucketOwner": own.account}
    if aws.find("s3", "head_bucket", ("403", *_ABSENT), **request) is None:
        return None
    answer = aws.find("s3", "get_bucket_tagging", _ABSENT, **request)
    return own.owns_bucket(bucket, tags_of(answer, "TagSet"))


def _holds_more(aws: Aws, own: Deployment, bucket: str) -> bool:
    return any(not is_upload(own, key) for key, _ in versions(aws, bucket))


def uploads(aws: Aws, own: Deployment, bucket: str) -> Iterator[tuple[str, str]]:
    """Key and version of what `up` has put into a bucket for the cluster."""
    for prefix in (*UPLOADS, LOCK, POINTER):
        for key, version in versions(aws, bucket, own.code.key(prefix)):
            if is_upload(own, key):
                yield key, version


def versions(aws: Aws, bucket: str, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Key and version of every object, every version of it and every mark of a deletion."""
    for key in ("Versions", "DeleteMarkers"):
        request = {"Bucket": bucket, "Prefix": prefix}
        for each in aws.items("s3", "list_object_versions", key, **request):
            yield each["Key"], each["VersionId"]


def _databases(aws: Aws, own: Deployment, tagged: list[str]) -> Iterator[Found]:
    """Databases of Glue; without one in the configuration, Glue may be out of reach."""
    names = dict.fromkeys([own.database, *_named(tagged, "glue", "database/")])
    for name in filter(None, names):
        if glue.is_ours(aws, own, name):
            configured = name == own.database
            lake = own.lake.bucket if configured else glue.lake_bucket(aws, name)
            yield Found("database", name, configured, data=lake)


def shown(aws: Aws, own: Deployment, console: Console) -> list[dict[str, Any]]:
    """All that is there of ours, said and as facts."""
    there = found(aws, own)
    for each in there:
        console.say(f"There is: {each}")
    return [{key: getattr(each, key) for key in ("kind", "name", "configured")} for each in there]
