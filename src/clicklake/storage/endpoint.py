"""Where S3 is, for clients that do not look it up themselves."""

from __future__ import annotations

import os

import pyarrow.fs as pafs

from clicklake.storage.interface import Storage
from clicklake.storage.local import LocalStorage


def s3_endpoint() -> str | None:
    """The address of another S3 than Amazon's, by the variables that AWS's own clients know."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def arrow_filesystem(storage: Storage) -> pafs.FileSystem:
    """A storage as Arrow reads it, rooted where the storage is."""
    if isinstance(storage, LocalStorage):
        return pafs.SubTreeFileSystem(storage.root, pafs.LocalFileSystem())
    below = storage.root.removeprefix("s3a://")
    return pafs.SubTreeFileSystem(below, arrow_s3())


def arrow_s3() -> pafs.FileSystem:
    """All of S3, by `bucket/key`."""
    return pafs.S3FileSystem(endpoint_override=s3_endpoint())
