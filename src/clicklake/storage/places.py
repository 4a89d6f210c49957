"""Locations as users write them."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from clicklake.storage.interface import Storage
from clicklake.storage.local import LocalStorage
from clicklake.storage.s3 import S3Storage


def open_storage(location: str) -> Storage:
    """The storage of a local path, `file://…`, `s3://…` or `s3a://…`."""
    parts = urlsplit(location)
    if parts.scheme in ("s3", "s3a"):
        bucket, _, prefix = location.partition("://")[2].partition("/")
        return S3Storage(bucket, prefix.strip("/"))
    path = unquote(parts.path) if parts.scheme == "file" else location
    return LocalStorage(Path(path).expanduser().absolute())


def join(location: str, name: str) -> str:
    """`name` below `location`, unless it is a place of its own; `.` is `location` itself."""
    if "://" in name or Path(name).is_absolute():
        return name
    below = os.path.normpath(name).strip("/")
    return location if below == "." else f"{location.rstrip('/')}/{below}"


def is_s3(location: str) -> bool:
    return urlsplit(location).scheme in ("s3", "s3a")
