"""A run on a cluster, to its end: followed, the cluster seen to, and told how it went."""

from __future__ import annotations

from dataclasses import replace

from clicklake.aws import progress, quotas, report
from clicklake.aws.clusters import Cluster
from clicklake.aws.options import Desk, Result
from clicklake.aws.progress import Outcome
from clicklake.aws.words import ended_as
from clicklake.errors import CapacityError


def finish(desk: Desk, cluster_id: str, step_id: str) -> Result:
    """Follow the step to its end, end the cluster, and say how it went."""
    every = desk.settings.poll_seconds
    outcome = progress.follow(
        desk.aws,
        cluster_id,
        step_id,
        desk.console,
        desk.clock,
        every=every,
        limit=desk.options.timeout_seconds,
    )
    if not outcome.succeeded:
        desk.console.error(report.failure(outcome))
    if outcome.cluster.auto_terminate:
        outcome = replace(outcome, cluster=end(desk, cluster_id, fully=False))
    else:
        desk.console.say(
            f"Cluster {cluster_id} is kept alive, and costs money, until it was idle for "
            f"{desk.settings.idle_minutes} minutes. End it: deploy.py down"
        )
    return _succeeded(desk, outcome) if outcome.succeeded else _failed(desk, outcome)


def end(desk: Desk, cluster_id: str, *, fully: bool) -> Cluster:
    """See to it that a cluster ends; `fully` waits until its machines are gone."""
    every = desk.settings.poll_seconds
    return progress.end(desk.aws, cluster_id, desk.console, desk.clock, every=every, fully=fully)


def _succeeded(desk: Desk, outcome: Outcome) -> Result:
    found = report.metrics(desk.aws, desk.own, since=outcome.step.created)
    desk.console.say(report.success(desk.own, outcome, found, desk.options.launch.job))
    return {**ended_as(outcome), "status": "completed", "metrics": found, "exit_code": 0}


def _failed(desk: Desk, outcome: Outcome) -> Result:
    """Its reason was told; what can be done about it, and what the log says where there is one."""
    code, text = report.exit_code(outcome), ""
    if code == CapacityError.exit_code:
        desk.console.error(quotas.advice(desk.aws, desk.settings, desk.options.launch))
    if outcome.had_machines:
        wait = desk.settings.log_wait_seconds
        text = report.failure_log(desk.aws, desk.own, outcome, desk.console, desk.clock, wait=wait)
        desk.console.error(report.from_log(text))
    return {
        **ended_as(outcome),
        "status": "failed",
        "cause": report.probable_cause(text),
        "log_tail": report.tail(text),
        "exit_code": code,
    }
