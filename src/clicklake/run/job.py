"""A run: list, parse, compute, audit, commit. The wiring of everything else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from clicklake import engines
from clicklake.config import Config
from clicklake.engines import Engine
from clicklake.lake.metrics import RunMetrics
from clicklake.logs import inputs
from clicklake.progress import Reporter
from clicklake.run import plan as plans
from clicklake.run.execution import Execution
from clicklake.run.opening import held
from clicklake.run.options import Options
from clicklake.run.publication import publish_newest
from clicklake.run.summary import nothing_new

__all__ = ["Options", "run"]


def run(
    config: Config, options: Options, reporter: Reporter, running: Engine | None = None
) -> RunMetrics:
    """Bring the lake up to date with its inputs; the run's metrics.

    `running`: an engine to use and to leave running; without one, one is started.
    Raises a ClicklakeError of the kind that fits; the lake is then as it was.
    """
    began = time.monotonic()
    with held(config, reporter, rebuild=options.rebuild) as lake:
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
            metrics = publish_newest(config, lake.storage, metrics, reporter, began)
        return metrics


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
