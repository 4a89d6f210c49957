"""The account as it is: each resource of a plan as AWS shows it. Everything here only reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from clicklake.aws import glue, nights
from clicklake.aws.client import Aws
from clicklake.aws.desired import Resource, Seen
from clicklake.aws.names import Deployment, tags_of
from clicklake.errors import AccessError


def observe(aws: Aws, own: Deployment, wanted: Resource) -> Seen | None:
    """The resource as AWS shows it; None if there is none of that name."""
    return _READERS.get(wanted.kind, _object)(aws, own, wanted)


def _bucket(aws: Aws, own: Deployment, wanted: Resource) -> Seen | None:
    name, ours = {"Bucket": wanted.name}, {"ExpectedBucketOwner": own.account}
    try:
        head = aws.find("s3", "head_bucket", ("404", "NoSuchBucket"), **name, **ours)
    except AccessError:
        return Seen(
            problem="the name is taken by another account, or you may not see the bucket; "
            "set another name in [S3] of dl.cfg"
        )
    if head is None:
        return None
    region = head.get("BucketRegion") or own.region
    if region != own.region:
        return Seen(
            problem=f"lies in {region}, the deployment in {own.region}; set REGION in [CLUSTER] "
            "of dl.cfg, or another bucket in [S3]"
        )
    tagging = aws.find("s3", "get_bucket_tagging", ("NoSuchTagSet",), **name)
    tags = tags_of(tagging, "TagSet")
    if not own.owns_bucket(wanted.name, tags):
        return Seen(tags)
    settings: dict[str, Any] = {"tags": tags}
    for setting, (operation, key, none) in _BUCKET_SETTINGS.items():
        answer = aws.find("s3", operation, (none,), **name)
        settings[setting] = answer and answer.get(key)
    if settings["TLS only"]:
        settings["TLS only"] = json.loads(settings["TLS only"])
    return Seen(own.tags, settings)


_BUCKET_SETTINGS = {
    "public access blocked": (
        "get_public_access_block",
        "PublicAccessBlockConfiguration",
        "NoSuchPublicAccessBlockConfiguration",
    ),
    "owner enforced": (
        "get_bucket_ownership_controls",
        "OwnershipControls",
        "OwnershipControlsNotFoundError",
    ),
    "encryption": (
        "get_bucket_encryption",
        "ServerSideEncryptionConfiguration",
        "ServerSideEncryptionConfigurationNotFoundError",
    ),
    "lifecycle": (
        "get_bucket_lifecycle_configuration",
        "Rules",
        "NoSuchLifecycleConfiguration",
    ),
    "TLS only": ("get_bucket_policy", "Policy", "NoSuchBucketPolicy"),
}


def _role(aws: Aws, _own: Deployment, wanted: Resource) -> Seen | None:
    name = {"RoleName": wanted.name}
    answer = aws.find("iam", "get_role", ("NoSuchEntity",), **name)
    if answer is None:
        return None
    role = answer["Role"]
    inline = aws.find("iam", "get_role_policy", ("NoSuchEntity",), **name, PolicyName="clicklake")
    attached = aws.items("iam", "list_attached_role_policies", "AttachedPolicies", **name)
    settings = {
        "trust": role["AssumeRolePolicyDocument"],
        "policy": inline and inline["PolicyDocument"],
        "managed policies": [each["PolicyArn"] for each in attached],
        "tags": tags_of(role, "Tags"),
        "boundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
    }
    return Seen(tags_of(role, "Tags"), settings)


def _service_linked_role(aws: Aws, _own: Deployment, wanted: Resource) -> Seen | None:
    """By its name, or by its path: emulators give such roles other names."""
    if aws.find("iam", "get_role", ("NoSuchEntity",), RoleName=wanted.name):
        return Seen()
    path = f"/aws-service-role/{wanted.create.request['AWSServiceName']}/"
    with suppress(AccessError):
        return Seen() if any(aws.items("iam", "list_roles", "Roles", PathPrefix=path)) else None
    return None


def _instance_profile(aws: Aws, _own: Deployment, wanted: Resource) -> Seen | None:
    answer = aws.find(
        "iam", "get_instance_profile", ("NoSuchEntity",), InstanceProfileName=wanted.name
    )
    if answer is None:
        return None
    profile = answer["InstanceProfile"]
    roles = [role["RoleName"] for role in profile["Roles"]]
    return Seen(tags_of(profile, "Tags"), {"role": roles, "tags": tags_of(profile, "Tags")})


def _security_configuration(aws: Aws, _own: Deployment, wanted: Resource) -> Seen | None:
    answer = aws.find(
        "emr", "describe_security_configuration", ("InvalidRequestException",), Name=wanted.name
    )
    return Seen() if answer else None


def _object(aws: Aws, own: Deployment, wanted: Resource) -> Seen | None:
    request = wanted.create.request
    answer = aws.find(
        "s3",
        "head_object",
        ("404", "NoSuchKey", "NoSuchBucket"),
        Bucket=request["Bucket"],
        Key=request["Key"],
        ExpectedBucketOwner=own.account,
    )
    return Seen() if answer else None


def _pointer(aws: Aws, own: Deployment, wanted: Resource) -> Seen | None:
    request = {key: wanted.create.request[key] for key in ("Bucket", "Key", "ExpectedBucketOwner")}
    absent = ("404", "NoSuchKey", "NoSuchBucket")
    found = aws.find("s3", "head_object", absent, **request)
    return Seen(settings=found.get("Metadata") or {}) if found else None


_READERS: dict[str, Callable[[Aws, Deployment, Resource], Seen | None]] = {
    "bucket": _bucket,
    "role": _role,
    "service-linked role": _service_linked_role,
    "instance profile": _instance_profile,
    "security configuration": _security_configuration,
    "database": glue.seen,
    "pointer": _pointer,
    **nights.READERS,
}
