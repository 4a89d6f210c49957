"""The lake of a configuration, held for writing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from clicklake import engines
from clicklake.config import Config
from clicklake.lake import Lake, lease, no_lake
from clicklake.lake.retention import Retention
from clicklake.progress import Reporter
from clicklake.storage import open_storage


@contextmanager
def held(config: Config, reporter: Reporter, *, rebuild: bool = False) -> Iterator[Lake]:
    """Hold the lake's lease and open it; what an earlier run left undone is done first.

    Raises LeaseHeldError if another run has it, DamagedError if its state is not what was written.
    """
    engines.use_keys(config.aws)
    storage = open_storage(config.datalake.output_data)
    retention = Retention(config.datalake.retain_hours, config.datalake.retain_runs)
    with lease.held(storage) as taken_over:
        lake = Lake(storage, retention)
        finished = lake.open(fence=taken_over, rebuild=rebuild)
        if finished:
            reporter.say(f"finished run {finished}, which had been cut off while it was published")
        yield lake


def refuse_if_none(lake: Lake) -> None:
    """Raises InputError where no lake is."""
    if not lake.manifest.run_id:
        raise no_lake(lake.storage.root)
