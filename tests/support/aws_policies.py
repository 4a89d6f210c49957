"""What an S3 request needs, and whether IAM policies give it: AWS's rules, in small."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qs, unquote


@dataclass(frozen=True)
class Need:
    """An action on a resource; `prefix` is what a listing is about."""

    action: str
    resource: str
    prefix: str | None = None

    @property
    def context(self) -> dict[str, str]:
        return {} if self.prefix is None else {"s3:prefix": self.prefix}


def needs(request: dict[str, Any]) -> list[Need]:
    """What IAM asks of a path-style S3 request, by the table of S3 actions in AWS's reference."""
    bucket, _, key = unquote(request["path"]).lstrip("/").partition("/")
    query = parse_qs(request["query"], keep_blank_values=True)
    if key:
        return list(_of_object(request, f"arn:aws:s3:::{bucket}/{key}", query))
    return list(_of_bucket(request, f"arn:aws:s3:::{bucket}", query))


def _of_object(request, arn: str, query) -> Iterable[Need]:
    method = request["method"]
    if method in ("GET", "HEAD"):
        yield Need("s3:ListMultipartUploadParts" if "uploadId" in query else "s3:GetObject", arn)
    elif method in ("PUT", "POST"):
        yield Need("s3:PutObject", arn)
        source = request["headers"].get("X_AMZ_COPY_SOURCE")
        if source:
            path = unquote(source).lstrip("/").partition("?")[0]
            yield Need("s3:GetObject", f"arn:aws:s3:::{path}")
    elif method == "DELETE":
        yield Need("s3:AbortMultipartUpload" if "uploadId" in query else "s3:DeleteObject", arn)


def _of_bucket(request, arn: str, query) -> Iterable[Need]:
    if request["method"] == "POST" and "delete" in query:
        for key in re.findall(r"<Key>(.*?)</Key>", request["body"]):
            yield Need("s3:DeleteObject", f"{arn}/{key}")
    elif "location" in query:
        yield Need("s3:GetBucketLocation", arn)
    elif "uploads" in query:
        yield Need("s3:ListBucketMultipartUploads", arn)
    elif request["method"] in ("GET", "HEAD"):
        prefix = query.get("prefix", [None if request["method"] == "HEAD" else ""])[0]
        yield Need("s3:ListBucket", arn, prefix)
    else:
        raise AssertionError(f"unknown to this table: {request['method']} {arn} {query}")


def allowing(policy: dict[str, Any], need: Need) -> set[tuple[str, str]]:
    """The (Sid, action) of the statements that allow it; none: it is denied."""
    return {
        (statement["Sid"], action)
        for statement in policy["Statement"]
        for action in statement["Action"]
        if statement["Effect"] == "Allow"
        and fnmatchcase(need.action, action)
        and any(fnmatchcase(need.resource, pattern) for pattern in statement["Resource"])
        and _fulfilled(statement.get("Condition", {}), need.context)
    }


def _fulfilled(condition: dict[str, Any], context: dict[str, str]) -> bool:
    for operator, keys in condition.items():
        assert operator in ("StringEquals", "StringLike", "ArnLike"), operator
        for key, values in keys.items():
            if key not in context:
                return False
            patterns = [values] if isinstance(values, str) else values
            if not any(fnmatchcase(context[key], pattern) for pattern in patterns):
                return False
    return True
