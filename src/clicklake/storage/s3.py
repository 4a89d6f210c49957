"""A prefix of an S3 bucket as a storage."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from clicklake.errors import AccessError, ClicklakeError, DamagedError, InputError
from clicklake.storage.errors import AbsentError, PreconditionError, explain_s3, explained
from clicklake.storage.interface import CHUNK, THREADS, FileInfo, T
from clicklake.storage.retries import retried

_Keys = list[dict[str, str]]  # as DeleteObjects names objects


class S3Storage:
    """A prefix of a bucket. The endpoint comes from AWS_ENDPOINT_URL(_S3), if it is set."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket = bucket
        self.prefix = prefix

    @property
    def root(self) -> str:
        return f"s3a://{self.bucket}/{self.prefix}".rstrip("/")

    def resolved(self, path: str = "") -> str:
        return re.sub("/+", "/", f"s3a://{self.bucket}/{self._key(path)}").rstrip("/")

    def uri(self, path: str) -> str:
        return f"s3a://{self.bucket}/{self._key(path)}"

    def _key(self, path: str) -> str:
        return f"{self.prefix}/{path}".strip("/") if path else self.prefix

    @cached_property
    def client(self) -> Any:
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3", config=Config(retries={"mode": "standard", "total_max_attempts": 8})
        )

    def __getstate__(self) -> dict[str, Any]:
        return {"bucket": self.bucket, "prefix": self.prefix}

    def list(self, prefix: str = "") -> list[FileInfo]:
        below = self._key(prefix)
        pages = self.client.get_paginator("list_objects_v2")
        skip = len(self.prefix) + 1 if self.prefix else 0

        def fetch() -> list[FileInfo]:
            found = []
            for page in pages.paginate(Bucket=self.bucket, Prefix=below + "/" if below else ""):
                for item in page.get("Contents", []):
                    path, etag = item["Key"][skip:], item["ETag"].strip('"')
                    if not path.endswith("/"):  # a console's folder marker
                        found.append(FileInfo(path, item["Size"], etag))
            return sorted(found, key=lambda info: info.path)

        return self._call(below, fetch)

    def chunks(self, file: FileInfo, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        stop = file.size if end is None else end
        for begin in range(start, stop, CHUNK):
            yield self._range(file, begin, min(begin + CHUNK, stop))

    def _range(self, file: FileInfo, begin: int, end: int) -> bytes:
        def fetch() -> bytes:
            answer = self.client.get_object(
                Bucket=self.bucket,
                Key=self._key(file.path),
                Range=f"bytes={begin}-{end - 1}",
                **({"IfMatch": f'"{file.version}"'} if file.version else {}),
            )
            return answer["Body"].read()

        try:
            return self._call(file.path, retried(fetch))
        except PreconditionError:
            raise InputError(
                f"{self.uri(file.path)}: changed while it was read. Run again."
            ) from None

    def read(self, path: str) -> bytes | None:
        def fetch() -> bytes | None:
            try:
                answer = self.client.get_object(Bucket=self.bucket, Key=self._key(path))
                return answer["Body"].read()
            except self.client.exceptions.NoSuchKey:
                return None

        return self._call(path, retried(fetch))

    def write(self, path: str, data: bytes) -> None:
        self._call(
            path,
            lambda: self.client.put_object(Bucket=self.bucket, Key=self._key(path), Body=data),
        )

    def upload(self, path: str, file: Path) -> None:
        from boto3.exceptions import S3UploadFailedError

        try:
            self._call(
                path, partial(self.client.upload_file, str(file), self.bucket, self._key(path))
            )
        except S3UploadFailedError as error:
            raise AccessError(f"{self.uri(path)}: {error}") from None

    @contextmanager
    def writing(self, path: str) -> Iterator[Path]:
        with TemporaryDirectory(prefix="clicklake-") as folder:
            file = Path(folder) / Path(path).name
            with explained(folder):
                yield file
            self.upload(path, file)

    def create(self, path: str, data: bytes) -> bool:
        """As the interface says; an answer that was lost is told apart by the content."""
        return self.put_if(path, data, IfNoneMatch="*") is not None

    def swap(self, path: str, known: bytes | None, data: bytes) -> bool:
        if known is None:
            return self.create(path, data)
        # First the version, then the content: the write fails if that is of a later version.
        head = self.head(path)
        if head is None or self.read(path) != known:
            return False
        return self.put_if(path, data, IfMatch=f'"{head.version}"') is not None

    def put_if(self, path: str, data: bytes, **condition: str) -> str | None:
        """Write under a condition (IfMatch, IfNoneMatch); the new version, None if it fails."""
        try:
            answer = self._call(
                path,
                lambda: self.client.put_object(
                    Bucket=self.bucket, Key=self._key(path), Body=data, **condition
                ),
            )
            return str(answer["ETag"]).strip('"')
        except (PreconditionError, AbsentError):
            # A retry after a lost answer meets the object that this very call has made.
            info = self.head(path)
            return info.version if info and self.read(path) == data else None

    def head(self, path: str) -> HeadInfo | None:
        """Version and age of an object, both by the server's clock."""

        def fetch() -> HeadInfo | None:
            from botocore.exceptions import ClientError

            try:
                answer = self.client.head_object(Bucket=self.bucket, Key=self._key(path))
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                    return None
                raise
            from email.utils import parsedate_to_datetime

            now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
            age = (now - answer["LastModified"]).total_seconds()
            return HeadInfo(answer["ETag"].strip('"'), age)

        return self._call(path, fetch)

    def move(self, moves: Iterable[tuple[str, str]]) -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda pair: self._move(*pair), moves))

    def link(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.move(pairs)

    def _move(self, source: str, target: str) -> None:
        from botocore.exceptions import ClientError

        def copy() -> None:
            origin = {"Bucket": self.bucket, "Key": self._key(source)}
            try:
                self.client.copy(origin, self.bucket, self._key(target), Config=_at_once())
            except ClientError as error:
                if error.response["Error"]["Code"] not in ("404", "NoSuchKey"):
                    raise
                if self.head(target) is None:
                    raise DamagedError(
                        f"{self.uri(target)}: neither there nor in staging; the lake is damaged. "
                        "Run with --rebuild."
                    ) from None

        self._call(target, copy)

    def delete(self, paths: Iterable[str]) -> None:
        self._delete([{"Key": self._key(path)} for path in paths])

    def _delete(self, keys: _Keys) -> None:
        for at in range(0, len(keys), 1000):
            batch = {"Objects": keys[at : at + 1000], "Quiet": True}
            answer = self._call(
                self.prefix,
                partial(self.client.delete_objects, Bucket=self.bucket, Delete=batch),
            )
            for error in answer.get("Errors", []):
                kind = AccessError if error["Code"] == "AccessDenied" else ClicklakeError
                raise kind(f"s3a://{self.bucket}/{error['Key']}: {error['Code']}.")

    def delete_tree(self, prefix: str) -> None:
        self.delete([info.path for info in self.list(prefix)])

    def delete_old_versions(self) -> int:
        """Those of a bucket with versioning, and the markers of what was deleted."""
        below = f"{self.prefix}/" if self.prefix else ""
        pages = self.client.get_paginator("list_object_versions")
        old: dict[str, _Keys] = {"Versions": [], "DeleteMarkers": []}

        def fetch() -> None:
            for page in pages.paginate(Bucket=self.bucket, Prefix=below):
                for kind, found in old.items():
                    found += [
                        {"Key": item["Key"], "VersionId": item["VersionId"]}
                        for item in page.get(kind, [])
                        if kind == "DeleteMarkers" or not item["IsLatest"]
                    ]

        self._call(self.prefix, fetch)
        for found in old.values():  # markers last: without one, what is left would be back
            self._delete(found)
        return len(old["Versions"])

    def sync(self, paths: Iterable[str]) -> None:
        """S3 answers only when an object is safe."""

    def check_writable(self) -> None:
        """The lease has been written; what a policy allows beside it only shows by trying."""

    def _call(self, path: str, call: Callable[[], T]) -> T:
        """Make a call and explain its failure."""
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError

        try:
            return call()
        except ClientError as error:
            raise explain_s3(f"s3a://{self.bucket}/{path}", error) from None
        except (BotoCoreError, HTTPError) as error:
            name = type(error).__name__
            if "Credentials" in name:
                raise AccessError(
                    f"s3a://{self.bucket}: no AWS credentials were found ({name}). "
                    "Set them in dl.cfg, the environment or by 'aws configure'."
                ) from None
            raise ClicklakeError(f"s3a://{self.bucket}/{path}: {error}") from None


@dataclass(frozen=True)
class HeadInfo:
    """An object's version (ETag) and its age in seconds."""

    version: str
    age: float


def _at_once() -> Any:
    """Copy in one request up to 1 GiB: such a copy is made from a source that is there, or not.

    One in parts could be completed long after, by a process that was paused, and bring back a
    file that a later run has deleted.
    """
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(multipart_threshold=1 << 30, use_threads=False)
