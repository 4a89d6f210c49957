"""A folder of this machine as a storage."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from clicklake.errors import AccessError, DamagedError, InputError
from clicklake.storage.durable import sync_path
from clicklake.storage.errors import explained, raise_access
from clicklake.storage.interface import CHUNK, THREADS, FileInfo
from clicklake.storage.names import spelled, unspelled


class LocalStorage:
    """A folder. Symbolic links are followed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def root(self) -> str:
        return str(self.folder)

    def resolved(self, path: str = "") -> str:
        return os.path.realpath(self._at(path))

    def uri(self, path: str) -> str:
        return str(self.folder / path)

    def _at(self, path: str) -> Path:
        return self.folder / unspelled(path)

    def _below(self, top: Path) -> list[FileInfo]:
        found = []
        seen: set[tuple[int, int]] = set()
        for folder, names, files in os.walk(top, followlinks=True, onerror=raise_access):
            here = Path(folder).stat()
            if (here.st_dev, here.st_ino) in seen:  # a loop of links
                names.clear()
                continue
            seen.add((here.st_dev, here.st_ino))
            found += [info for name in files if (info := self._info(Path(folder) / name))]
        return sorted(found, key=lambda info: info.path)

    def list(self, prefix: str = "") -> list[FileInfo]:
        top = self._at(prefix)
        with explained(str(top)):
            return self._below(top) if top.exists() else []

    def _info(self, file: Path) -> FileInfo | None:
        """None for a file that has vanished, and for a link that leads nowhere."""
        try:
            stat = file.stat()
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP):
                return None
            raise
        path = spelled(file.relative_to(self.folder).as_posix())
        return FileInfo(path, stat.st_size, str(stat.st_mtime_ns))

    @staticmethod
    def modified(info: FileInfo) -> float:
        """When a listed file was last written to, in seconds since 1970."""
        return int(info.version) / 1e9

    def chunks(self, file: FileInfo, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        left = (file.size if end is None else end) - start
        with explained(self.uri(file.path)), self._at(file.path).open("rb") as stream:
            stream.seek(start)
            while left > 0:
                chunk = stream.read(min(CHUNK, left))
                if not chunk:
                    raise InputError(f"{self.uri(file.path)}: became shorter while it was read.")
                left -= len(chunk)
                yield chunk

    def read(self, path: str) -> bytes | None:
        with explained(self.uri(path)):
            try:
                return self._at(path).read_bytes()
            except FileNotFoundError:
                return None

    def write(self, path: str, data: bytes) -> None:
        with explained(self.uri(path)):
            self._temporary(path, data).replace(self._at(path))
            sync_path(self._at(path).parent)

    def upload(self, path: str, file: Path) -> None:
        target = self._at(path)
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        with explained(str(target)):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(file, temporary)
            sync_path(temporary)
            temporary.replace(target)
            sync_path(target.parent)

    @contextmanager
    def writing(self, path: str) -> Iterator[Path]:
        target = self._at(path)
        with explained(str(target)):
            target.parent.mkdir(parents=True, exist_ok=True)
            yield target

    def create(self, path: str, data: bytes) -> bool:
        with explained(self.uri(path)):
            temporary = self._temporary(path, data)
            try:
                os.link(temporary, self._at(path))
            except FileExistsError:
                return False
            finally:
                temporary.unlink()
            sync_path(self._at(path).parent)
            return True

    def swap(self, path: str, known: bytes | None, data: bytes) -> bool:
        """Whoever writes a local lake has its lock."""
        if self.read(path) != known:
            return False
        self.write(path, data)
        return True

    def _temporary(self, path: str, data: bytes) -> Path:
        target = self._at(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        return temporary

    def open_lock(self, path: str) -> int:
        """A descriptor of a file to be locked."""
        file = self._at(path)
        with explained(str(file)):
            file.parent.mkdir(parents=True, exist_ok=True)
            return os.open(file, os.O_RDWR | os.O_CREAT, 0o644)

    def move(self, moves: Iterable[tuple[str, str]]) -> None:
        self._bring_about(moves, Path.replace)

    def link(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._bring_about(pairs, _link_unless_there)

    def _bring_about(
        self, pairs: Iterable[tuple[str, str]], act: Callable[[Path, Path], object]
    ) -> None:
        """Make each target of its source, durably; what has been done before is left."""
        folders = set()
        for source, target in pairs:
            destination = self._at(target)
            with explained(str(destination)):
                destination.parent.mkdir(parents=True, exist_ok=True)
                try:
                    act(self._at(source), destination)
                except FileNotFoundError:
                    if not destination.exists():
                        raise _lost(destination) from None
                folders.add(destination.parent)
        for folder in folders:
            sync_path(folder)

    def delete(self, paths: Iterable[str]) -> None:
        for path in paths:
            file = self._at(path)
            with explained(str(file)):
                file.unlink(missing_ok=True)
            self._drop_empty(file.parent)

    def _drop_empty(self, folder: Path) -> None:
        while folder != self.folder:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    def delete_old_versions(self) -> int:
        """A folder keeps none."""
        return 0

    def sync(self, paths: Iterable[str]) -> None:
        def sync(path: str) -> None:
            with explained(self.uri(path)):
                sync_path(self._at(path))

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(sync, [*(files := list(paths)), *self._folders_of(files)]))

    def _folders_of(self, paths: Iterable[str]) -> set[str]:
        """The folders that name the files, and those that name these, up to the root."""
        parents = {PurePosixPath(path).parent for path in paths}
        return {str(each) for parent in parents for each in (parent, *parent.parents)}

    def check_writable(self) -> None:
        for folder, _, _ in os.walk(self.folder, onerror=raise_access):
            if not os.access(folder, os.W_OK | os.X_OK):
                raise AccessError(f"{folder}: cannot be written. Check its permissions.")

    def delete_tree(self, prefix: str) -> None:
        shutil.rmtree(self._at(prefix), ignore_errors=True)


def _lost(file: Path) -> DamagedError:
    return DamagedError(
        f"{file}: neither there nor in staging; the lake is damaged. Run with --rebuild."
    )


def _link_unless_there(file: Path, name: Path) -> None:
    with suppress(FileExistsError):
        os.link(file, name)
