"""What the steps of a run share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clicklake import buckets
from clicklake.buckets import ALL_USERS, UserPartition
from clicklake.config import Config
from clicklake.engines import Engine
from clicklake.lake import Lake, LiveFile
from clicklake.lake.tables import Tables
from clicklake.logs.diagnosis import Cause
from clicklake.progress import Reporter
from clicklake.run.bad_files import BadFile, Known
from clicklake.run.draft import Draft
from clicklake.run.landing import Landed, power_of_two
from clicklake.run.plan import RunPlan
from clicklake.schemas import Table

FEW_NEW = 0.1  # new rows for each row of a table, up to which its other rows are kept as they are


@dataclass
class Context:
    """`landed`: new rows by source. `bad`: files that are set aside, `bad_before`: that were.

    `causes`: why files are bad, as far as it shows. `notes`: what is worth a person's look.

    What steps leave beside tables: `documents` for the next run by name, `recommendation` for
    the run's metrics.
    """

    config: Config
    lake: Lake
    plan: RunPlan
    engine: Engine
    reporter: Reporter
    tables: Tables
    draft: Draft
    run_id: str
    partitioning: buckets.Partitioning
    landed: dict[str, Landed] = field(default_factory=dict)
    bad: list[BadFile] = field(default_factory=list)
    bad_before: Known = field(default_factory=dict)
    causes: dict[tuple[str, str], Cause] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    documents: dict[str, bytes] = field(default_factory=dict)
    recommendation: Mapping[str, Any] = field(default_factory=dict)

    def parts(self, table: Table) -> list[UserPartition]:
        """A source's persons in parts that are worked at one after the other, in less memory.

        A month gets a file of each: they are no more than `Tables` lets stand.
        """
        landed = self.landed.get(table.name)
        if landed is None:
            return [ALL_USERS]
        files = 4 * max(1, self.month_bytes(table) // self.tables.target_bytes)
        count = self.engine.parts(min(power_of_two(files), landed.bucket_count))
        return [UserPartition(number, count) for number in range(count)]

    def month_bytes(self, table: Table) -> int:
        """About what a month of a source's table takes that has new rows; 0 without any."""
        landed = self.landed.get(table.name)
        if landed is None:
            return 0
        known = self.draft.known(table).files(table.name, landed.months)
        return (landed.bytes + sum(file.bytes for file in known)) // max(1, len(landed.months))

    @staticmethod
    def are_few(new: Sequence[Landed], of: Sequence[LiveFile]) -> bool:
        """Whether new rows are so few that a table is not computed anew for them."""
        return sum(landed.good for landed in new) <= FEW_NEW * sum(file.rows for file in of)
