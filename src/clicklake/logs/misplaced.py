"""Logs that do not lie where they are looked for: folders of another spelling, files at the top."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import date

from clicklake.config import Config
from clicklake.logs.sampling import head_of
from clicklake.parse import fields
from clicklake.parse.rows import Source
from clicklake.parse.sources import configured
from clicklake.storage import FileInfo, LocalStorage, Storage, open_storage

_LOOKED_AT = 5  # files at the top
_ANY_TIME = fields.time_range(date(9000, 1, 1))


def hints(config: Config, absent: Collection[str], *, far: bool = False) -> list[str]:
    """What in INPUT_DATA may be the logs of sources that were not found.

    `far`: look at a bucket, too, which takes a listing of all of it.
    """
    storage = open_storage(config.datalake.input_data)
    if not absent or not (far or isinstance(storage, LocalStorage)):
        return []
    names, files = _top(storage)
    wanted = {source: getattr(config.sources, source) for source in absent}
    shapes = configured(config)
    return [*_other_spellings(wanted, names), *_at_the_top(storage, files, wanted, shapes)]


def _top(storage: Storage) -> tuple[list[str], list[FileInfo]]:
    """The folders and the files of the top of a storage, hidden ones left out."""
    if isinstance(storage, LocalStorage):
        here = sorted(storage.folder.iterdir()) if storage.folder.is_dir() else []
        names = [each.name for each in here if each.is_dir()]
        infos = [FileInfo(each.name, each.stat().st_size, "") for each in here if each.is_file()]
    else:
        listed = storage.list()
        names = sorted({info.path.partition("/")[0] for info in listed if "/" in info.path})
        infos = [info for info in listed if "/" not in info.path]
    return names, [info for info in infos if info.size and not info.path.startswith((".", "_"))]


def _other_spellings(wanted: dict[str, str], names: Collection[str]) -> Iterator[str]:
    for source, folder in wanted.items():
        for name in names:
            if name != folder and _plain(name) in (_plain(folder), _plain(source)):
                yield (
                    f"There is a folder {name}, but {folder} is looked for. If it has the logs of "
                    f"{source}, set [SOURCES] {source.upper()} = {name} in dl.cfg."
                )


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _at_the_top(
    storage: Storage,
    files: list[FileInfo],
    wanted: dict[str, str],
    shapes: Mapping[str, Source],
) -> Iterator[str]:
    """Hints at files that lie in INPUT_DATA itself, if they are an absent source's rows."""
    found: dict[str, list[str]] = {}
    for info in files[:_LOOKED_AT]:
        for source in wanted:
            head = head_of(storage, info, shapes[source], _ANY_TIME)
            if head.read and not head.is_mostly_bad:
                found.setdefault(source, []).append(info.path)
                break
    for source, paths in found.items():
        told = f"{paths[0]} lies in INPUT_DATA itself and has rows of {source}. "
        key = f", or set [SOURCES] {source.upper()} = . in dl.cfg" if len(found) == 1 else ""
        yield f"{told}Move it to {wanted[source]}{key}."
