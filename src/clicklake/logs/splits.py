"""Files in splits that begin and end with a line, and splits in tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from clicklake.logs.files import text_bytes
from clicklake.storage import FileInfo, Storage


@dataclass(frozen=True)
class Split:
    """A part of a file that begins and ends with a line, or a whole file."""

    file: FileInfo
    start: int
    end: int


def packed(splits: Iterable[Split], target: int) -> Iterator[list[Split]]:
    """Groups of splits of about `target` bytes, so that small files do not cost a task each."""
    group: list[Split] = []
    size = 0
    for split in splits:
        if group and size + split.end - split.start > target:
            yield group
            group, size = [], 0
        group.append(split)
        size += split.end - split.start
    if group:
        yield group


def shared(splits: Iterable[Split], tasks: int) -> list[list[Split]]:
    """As many groups of splits, of about the same size; fewer if there are fewer splits."""
    groups: list[list[Split]] = [[] for _ in range(tasks)]
    sizes = [0] * tasks
    for split in sorted(splits, key=split_text_bytes, reverse=True):
        least = sizes.index(min(sizes))
        groups[least].append(split)
        sizes[least] += split_text_bytes(split)
    return [group for group in groups if group]


def split_text_bytes(split: Split) -> int:
    return text_bytes(split.file.path, split.end - split.start)


def line_start(storage: Storage, info: FileInfo, at: int) -> int:
    """Where the first line begins that begins at `at` or later."""
    step = 1 << 16
    for begin in range(at - 1, info.size, step):
        window = b"".join(storage.chunks(info, begin, min(begin + step, info.size)))
        newline = window.find(b"\n")
        if newline >= 0:
            return begin + newline + 1
    return info.size
