"""What the publisher needs to know of the lake: its live files, as of one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow.fs as pafs

from clicklake.errors import InputError
from clicklake.lake import MANIFEST, Manifest


class Snapshot(Protocol):
    """The lake as one run left it. `filesystem` is rooted at the lake."""

    @property
    def run_id(self) -> str: ...

    @property
    def seq(self) -> int: ...

    @property
    def filesystem(self) -> pafs.FileSystem: ...

    def files(self, table: str) -> Sequence[str]:
        """The table's live files, as paths below the lake."""
        ...


@dataclass(frozen=True)
class ManifestSnapshot:
    """A snapshot read from `manifest.json`."""

    manifest: Manifest
    filesystem: pafs.FileSystem

    @property
    def run_id(self) -> str:
        return self.manifest.run_id

    @property
    def seq(self) -> int:
        return self.manifest.seq

    def files(self, table: str) -> Sequence[str]:
        return [file.path for file in self.manifest.files(table)]


def read_snapshot(lake: str) -> ManifestSnapshot:
    """The present snapshot of the lake at `lake`, a folder or an s3a:// address.

    Raises InputError if there is no lake.
    """
    filesystem = _rooted(lake)
    try:
        with filesystem.open_input_stream(MANIFEST) as stream:
            return ManifestSnapshot(Manifest.from_json(stream.read()), filesystem)
    except FileNotFoundError:
        raise InputError(
            f"{lake}: no lake is there ({MANIFEST} is missing). Run scripts/etl.py first, or "
            "name the lake with --output or [DATALAKE] OUTPUT_DATA."
        ) from None


def _rooted(lake: str) -> pafs.FileSystem:
    if "://" not in lake:
        return pafs.SubTreeFileSystem(lake, pafs.LocalFileSystem())
    filesystem, path = pafs.FileSystem.from_uri(lake.replace("s3a://", "s3://", 1))
    return pafs.SubTreeFileSystem(path, filesystem)
