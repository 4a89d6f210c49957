"""Errors of the operating system and of S3 in words that name the place."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from clicklake.errors import AccessError, ClicklakeError, InputError


def raise_access(error: OSError) -> None:
    raise _translated(str(error.filename), error)


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Turn an operating system's error into one that names the place."""
    try:
        yield
    except OSError as error:
        raise _translated(place, error) from None


def _translated(place: str, error: OSError) -> ClicklakeError:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return AccessError(f"{place}: {error.strerror}. Check the permissions of this path.")
    if isinstance(error, FileNotFoundError):
        return InputError(f"{place}: vanished while it was read. Run again.")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ClicklakeError(f"{place}: {error.strerror}. Free some space and run again.")
    return ClicklakeError(f"{place}: {error.strerror or error}.")


class PreconditionError(ClicklakeError):
    """The condition of a write did not hold."""


class AbsentError(InputError):
    """There is no such object."""


def explain_s3(place: str, error: Any) -> ClicklakeError:
    code = str(error.response["Error"]["Code"])
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    if status in (409, 412) and code in ("PreconditionFailed", "ConditionalRequestConflict", "412"):
        return PreconditionError(f"{place}: it was changed by somebody else.")
    if code in ("NoSuchKey", "404"):
        return AbsentError(f"{place}: does not exist ({code}).")
    if code == "NoSuchBucket":
        return InputError(f"{place}: does not exist ({code}).")
    if status in (401, 403):
        return AccessError(
            f"{place}: access denied ({code}). Check the credentials and the bucket's policy."
        )
    return ClicklakeError(f"{place}: {code}: {error.response['Error'].get('Message', '')}")
