"""What follows a commit: the report, SQL databases, CSV files and the catalog."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from clicklake import catalog, publish, report
from clicklake.config import Config
from clicklake.lake import snapshot
from clicklake.lake.metrics import RunMetrics, StageTime, committed
from clicklake.progress import Reporter
from clicklake.storage import Storage


def publish_newest(
    config: Config, storage: Storage, metrics: RunMetrics, reporter: Reporter, began: float
) -> RunMetrics:
    """Publish and report the lake's newest run; what is up to date already is left alone.

    `began`: when the run began, by the monotonic clock. Returns the run's metrics with what was
    published, its stages and the seconds until here. Raises the error of a destination, once the
    report is written.
    """
    done = metrics
    try:
        done = replace(metrics, published=_published(config, storage, reporter))
    finally:
        done = _timed(done, reporter, began)
        if metrics.is_committed:
            with reporter.stage("write report"):
                report.write(storage, done, reporter.warn, config.report.time_zone)
    return done


def _published(config: Config, storage: Storage, reporter: Reporter) -> dict[str, Any]:
    current = snapshot(storage)
    if not current.run_id:
        return {}
    # Beside each other: reading the catalog's library takes as long as a small database.
    with reporter.stage("publish"), ThreadPoolExecutor(1) as beside:
        shown = beside.submit(catalog.publish, current, config)
        published = publish.publish(current, config, committed(storage))
        if outcome := shown.result():
            published["catalog"] = outcome
    for outcome in published.values():
        for warning in outcome.get("warnings", []):
            reporter.warn(f"{outcome['to']}: {warning}")
    return published


def _timed(metrics: RunMetrics, reporter: Reporter, began: float) -> RunMetrics:
    stages = tuple(StageTime(stage.name, stage.seconds, stage.rows) for stage in reporter.stages)
    return replace(metrics, stages=stages, total_seconds=round(time.monotonic() - began, 3))
