"""Following a step to its end. EMR's own waiters give up after 30 minutes; this one does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from clicklake.aws import clusters
from clicklake.aws.client import Aws, UnreachableError
from clicklake.aws.clusters import Cluster, Step
from clicklake.aws.console import Console
from clicklake.errors import ClicklakeError

ENDING_SECONDS = 1800  # some minutes are usual


class StoppedError(ClicklakeError):
    """The user or the clock ended the waiting; the cluster goes on."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Clock:
    """Time, so that tests can bring their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Outcome:
    """A step that has ended, or whose cluster has, and how long it was followed."""

    cluster: Cluster
    step: Step
    seconds: float
    seen: frozenset[str] = frozenset()  # states of the cluster

    @property
    def had_machines(self) -> bool:
        """Whether machines of the cluster have run, so that there may be logs."""
        return (
            self.cluster.was_ready
            or self.step.was_started
            or self.step.status.state == "FAILED"
            or self.cluster.status.code == "BOOTSTRAP_FAILURE"
            or not self.seen.isdisjoint(clusters.WITH_MACHINES)
        )

    @property
    def succeeded(self) -> bool:
        return self.step.status.state == "COMPLETED"


def follow(
    aws: Aws,
    cluster_id: str,
    step_id: str,
    console: Console,
    clock: Clock,
    *,
    every: float,
    limit: float,
) -> Outcome:
    """Show each change of state until the step has ended; seconds between looks and in all.

    Raises StoppedError with exit code 124 at the limit, 130 when interrupted.
    """
    begun, shown, seen = clock.now(), "", set()
    try:
        while True:
            elapsed = clock.now() - begun
            try:
                cluster = clusters.see(aws, cluster_id)
                step = clusters.see_step(aws, cluster_id, step_id)
            except UnreachableError:
                console.live(f"{duration(elapsed)}  AWS does not answer; trying again")
            else:
                line = f"cluster {cluster.status.state}, step {step.status.state}"
                show = console.live if line == shown else console.say
                show(f"{duration(elapsed):>8}  {line}")
                shown = line
                seen.add(cluster.status.state)
                if step.ended or cluster.status.state in clusters.ENDED:
                    return Outcome(cluster, step, elapsed, frozenset(seen))
            if elapsed >= limit:
                raise StoppedError(_still_running("Timeout", cluster_id, aws.region), 124)
            clock.sleep(min(every, limit))
    except KeyboardInterrupt:
        raise StoppedError(_still_running("Interrupted", cluster_id, aws.region), 130) from None


def _still_running(why: str, cluster_id: str, region: str) -> str:
    return (
        f"{why}: cluster {cluster_id} goes on with the job. See it: deploy.py status. "
        f"Go on waiting: deploy.py up. Stop it: deploy.py down, or: "
        f"aws emr terminate-clusters --region {region} --cluster-ids {cluster_id}"
    )


def end(
    aws: Aws, cluster_id: str, console: Console, clock: Clock, *, every: float, fully: bool
) -> Cluster:
    """See to it that a cluster ends; `fully` waits until its machines are gone."""
    cluster = clusters.see(aws, cluster_id)
    if cluster.live:
        ids = [cluster_id]
        if cluster.protected:
            operation = "set_termination_protection"
            aws.call("emr", operation, JobFlowIds=ids, TerminationProtected=False)
        aws.call("emr", "terminate_job_flows", JobFlowIds=ids)
    gone = clusters.ENDED if fully else clusters.ENDED + clusters.ENDING
    begun, shown = clock.now(), ""
    while (cluster := clusters.see(aws, cluster_id)).status.state not in gone:
        if cluster.status.state != shown:
            shown = cluster.status.state
            console.say(f"          cluster {cluster_id} {shown}; waiting for its end")
        if clock.now() - begun > ENDING_SECONDS:
            raise StoppedError(f"Cluster {cluster_id} is still {shown}. Go on: deploy.py down", 124)
        clock.sleep(every)
    return cluster


def duration(seconds: float) -> str:
    """
    >>> duration(59), duration(61), duration(3600 + 62)
    ('59s', '1m01s', '1h01m')
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
