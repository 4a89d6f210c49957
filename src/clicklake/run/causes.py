"""Why files are bad, and what else of a source's files a person should know of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

from clicklake.logs.diagnosis import Cause, Head, cause_of, environments
from clicklake.logs.sampling import head_of
from clicklake.parse import fields
from clicklake.parse.rows import Source
from clicklake.parse.sources import SOURCES
from clicklake.run.landing import Landed
from clicklake.storage import FileInfo

MOST = 10  # files of a source that are looked at again

Causes = Mapping[tuple[str, str], Cause]  # by source and file


@dataclass(frozen=True)
class Looking:
    """How files are looked at again. `as_of`: the run's date. `sources`: in their shapes."""

    as_of: date
    multiline: bool
    sources: Mapping[str, Source] = field(default_factory=lambda: SOURCES)

    def head(self, landed: Landed, info: FileInfo) -> Head:
        folder = landed.planned.folder
        source = self.sources[folder.source]
        time_range = fields.time_range(self.as_of)
        return head_of(folder.storage_of(info), info, source, time_range, multiline=self.multiline)

    def causes(self, landed: Landed) -> dict[tuple[str, str], Cause]:
        """The causes that show of the files that are damaged or mostly bad, the worst first."""
        infos = {info.path: info for info in landed.planned.read}
        found = {}
        for path in _worst(landed)[:MOST]:
            cause = cause_of(self.head(landed, infos[path]))
            if cause:
                found[landed.planned.source, path] = cause
        return found

    def notes(self, landed: Landed, causes: Causes) -> Iterator[str]:
        """What is worth a person's look in files that are taken."""
        source = landed.planned.source
        bad = _bad_rows(landed)
        for path in _worst(landed):
            if (cause := causes.get((source, path))) and path in bad:
                yield f"{source}: {bad[path]:,} rows of {path} are refused. {cause}"
        headed = sorted({split.file for split in landed.summaries if split.has_header})
        if headed:
            yield (
                f"{source}: {len(headed):,} files begin with a header, such as {headed[0]}. "
                "This source has none: the line counts as a filtered row. Leave it out, and see "
                "that the columns are in the right order."
            )
        if 0 < landed.total("read") == landed.total("filtered"):
            yield self._all_filtered(landed)

    def _all_filtered(self, landed: Landed) -> str:
        source, read = landed.planned.source, landed.total("read")
        infos = [info for info in landed.planned.read if info.size][:MOST]
        counts: dict[str, int] = {}
        for info in infos:
            for value, count in environments(self.head(landed, info)):
                counts[value] = counts.get(value, 0) + count
        most = sorted(counts.items(), key=lambda item: -item[1])[:5]
        shown = ", ".join(f'"{value}" ({count:,})' for value, count in most)
        kept = self.sources[source].environment
        return (
            f"{source}: all {read:,} rows are filtered, so nothing of them is in the lake. Found "
            f'in a sample as environment: {shown}. Expected: "{kept}"; case counts. '
            f"To do: set [{source.upper()}] KEEP_ENVIRONMENT in dl.cfg, or take these files out."
        )


def _worst(landed: Landed) -> list[str]:
    """Files that are damaged, then those of which most rows are refused."""
    damaged = sorted({s.file for s in landed.summaries if s.refused and s.damaged})
    bad = _bad_rows(landed)
    return damaged + sorted(bad, key=lambda path: (-bad[path], path))


def _bad_rows(landed: Landed) -> dict[str, int]:
    """How many rows are refused, of the files of which most are."""
    read: dict[str, int] = {}
    for split in landed.summaries:
        read[split.file] = read.get(split.file, 0) + split.read
    bad = {path: sum(reasons.values()) for path, reasons in landed.reasons_by_file.items()}
    return {path: count for path, count in bad.items() if 2 * count > read[path]}
