"""What should be there: configuration to resources and request dicts. No call is made here."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clicklake.aws import policies
from clicklake.aws.names import Deployment, Place, tag_pairs
from clicklake.aws.package import Upload

ABANDONED_UPLOAD_DAYS = 7


LOG_DAYS = 30

SPOT = "spot.amazonaws.com"


@dataclass(frozen=True)
class Call:
    """One request to AWS. `retry_on`: see `client.Aws.call`."""

    service: str
    operation: str
    request: Mapping[str, Any]
    retry_on: str = ""


@dataclass(frozen=True)
class Setting:
    """One setting of a resource: its right value, and the call that brings it about.

    `at_creation`: the call that creates the resource sets it as well. `exact`: nothing may be
    added to the value; S3 adds fields of its own to what it was given.
    """

    name: str
    value: Any
    put: Call
    at_creation: bool = False
    exact: bool = False


@dataclass(frozen=True)
class Resource:
    kind: str
    name: str
    create: Call
    settings: tuple[Setting, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """A resource as it is: its tags, and each setting that can be read."""

    tags: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""  # why it can be neither used nor made


@dataclass(frozen=True)
class Network:
    """Where the cluster may start: one VPC, subnets of it, EMR's groups that are there."""

    vpc: str
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...] = ()
    owner: str = ""  # the account that shares them with ours; "" where they are ours


def buckets(own: Deployment, secure: bool) -> list[Resource]:
    """The code and the output bucket, which may be one."""
    names = dict.fromkeys([own.code.bucket, own.logs.bucket])
    return [_bucket(own, name, secure) for name in names]


def _bucket(own: Deployment, name: str, secure: bool) -> Resource:
    def put(operation: str, **request: Any) -> Call:
        # S3 refuses two changes of a bucket at once.
        return Call("s3", operation, {"Bucket": name, **request}, retry_on="OperationAborted")

    # us-east-1 is S3's default, and must not be named.
    place = {} if own.region == "us-east-1" else {"LocationConstraint": own.region}
    tagged = {"Tags": tag_pairs(own.tags), **place}
    blocked = dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    owner = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    encryption = {"Rules": [_encryption(own)]}
    expiry = {"Rules": _lifecycle(own, logs=name == own.logs.bucket)}
    tls = policies.tls_only(own, name)
    settings = [
        Setting(
            "public access blocked",
            blocked,
            put("put_public_access_block", PublicAccessBlockConfiguration=blocked),
        ),
        Setting(
            "owner enforced",
            owner,
            put("put_bucket_ownership_controls", OwnershipControls=owner),
            at_creation=True,
        ),
        Setting(
            "encryption",
            encryption,
            put("put_bucket_encryption", ServerSideEncryptionConfiguration=encryption),
        ),
        Setting(
            "lifecycle",
            expiry["Rules"],
            put("put_bucket_lifecycle_configuration", LifecycleConfiguration=expiry),
        ),
    ]
    if secure:
        settings.append(Setting("TLS only", tls, put("put_bucket_policy", Policy=json.dumps(tls))))
    # Emulators drop the tags of a creation.
    tag = Setting(
        "tags", own.tags, put("put_bucket_tagging", Tagging={"TagSet": tag_pairs(own.tags)})
    )
    create = put(
        "create_bucket", ObjectOwnership="BucketOwnerEnforced", CreateBucketConfiguration=tagged
    )
    return Resource("bucket", name, create, (tag, *settings), own.tags)


def _encryption(own: Deployment) -> dict[str, Any]:
    if not own.kms_key:
        return {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    by_key = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": own.kms_key}
    return {"ApplyServerSideEncryptionByDefault": by_key, "BucketKeyEnabled": True}


def _lifecycle(own: Deployment, *, logs: bool) -> list[dict[str, Any]]:
    abandoned = {
        "ID": "abandoned-uploads",
        "Status": "Enabled",
        "Filter": {},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABANDONED_UPLOAD_DAYS},
    }
    old_logs = {
        "ID": "old-logs",
        "Status": "Enabled",
        "Filter": {"Prefix": own.logs.key() + "/"},
        "Expiration": {"Days": LOG_DAYS},
    }
    return [abandoned, old_logs] if logs else [abandoned]


