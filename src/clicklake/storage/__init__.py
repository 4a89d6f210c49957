"""Where files live: a local folder or a prefix of an S3 bucket, behind one interface."""

from clicklake.storage.endpoint import arrow_filesystem, arrow_s3, s3_endpoint
from clicklake.storage.interface import CHUNK, THREADS, FileInfo, Storage
from clicklake.storage.local import LocalStorage
from clicklake.storage.places import is_s3, join, open_storage
from clicklake.storage.s3 import HeadInfo, S3Storage

__all__ = [
    "CHUNK",
    "THREADS",
    "FileInfo",
    "HeadInfo",
    "LocalStorage",
    "S3Storage",
    "Storage",
    "arrow_filesystem",
    "arrow_s3",
    "is_s3",
    "join",
    "open_storage",
    "s3_endpoint",
]
