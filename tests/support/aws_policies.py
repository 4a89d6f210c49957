"""What a request to S3 or Glue needs, and whether IAM policies give it: AWS's rules, in small."""

from __future__ import annotations

import json
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
    """What IAM asks of a path-style S3 request or one to Glue, by the tables of AWS's reference."""
    service, _, operation = request["headers"].get("X_AMZ_TARGET", "").partition(".")
    if service == "AWSGlue":
        return of_glue(operation, json.loads(request["body"]))
    bucket, _, key = unquote(request["path"]).lstrip("/").partition("/")
    query = parse_qs(request["query"], keep_blank_values=True)
    if key:
        return list(_of_object(request, f"arn:aws:s3:::{bucket}/{key}", query))
    return list(_of_bucket(request, f"arn:aws:s3:::{bucket}", query))


def of_glue(operation: str, asked: dict[str, Any]) -> list[Need]:
    """The catalog, the database, and the table or tables if the request is about any."""
    declared = asked.get("DatabaseInput") or asked
    database = asked.get("DatabaseName") or declared["Name"]
    found = ["catalog", f"database/{database}"]
    if "DatabaseName" in asked:
        table = asked.get("Name") or asked.get("TableInput", {}).get("Name", "*")
        found.append(f"table/{database}/{table}")
    base = "arn:aws:glue:us-east-1:123456789012"
    return [Need(f"glue:{operation}", f"{base}:{each}") for each in found]


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
