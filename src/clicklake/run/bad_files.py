"""Files that cannot be read to their end: set aside one by one, so that they do not stop a night.

A file is bad for its own bytes: compressed data that is damaged or cut short, a header that is
none. One that may not be read, or that vanished or changed meanwhile, is no bad file.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from clicklake.lake import Lake
from clicklake.lake.parquet import open_parquet
from clicklake.logs.diagnosis import Cause
from clicklake.logs.inputs import SourcePlan
from clicklake.run.landing import Landed
from clicklake.schemas import BAD_FILES
from clicklake.storage import FileInfo


@dataclass(frozen=True)
class BadFile:
    """A row of `bad_files`."""

    source: str
    file: str
    size: int
    reason: str
    first_run: str = ""
    last_run: str = ""

    def is_as(self, other: BadFile | None) -> bool:
        """Whether it is as bad as before."""
        return other is not None and (self.size, self.reason) == (other.size, other.reason)


Known = Mapping[tuple[str, str], BadFile]  # by source and file


def known(lake: Lake) -> dict[tuple[str, str], BadFile]:
    """The files that earlier runs have set aside."""
    rows = []
    for file in lake.manifest.files(BAD_FILES.name):
        info = FileInfo(file.path, file.bytes, "")
        with open_parquet(lake.storage, info) as content:
            rows += content.read().to_pylist()
    found = [BadFile(**row) for row in rows]
    return {(each.source, each.file): each for each in found}


def bad_files_in(
    landed: Landed, run_id: str, before: Known, causes: Mapping[tuple[str, str], Cause]
) -> list[BadFile]:
    """The bad files among those that were read, with the causes that show."""
    source = landed.planned.source
    sizes = {info.path: info.size for info in landed.planned.read}
    reasons = {s.file: s.refused for s in landed.summaries if s.refused and s.damaged}
    bad = [
        BadFile(
            source, path, sizes[path], _told(reason, causes.get((source, path))), run_id, run_id
        )
        for path, reason in sorted(reasons.items())
    ]
    return [_since(each, before.get((source, each.file))) for each in bad]


def _told(reason: str, cause: Cause | None) -> str:
    return f"{reason}. {cause}" if cause else reason


def _since(bad: BadFile, before: BadFile | None) -> BadFile:
    return replace(bad, first_run=before.first_run) if before else bad


def may_be_set_aside(
    bad: Collection[BadFile], planned: SourcePlan, before: Known, limit: float
) -> bool:
    """Whether they are few enough. Files that were set aside before do not count again."""
    new = [info for info in planned.read if (planned.source, info.path) not in before]
    new_and_bad = [each for each in bad if (each.source, each.file) not in before]
    return len(new_and_bad) <= limit * len(new)


def without(planned: SourcePlan, bad: Collection[BadFile]) -> SourcePlan:
    """What is left to be read; of a file that had grown, its old rows stay."""
    paths = {each.file for each in bad}
    return replace(
        planned,
        read=tuple(info for info in planned.read if info.path not in paths),
        grown=tuple(path for path in planned.grown if path not in paths),
    )
