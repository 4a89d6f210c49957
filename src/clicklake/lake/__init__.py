"""The lake: its state on disk, its commits, and the files of its tables."""

from clicklake.lake.commits import Change, Lake
from clicklake.lake.ledger import Ledger, LedgerFile
from clicklake.lake.manifest import (
    Definition,
    LiveFile,
    Manifest,
    Month,
    month_of,
    partition_values,
)
from clicklake.lake.places import MANIFEST, RUNS, STAGING, STATE_FOLDER
from clicklake.lake.snapshot import Snapshot, no_lake, open_snapshot, snapshot

__all__ = [
    "MANIFEST",
    "RUNS",
    "STAGING",
    "STATE_FOLDER",
    "Change",
    "Definition",
    "Lake",
    "Ledger",
    "LedgerFile",
    "LiveFile",
    "Manifest",
    "Month",
    "Snapshot",
    "month_of",
    "no_lake",
    "open_snapshot",
    "partition_values",
    "snapshot",
]
