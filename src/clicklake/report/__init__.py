"""The report of a run: what it did with every row, for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from clicklake.errors import ClicklakeError
from clicklake.lake import RUNS, snapshot
from clicklake.lake.metrics import RunMetrics, of_run
from clicklake.report import facts, index, page
from clicklake.storage import THREADS, Storage

__all__ = ["write"]

SHOWN = 200  # runs that the index lists


def write(
    storage: Storage,
    metrics: RunMetrics,
    warn: Callable[[str], None],
    time_zone: str = "UTC",
) -> str | None:
    """Write a committed run's `report.html` beside its metrics, and the index of the runs.

    `time_zone`: whose days are counted by.
    Call it after the commit. It never fails: what goes wrong is told through `warn`, as a report
    is no reason to fail a run whose data is safe.
    Returns where the report is, None if it could not be written.
    """
    try:
        return _write(storage, metrics, time_zone)
    except Exception as error:
        # Other messages than our own may quote data.
        told = error if isinstance(error, ClicklakeError) else type(error).__name__
        warn(f"the run's report was not written: {told}")
        return None


def _write(storage: Storage, metrics: RunMetrics, time_zone: str) -> str:
    infos = [info.path for info in storage.list(RUNS)]
    ids = sorted(_ids(infos, "metrics.json"))
    earlier = _read(storage, [each for each in ids if each < metrics.run_id][-SHOWN + 1 :])
    found = facts.gather(snapshot(storage), metrics, time_zone)
    path = f"{RUNS}/{metrics.run_id}/report.html"
    storage.write(path, page.render(metrics, earlier, found).encode())
    reported = _ids(infos, "report.html") | {metrics.run_id}
    runs = [*earlier, metrics]
    listed = index.render(runs, reported, more=len(ids) - len(runs))
    storage.write(f"{RUNS}/index.html", listed.encode())
    return storage.uri(path)


def _ids(paths: Sequence[str], name: str) -> set[str]:
    return {path.split("/")[-2] for path in paths if path.endswith(f"/{name}")}


def _read(storage: Storage, ids: Sequence[str]) -> list[RunMetrics]:
    with ThreadPoolExecutor(THREADS) as pool:
        return [run for run in pool.map(partial(of_run, storage), ids) if run]
