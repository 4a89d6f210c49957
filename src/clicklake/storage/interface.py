"""What is asked of a storage: files below a root, local or on S3.

Paths are relative to the storage's root and use `/`. Writes are atomic: a reader sees the old
content, the new content or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

CHUNK = 8 << 20


THREADS = 16


T = TypeVar("T")


@dataclass(frozen=True)
class FileInfo:
    """A stored file. `version` changes whenever the content may have changed; empty: not known."""

    path: str
    size: int
    version: str


class Storage(Protocol):
    """Files below a root."""

    @property
    def root(self) -> str:
        """The root as a user and both engines spell it."""

    def resolved(self, path: str = "") -> str:
        """Which place a path is, however it is spelled: links followed, doubled slashes gone."""

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

    def swap(self, path: str, known: bytes | None, data: bytes) -> bool:
        """Replace a small file whose content is known (None: there is none); False if it is not."""

    def move(self, moves: Iterable[tuple[str, str]]) -> None:
        """Move files in parallel; a file that is already moved is left."""

    def link(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Give files a second name each, durably; one that is there already is left.

        Locally a hard link, which takes no room; on S3 a copy, made by the server.
        """

    def delete(self, paths: Iterable[str]) -> None:
        """Delete files; those that are gone already are no error."""

    def delete_tree(self, prefix: str) -> None:
        """Delete everything below a folder."""

    def delete_old_versions(self) -> int:
        """Delete all but the present versions of the files below the root; how many there were."""

    def sync(self, paths: Iterable[str]) -> None:
        """Bring files to the disk."""

    def check_writable(self) -> None:
        """Raises AccessError if a folder below the root cannot be written, as far as that shows."""
