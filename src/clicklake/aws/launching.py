"""One `up` at a time starts a cluster: EMR itself would start two of one name.

The lock is an object of the code bucket, which S3 lets only one make.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from email.utils import parsedate_to_datetime

from clicklake.aws.options import Desk
from clicklake.aws.package import LOCK
from clicklake.errors import LeaseHeldError

# Longer than a start takes, which waits up to a minute for IAM.
EXPIRY_SECONDS = 180
LONGEST_SECONDS = 600
POLL_SECONDS = 5
_REFUSED = ("PreconditionFailed", "ConditionalRequestConflict", "412", "NoSuchKey", "404")


@contextmanager
def alone(desk: Desk) -> Iterator[None]:
    """While no other `up` of this deployment starts a cluster.

    A lock that was left by one that died counts for EXPIRY_SECONDS. Raises LeaseHeldError if it
    is held for LONGEST_SECONDS by others, one after the other.
    """
    etag = _wait(desk)
    try:
        yield
    finally:
        desk.aws.find("s3", "delete_object", _REFUSED, **_at(desk), IfMatch=etag)


def _at(desk: Desk) -> dict[str, str]:
    code = desk.own.code
    return {
        "Bucket": code.bucket,
        "Key": code.key(LOCK),
        "ExpectedBucketOwner": desk.own.account,
    }


def _wait(desk: Desk) -> str:
    """The ETag of our lock."""
    for attempt in range(LONGEST_SECONDS // POLL_SECONDS):
        if etag := _take(desk):
            return etag
        if attempt == 0:
            desk.console.say("Another `up` is about to start a cluster; waiting for it.")
        desk.clock.sleep(POLL_SECONDS)
    raise LeaseHeldError(
        f"Another `up` is about to start a cluster: it holds {desk.own.code.uri(LOCK)}. See what "
        "there is: deploy.py status"
    )


def _take(desk: Desk) -> str | None:
    """Make the lock, or take over one that has expired; None while another holds it."""
    token = uuid.uuid4().hex.encode()
    made = desk.aws.find("s3", "put_object", _REFUSED, **_at(desk), Body=token, IfNoneMatch="*")
    if made is None:
        held = desk.aws.find("s3", "head_object", _REFUSED, **_at(desk))
        if held is None:
            return None
        now = parsedate_to_datetime(held["ResponseMetadata"]["HTTPHeaders"]["date"])
        if now - held["LastModified"] < timedelta(seconds=EXPIRY_SECONDS):
            return None
        request = {**_at(desk), "Body": token, "IfMatch": held["ETag"]}
        made = desk.aws.find("s3", "put_object", _REFUSED, **request)
    return str(made["ETag"]) if made else None
