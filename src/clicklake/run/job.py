"""A run: list, parse, compute, audit, commit. The wiring of everything else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

from clicklake import engines
from clicklake.config import Config
from clicklake.engines import Engine
from clicklake.lake import Lake, lease
from clicklake.lake.metrics import RunMetrics
from clicklake.logs import inputs
from clicklake.progress import Reporter
from clicklake.run import plan as plans
from clicklake.run.execution import Execution
from clicklake.run.options import Options
from clicklake.run.publication import publish_newest
from clicklake.run.summary import nothing_new
from clicklake.storage import open_storage

__all__ = ["Options", "run"]


def run(
    config: Config, options: Options, reporter: Reporter, running: Engine | None = None
) -> RunMetrics:
    """Bring the lake up to date with its inputs; the run's metrics.

    `running`: an engine to use and to leave running; without one, one is started.
    Raises a ClicklakeError of the kind that fits; the lake is then as it was.
    """
    engines.use_keys(config.aws)
    began = time.monotonic()
    storage = open_storage(config.datalake.output_data)
    with lease.held(storage) as taken_over:
        lake = Lake(storage)
        finished = lake.open(fence=taken_over, rebuild=options.rebuild)
        if finished:
            reporter.say(f"finished run {finished}, which had been cut off while it was published")
        with reporter.stage("list inputs"):
            plan = plans.make(config, options, lake)
        plans.tell(plan, reporter)
        if plan.is_idle:
            metrics = nothing_new(options, lake, plan, began)
        else:
            work_mb = plans.text_mb(plan, lake.manifest)
            starting = (
                nullcontext(running) if running else _started(config, options, reporter, work_mb)
            )
            with starting as engine:
                metrics = Execution(config, options, lake, plan, engine, reporter, began).run()
        if options.publish:
            published = publish_newest(config, storage, metrics, reporter)
            metrics = replace(metrics, published=published)
        return replace(metrics, seconds=round(time.monotonic() - began, 3))


@contextmanager
def _started(
    config: Config, options: Options, reporter: Reporter, work_mb: int
) -> Iterator[Engine]:
    with reporter.stage("start engine"):
        name = engines.choose(options.engine)
        running = engines.start(
            name,
            memory_mb=config.job.memory_mb,
            work_mb=work_mb,
            uses_s3=inputs.is_remote(config),
        )
    try:
        yield running
    finally:
        running.stop()
