"""What follows a commit: the report, SQL databases and CSV files."""

from __future__ import annotations

from typing import Any

from clicklake import publish, report
from clicklake.config import Config
from clicklake.lake import snapshot
from clicklake.lake.metrics import RunMetrics, committed
from clicklake.progress import Reporter
from clicklake.storage import Storage


def publish_newest(
    config: Config, storage: Storage, metrics: RunMetrics, reporter: Reporter
) -> dict[str, Any]:
    """Report and publish the lake's newest run; what is up to date already is left alone."""
    if metrics.is_committed:
        with reporter.stage("write report"):
            report.write(storage, metrics, reporter.warn)
    current = snapshot(storage)
    if not current.run_id:
        return {}
    with reporter.stage("publish"):
        published = publish.publish(current, config, committed(storage))
    for outcome in published.values():
        for warning in outcome.get("warnings", []):
            reporter.warn(f"{outcome['to']}: {warning}")
    return published
