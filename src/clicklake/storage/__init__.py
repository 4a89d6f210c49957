"""Where files live: a local folder or a prefix of an S3 bucket, behind one interface.

Paths are relative to the storage's root and use `/`. Writes are atomic: a reader sees the old
content, the new content or nothing. Beside it only `aws.client` and `streaming.kinesis` use boto3.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from clicklake.errors import AccessError, ClicklakeError, InputError

CHUNK = 8 << 20
THREADS = 16
T = TypeVar("T")


@dataclass(frozen=True)
class FileInfo:
    """A stored file. `version` changes whenever the content may have changed."""

    path: str
    size: int
    version: str


class Storage(Protocol):
    """Files below a root."""

    @property
    def root(self) -> str:
        """The root as a user and both engines spell it."""

    def uri(self, path: str) -> str:
        """A path as an engine reads or writes it."""

    def list(self, prefix: str = "") -> list[FileInfo]:
        """All files below a folder, hidden ones too, sorted by path; empty if there is none."""

    def chunks(self, file: FileInfo, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes of a file from `start` to `end`. Raises InputError if it has changed."""

    def read(self, path: str) -> bytes | None:
        """A small file's content; None if there is none."""

    def write(self, path: str, data: bytes) -> None:
        """Replace a small file."""

    def upload(self, path: str, file: Path) -> None:
        """Replace a file by a local one of any size, which is moved or copied."""

    def writing(self, path: str) -> AbstractContextManager[Path]:
        """A local path to write a new file at; the file is there when the context ends well.

        For staging: until then, and after an error, a part of the file may be there.
        """

    def create(self, path: str, data: bytes) -> bool:
        """Make a small file if there is none, durably; False if there was one."""

    def move(self, moves: Iterable[tuple[str, str]]) -> None:
        """Move files in parallel; a file that is already moved is left."""

    def delete(self, paths: Iterable[str]) -> None:
        """Delete files; those that are gone already are no error."""

    def delete_tree(self, prefix: str) -> None:
        """Delete everything below a folder."""

    def sync(self, paths: Iterable[str]) -> None:
        """Bring files to the disk."""

    def check_writable(self) -> None:
        """Raises AccessError if a folder below the root cannot be written, as far as that shows."""


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
    return location.startswith(("s3://", "s3a://"))


