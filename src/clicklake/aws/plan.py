"""Desired against observed: what `up` would do. Everything here only reads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from clicklake.aws import observed
from clicklake.aws.client import Aws
from clicklake.aws.desired import Call, Resource, Seen, Setting, input_file
from clicklake.aws.names import TAG, Deployment, Place, tag_pairs
from clicklake.errors import AccessError, ConfigError, ConflictError

MOST_LOCAL_INPUT = 5 * 10**9  # bytes


@dataclass(frozen=True)
class Change:
    """What is done about one resource: "create", "change", "reuse" or, if it cannot be, "stop"."""

    action: str
    kind: str
    name: str
    note: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    calls: tuple[Call, ...] = ()
    wanted: Resource | None = None  # whose difference from what is there this is

    @property
    def size(self) -> int:
        """Bytes of the file that is sent, if one is: it must be there by then."""
        body = self.calls[0].request.get("Body") if self.calls else None
        return body.stat().st_size if isinstance(body, Path) else len(body or b"")


def compare(own: Deployment, wanted: Resource, seen: Seen | None) -> Change:
    """The difference between what should be and what is; None is: it is not there."""

    def change(action: str, note: str = "", calls: Iterable[Call] = ()) -> Change:
        tags = dict(wanted.tags)
        return Change(action, wanted.kind, wanted.name, note, tags, tuple(calls), wanted)

    if seen is None:
        puts = [setting.put for setting in wanted.settings if not setting.at_creation]
        return change("create", calls=[wanted.create, *puts])
    if seen.problem:
        return change("stop", seen.problem)
    if wanted.tags and seen.tags.get(TAG) != own.name:
        return _not_ours(own, change, wanted.kind)
    differing = [
        setting
        for setting in wanted.settings
        if not _holds(setting.value, seen.settings.get(setting.name), setting.exact)
    ]
    if differing:
        names = ", ".join(setting.name for setting in differing)
        return change("change", names, [_put(setting, seen) for setting in differing])
    return change("reuse")


def _put(setting: Setting, seen: Seen) -> Call:
    """S3 replaces all tags of a bucket: those that others gave it stay."""
    if setting.put.operation != "put_bucket_tagging":
        return setting.put
    tags = {**(seen.settings.get("tags") or {}), **setting.value}
    tagging = {"Tagging": {"TagSet": tag_pairs(tags)}}
    return replace(setting.put, request={**setting.put.request, **tagging})


def _not_ours(own: Deployment, change: Callable[..., Change], kind: str) -> Change:
    mark = f"no tag {TAG}={own.name}"
    if kind == "bucket":
        return change("reuse", f"{mark}: used as it is, never changed or deleted")
    key = "DATABASE in [CATALOG]" if kind == "database" else "NAME in [CLUSTER]"
    return change("stop", f"exists with {mark}; set another {key} of dl.cfg")


def _holds(wanted: Any, seen: Any, exact: bool) -> bool:
    """Whether `seen` has all of `wanted` and, if `exact`, nothing else."""
    if exact:
        return bool(wanted == seen)
    if isinstance(wanted, dict):
        return isinstance(seen, dict) and all(
            _holds(value, seen.get(key), exact) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(seen, list) and all(
            any(_holds(item, other, exact) for other in seen) for item in wanted
        )
    return bool(wanted == seen)


def changes(aws: Aws, own: Deployment, wanted: Iterable[Resource]) -> list[Change]:
    """What to do about each resource.

    Raises ConflictError that names every resource whose name is taken or whose place is wrong.
    """
    found = [compare(own, each, observed.observe(aws, own, each)) for each in wanted]
    stops = [f"{each.kind} {each.name}: {each.note}." for each in found if each.action == "stop"]
    if stops:
        raise ConflictError("\n".join(stops))
    return found


def check_given(aws: Aws, own: Deployment) -> None:
    """Raise ConfigError if a role of [CLUSTER] is not there, before a cluster finds out."""
    absent = ("NoSuchEntity",)
    role, profile = own.given_service_role, own.given_instance_role
    if role and aws.find("iam", "get_role", absent, RoleName=role) is None:
        raise ConfigError(f"dl.cfg: [CLUSTER] SERVICE_ROLE is {role}; there is no such role.")
    of_profile = {"InstanceProfileName": profile}
    if profile and aws.find("iam", "get_instance_profile", absent, **of_profile) is None:
        raise ConfigError(
            f"dl.cfg: [CLUSTER] INSTANCE_ROLE is {profile}; there is no such instance profile."
        )


def check_inputs(aws: Aws, own: Deployment) -> None:
    """Raise ConfigError if there is nothing to read, before a cluster finds out.

    What the user may not list is left to the cluster, whose role may.
    """
    if own.local_input is not None:
        if not own.local_input.is_dir():
            raise ConfigError(
                f"dl.cfg: [DATALAKE] INPUT_DATA is {own.local_input}, which is neither a folder "
                "of this machine nor an s3a:// address."
            )
        return
    with suppress(AccessError):
        if not any(_has_objects(aws, place) for place in own.inputs):
            looked = ", ".join(place.uri() for place in own.inputs)
            raise ConfigError(f"dl.cfg: there are no raw logs; looked at {looked}.")


def _has_objects(aws: Aws, place: Place) -> bool:
    request = {"Bucket": place.bucket, "Prefix": place.prefix}
    answer = aws.find("s3", "list_objects_v2", ("NoSuchBucket",), **request, MaxKeys=1)
    if answer is None:
        raise ConfigError(f"dl.cfg: there is no bucket {place.bucket} to read raw logs from.")
    return bool(answer["KeyCount"])


def input_changes(aws: Aws, own: Deployment, *, bucket_is_there: bool) -> list[Change]:
    """What makes the copy on S3 equal to a local INPUT_DATA: files to copy, and to delete.

    Raises ConfigError if there are no files, or more than should go up from a laptop.
    """
    if own.local_input is None:
        return []
    files = _visible_files(own.local_input)
    size = sum(path.stat().st_size for path in files.values())
    place = Place.of(own.input_data)
    if not files:
        raise ConfigError(f"dl.cfg: there are no raw logs; looked at {own.local_input}.")
    if size > MOST_LOCAL_INPUT:
        raise ConfigError(
            f"dl.cfg: [DATALAKE] INPUT_DATA is a folder of this machine with {size / 1e9:.1f} GB, "
            f"too much to copy silently. Copy it: aws s3 sync {own.local_input} {place.uri()} "
            f"and set INPUT_DATA to {own.input_data}"
        )
    there: dict[str, str] = {}
    if bucket_is_there:
        listed = aws.items(
            "s3", "list_objects_v2", "Contents", Bucket=place.bucket, Prefix=place.key() + "/"
        )
        there = {each["Key"]: each["ETag"].strip('"') for each in listed}
    found = []
    for key, path in files.items():
        md5 = _md5(path)
        wanted = input_file(own, path, key, md5)
        name = wanted.create.request["Key"]
        same = _told_md5(aws, own, name, there.pop(name, None)) == md5
        found.append(compare(own, wanted, Seen() if same else None))
    return found + [_no_longer_input(own, place.bucket, key) for key in there]


def _told_md5(aws: Aws, own: Deployment, key: str, etag: str | None) -> str | None:
    """Of an object: its ETag, or what was told beside one that is encrypted with a key."""
    if etag is None or not own.kms_key:
        return etag
    request = {"Bucket": Place.of(own.input_data).bucket, "Key": key}
    head = aws.find("s3", "head_object", ("404", "NoSuchKey"), **request) or {}
    told: str | None = head.get("Metadata", {}).get("md5")
    return told


def _no_longer_input(own: Deployment, bucket: str, key: str) -> Change:
    request = {"Bucket": bucket, "Key": key, "ExpectedBucketOwner": own.account}
    note = f"it is not in {own.local_input}"
    delete = Call("s3", "delete_object", request)
    return Change("delete", "input file", f"s3://{bucket}/{key}", note, calls=(delete,))


def _visible_files(folder: Path) -> dict[str, Path]:
    """Files below `folder` by their relative name; the job does not read hidden ones."""
    files = {path.relative_to(folder): path for path in sorted(folder.rglob("*"))}
    return {
        name.as_posix(): path
        for name, path in files.items()
        if path.is_file() and not any(part.startswith((".", "_")) for part in name.parts)
    }


def _md5(path: Path) -> str:
    """S3's ETag of an object put in one piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
