"""New rows: parsed once, counted, and put into staging, in buckets by person."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from clicklake import buckets
from clicklake.buckets import ALL_USERS, Buckets, UserPartition
from clicklake.engines import Engine
from clicklake.lake import Month
from clicklake.lake.tables import Tables
from clicklake.logs.files import text_bytes
from clicklake.logs.inputs import SourcePlan
from clicklake.logs.schema import landing_schema
from clicklake.logs.source import LogSource, reader_options
from clicklake.logs.summary import SplitSummary
from clicklake.parse.sources import SOURCES
from clicklake.schemas import CLICKSTREAM

_BUCKET_BYTES = 64 << 20  # of text, whose rows are put into a bucket of users
_BUCKETS = 64  # of users, at most


@dataclass(frozen=True)
class Landed:
    """A source's new rows, in staging, and what was counted while they were parsed.

    `buckets`: events by person; all else, and events that are in no bucket, in `NO_PERSON`.
    """

    planned: SourcePlan
    tables: Tables
    buckets: Buckets
    bucket_count: int

    @cached_property
    def summaries(self) -> list[SplitSummary]:
        found = self._others().where(F.col("_summary").isNotNull()).select("_summary").collect()
        return [SplitSummary(**json.loads(row["_summary"])) for row in found]

    def _rows(self, paths: list[str]) -> DataFrame:
        return self.tables.read(landing_schema(self.planned.source), paths)

    def _others(self) -> DataFrame:
        """The files with what is no event: summaries and quarantined rows, perhaps events."""
        return self._rows([info.path for info in self.buckets.get(buckets.NO_PERSON, ())])

    def events(self, part: UserPartition = ALL_USERS) -> DataFrame:
        """The rows that may be kept, of all persons or of a part of them."""
        is_event = F.col("_reason").isNull() & F.col("_summary").isNull()
        names = SOURCES[self.planned.source].schema.names
        return self._rows(self._paths_of(part)).where(is_event).select(*names)

    def quarantined(self) -> DataFrame:
        """The rows that were turned away; `_line` counts from the start of their split."""
        return self._others().where(F.col("_reason").isNotNull())

    def _paths_of(self, part: UserPartition) -> list[str]:
        """The files with a part's rows, of as many parts as divide the number of buckets."""
        return [
            info.path
            for number, infos in self.buckets.items()
            for info in infos
            if part == ALL_USERS
            or (number != buckets.NO_PERSON and number % part.count == part.number)
        ]

    @property
    def bytes(self) -> int:
        return sum(info.size for infos in self.buckets.values() for info in infos)

    @cached_property
    def months(self) -> set[Month]:
        return {(year, month) for split in self.summaries for year, month in split.months}

    def total(self, counter: str) -> int:
        return sum(getattr(split, counter) for split in self.summaries)

    @property
    def good(self) -> int:
        """Rows that are neither filtered nor quarantined."""
        return self.total("read") - self.total("filtered") - self.total("quarantined")

    @property
    def reasons(self) -> dict[str, int]:
        """The quarantined rows by reason."""
        counts: dict[str, int] = {}
        for reasons in self.reasons_by_file.values():
            for reason, count in reasons.items():
                counts[reason] = counts.get(reason, 0) + count
        return dict(sorted(counts.items()))

    @property
    def reasons_by_file(self) -> dict[str, dict[str, int]]:
        """The quarantined rows of every file that has some, by reason."""
        counts: dict[str, dict[str, int]] = {}
        for split in self.summaries:
            for reason, count in split.reasons.items():
                reasons = counts.setdefault(split.file, {})
                reasons[reason] = reasons.get(reason, 0) + count
        return counts

    @property
    def refused_before(self) -> int:
        """How many of the rows were in the quarantine already."""
        return sum(sum(reasons.values()) for reasons in self.planned.refused.values())


@dataclass(frozen=True)
class Reading:
    """How a source's new files are read. `options`: for the readers, beside where rows go.

    `folder`: of staging, for what is read.
    """

    planned: SourcePlan
    tables: Tables
    engine: Engine
    options: dict[str, Any]
    partitioning: buckets.Partitioning
    folder: str = "landing"

    def landed(self) -> Landed:
        found = self.engine.land(self) if self.planned.read else {}
        return Landed(self.planned, self.tables, found, self.bucket_count)

    @property
    def _folder(self) -> str:
        return f"{self.folder}/{self.planned.source}"

    def by_readers(self) -> Buckets:
        into = f"{self._folder}-buckets"
        others = self.tables.write(self._read(into), self._folder)
        return {buckets.NO_PERSON: others, **buckets.staged_buckets(self.tables, into)}

    def by_exchange(self) -> Buckets:
        """The clickstream alone is brought into buckets; the others' rows stay as they come."""
        if self.planned.source == CLICKSTREAM.name:
            return buckets.write(
                self.tables, self._read(), self._folder, self.partitioning, self.engine.shuffled
            )
        return {buckets.NO_PERSON: self.tables.write(self._read(), self._folder)}

    @property
    def bucket_count(self) -> int:
        """How many buckets a source's rows are put into by their readers."""
        if self.planned.source == CLICKSTREAM.name:
            return self.partitioning.buckets
        text = sum(text_bytes(info.path, info.size) for info in self.planned.read)
        return power_of_two(min(text // _BUCKET_BYTES, _BUCKETS))

    def _read(self, into: str | None = None) -> DataFrame:
        """What the readers yield; `into`: a folder of staging for events in buckets."""
        given = reader_options(
            self.planned.source,
            self.planned.folder.storage.root,
            self.planned.read,
            tasks=self.engine.reader_tasks,
            lake=self.tables.storage.root,
            into=(self.tables.folder(into), self.bucket_count) if into else None,
            **self.options,
        )
        session = self.tables.session
        return session.read.format(LogSource.name()).options(**given).load()


def power_of_two(number: int) -> int:
    """The greatest one that is not more, or 1."""
    return 1 << max(0, number.bit_length() - 1)