class LocalStorage:
    """A folder. Symbolic links are followed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def root(self) -> str:
        return str(self.folder)

    def uri(self, path: str) -> str:
        return str(self.folder / path)

    def _below(self, top: Path) -> list[FileInfo]:
        found = []
        seen: set[tuple[int, int]] = set()
        for folder, names, files in os.walk(top, followlinks=True, onerror=_raise_access):
            here = Path(folder).stat()
            if (here.st_dev, here.st_ino) in seen:  # a loop of links
                names.clear()
                continue
            seen.add((here.st_dev, here.st_ino))
            found += [info for name in files if (info := self._info(Path(folder) / name))]
        return sorted(found, key=lambda info: info.path)

    def list(self, prefix: str = "") -> list[FileInfo]:
        top = self.folder / prefix if prefix else self.folder
        with _explained(str(top)):
            return self._below(top) if top.exists() else []

    def _info(self, file: Path) -> FileInfo | None:
        with suppress(FileNotFoundError):
            stat = file.stat()
            path = file.relative_to(self.folder).as_posix()
            return FileInfo(path, stat.st_size, str(stat.st_mtime_ns))
        return None

    def chunks(self, file: FileInfo, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        left = (file.size if end is None else end) - start
        with _explained(self.uri(file.path)), (self.folder / file.path).open("rb") as stream:
            stream.seek(start)
            while left > 0:
                chunk = stream.read(min(CHUNK, left))
                if not chunk:
                    raise InputError(f"{self.uri(file.path)}: became shorter while it was read.")
                left -= len(chunk)
                yield chunk

    def read(self, path: str) -> bytes | None:
        with _explained(self.uri(path)):
            try:
                return (self.folder / path).read_bytes()
            except FileNotFoundError:
                return None

    def write(self, path: str, data: bytes) -> None:
        with _explained(self.uri(path)):
            self._temporary(path, data).replace(self.folder / path)
            _sync(self.folder / path)

    def upload(self, path: str, file: Path) -> None:
        target = self.folder / path
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        with _explained(str(target)):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(file, temporary)
            _sync_file(temporary)
            temporary.replace(target)
            _sync(target)

    @contextmanager
    def writing(self, path: str) -> Iterator[Path]:
        target = self.folder / path
        with _explained(str(target)):
            target.parent.mkdir(parents=True, exist_ok=True)
            yield target

    def create(self, path: str, data: bytes) -> bool:
        with _explained(self.uri(path)):
            temporary = self._temporary(path, data)
            try:
                os.link(temporary, self.folder / path)
            except FileExistsError:
                return False
            finally:
                temporary.unlink()
            _sync(self.folder / path)
            return True

    def _temporary(self, path: str, data: bytes) -> Path:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        return temporary

    def open_lock(self, path: str) -> int:
        """A descriptor of a file to be locked."""
        file = self.folder / path
        with _explained(str(file)):
            file.parent.mkdir(parents=True, exist_ok=True)
            return os.open(file, os.O_RDWR | os.O_CREAT, 0o644)

    def move(self, moves: Iterable[tuple[str, str]]) -> None:
        folders = set()
        for source, target in moves:
            destination = self.folder / target
            with _explained(str(destination)):
                destination.parent.mkdir(parents=True, exist_ok=True)
                try:
                    (self.folder / source).replace(destination)
                except FileNotFoundError:
                    if not destination.exists():
                        raise ClicklakeError(
                            f"{destination}: neither there nor in staging; the lake is damaged. "
                            "Run with --rebuild."
                        ) from None
                folders.add(destination.parent)
        for folder in folders:
            _sync_folder(folder)

    def delete(self, paths: Iterable[str]) -> None:
        for path in paths:
            file = self.folder / path
            with _explained(str(file)):
                file.unlink(missing_ok=True)
            self._drop_empty(file.parent)

    def _drop_empty(self, folder: Path) -> None:
        while folder != self.folder:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    def sync(self, paths: Iterable[str]) -> None:
        def sync(path: str) -> None:
            with _explained(self.uri(path)):
                _sync_file(self.folder / path)

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(sync, paths))

    def check_writable(self) -> None:
        for folder, _, _ in os.walk(self.folder, onerror=_raise_access):
            if not os.access(folder, os.W_OK | os.X_OK):
                raise AccessError(f"{folder}: cannot be written. Check its permissions.")

    def delete_tree(self, prefix: str) -> None:
        shutil.rmtree(self.folder / prefix, ignore_errors=True)


def _raise_access(error: OSError) -> None:
    raise _translated(str(error.filename), error)


def _sync(file: Path) -> None:
    _sync_folder(file.parent)


def _sync_folder(folder: Path) -> None:
    _sync_file(folder)


def _sync_file(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _explained(place: str) -> Iterator[None]:
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


class S3Storage:
    """A prefix of a bucket. The endpoint comes from AWS_ENDPOINT_URL(_S3), if it is set."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket = bucket
        self.prefix = prefix

    @property
    def root(self) -> str:
        return f"s3a://{self.bucket}/{self.prefix}".rstrip("/")

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
                IfMatch=f'"{file.version}"',
            )
            return answer["Body"].read()

        try:
            return self._call(file.path, _retried(fetch))
        except _PreconditionError:
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

        return self._call(path, _retried(fetch))

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
            with _explained(folder):
                yield file
            self.upload(path, file)

    def create(self, path: str, data: bytes) -> bool:
        """As the interface says; an answer that was lost is told apart by the content."""
        return self.put_if(path, data, IfNoneMatch="*") is not None

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
        except (_PreconditionError, _AbsentError):
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
                    raise ClicklakeError(
                        f"{self.uri(target)}: neither there nor in staging; the lake is damaged. "
                        "Run with --rebuild."
                    ) from None

        self._call(target, copy)

    def delete(self, paths: Iterable[str]) -> None:
        keys = [{"Key": self._key(path)} for path in paths]
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
            raise _explain_s3(f"s3a://{self.bucket}/{path}", error) from None
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


class _PreconditionError(ClicklakeError):
    """The condition of a write did not hold."""


class _AbsentError(InputError):
    """There is no such object."""


def _at_once() -> Any:
    """Copy in one request up to 1 GiB: such a copy is made from a source that is there, or not.

    One in parts could be completed long after, by a process that was paused, and bring back a
    file that a later run has deleted.
    """
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(multipart_threshold=1 << 30, use_threads=False)


def _explain_s3(place: str, error: Any) -> ClicklakeError:
    code = str(error.response["Error"]["Code"])
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    if status in (409, 412) and code in ("PreconditionFailed", "ConditionalRequestConflict", "412"):
        return _PreconditionError(f"{place}: it was changed by somebody else.")
    if code in ("NoSuchKey", "404"):
        return _AbsentError(f"{place}: does not exist ({code}).")
    if code == "NoSuchBucket":
        return InputError(f"{place}: does not exist ({code}).")
    if status in (401, 403):
        return AccessError(
            f"{place}: access denied ({code}). Check the credentials and the bucket's policy."
        )
    return ClicklakeError(f"{place}: {code}: {error.response['Error'].get('Message', '')}")


def _retried(fetch: Callable[[], T], attempts: int = 5) -> Callable[[], T]:
    """A body that is cut short or damaged is no error of the call, so it is asked for again.

    That of a refusal too, which comes as urllib3's error.
    """

    def call() -> T:
        from botocore.exceptions import (
            ConnectionError as BotoConnectionError,
        )
        from botocore.exceptions import (
            FlexibleChecksumError,
            HTTPClientError,
            IncompleteReadError,
        )
        from urllib3.exceptions import HTTPError

        for attempt in range(attempts):
            try:
                return fetch()
            except (
                HTTPClientError,
                BotoConnectionError,
                IncompleteReadError,
                FlexibleChecksumError,
                HTTPError,
                ConnectionError,
            ):
                if attempt == attempts - 1:
                    raise
                time.sleep(0.1 * 2**attempt)
        raise AssertionError("unreachable")

    return call