def security_configuration(own: Deployment) -> Resource:
    """IMDSv2 only, and encryption if there is a key or certificates.

    Such configurations cannot be changed or tagged: the name tells the content.
    """
    settings: dict[str, Any] = {
        "InstanceMetadataServiceConfiguration": {
            "MinimumInstanceMetadataServiceVersion": 2,
            "HttpPutResponseHopLimit": 1,
        }
    }
    if own.kms_key or own.certificates:
        settings["EncryptionConfiguration"] = _on_machines(own)
    content = json.dumps(settings)
    name = f"{own.name}-imdsv2-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
    request = {"Name": name, "SecurityConfiguration": content}
    return Resource(
        "security configuration", name, Call("emr", "create_security_configuration", request)
    )


def _on_machines(own: Deployment) -> dict[str, Any]:
    """Encryption of disks and of EMR's files on S3, and between the machines."""
    settings: dict[str, Any] = {
        "EnableAtRestEncryption": bool(own.kms_key),
        "EnableInTransitEncryption": bool(own.certificates),
    }
    if own.kms_key:
        disks = {"EncryptionKeyProviderType": "AwsKms", "AwsKmsKey": own.kms_key}
        settings["AtRestEncryptionConfiguration"] = {
            "S3EncryptionConfiguration": {"EncryptionMode": "SSE-KMS", "AwsKmsKey": own.kms_key},
            "LocalDiskEncryptionConfiguration": {**disks, "EnableEbsEncryption": True},
        }
    if own.certificates:
        pem = {"CertificateProviderType": "PEM", "S3Object": own.certificates}
        settings["InTransitEncryptionConfiguration"] = {"TLSCertificateConfiguration": pem}
    return settings


def spot_role() -> Resource:
    """The account's role for Spot, which EMR's managed policy may not make; no Spot without it."""
    create = Call("iam", "create_service_linked_role", {"AWSServiceName": SPOT})
    return Resource("service-linked role", "AWSServiceRoleForEC2Spot", create)


def databases(own: Deployment) -> list[Resource]:
    """The Glue database that the job keeps the lake's tables in; none if they are elsewhere."""
    if not own.database:
        return []
    declared = {"Name": own.database, "Description": f"Tables of the lake {own.lake.uri()}"}
    create = Call("glue", "create_database", {"DatabaseInput": declared, "Tags": own.tags})
    return [Resource("database", own.database, create, tags=own.tags)]


def upload(own: Deployment, each: Upload) -> Resource:
    request = {
        "Bucket": own.code.bucket,
        "Key": own.code.key(each.key),
        "Body": each.body,
        "ExpectedBucketOwner": own.account,
    }
    return Resource(each.what, own.code.uri(each.key), Call("s3", "put_object", request))


def input_file(own: Deployment, path: Path, key: str, md5: str) -> Resource:
    """A file of a local INPUT_DATA, copied to where the cluster can read it.

    Encrypted with a key its ETag does not tell the content, so that is told beside it.
    """
    place = Place.of(own.input_data)
    request = {
        "Bucket": place.bucket,
        "Key": place.key(key),
        "Body": path,
        "ExpectedBucketOwner": own.account,
        **({"Metadata": {"md5": md5}} if own.kms_key else {}),
    }
    return Resource("input file", place.uri(key), Call("s3", "put_object", request))


def render(template: Any, values: Mapping[str, Any]) -> Any:
    """Fill `${name}` in every text of a JSON template; a text that is only that may be any value.

    >>> render({"a": "${n}", "b": ["x-${n}"]}, {"n": 3})
    {'a': 3, 'b': ['x-3']}
    """
    if isinstance(template, dict):
        return {key: render(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [render(value, values) for value in template]
    if not isinstance(template, str):
        return template
    if whole := re.fullmatch(r"\$\{(\w+)\}", template):
        return values[whole[1]]
    return re.sub(r"\$\{(\w+)\}", lambda found: str(values[found[1]]), template)
