"""What a call of the deployer is told, and what it then plans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from clicklake.aws import prices
from clicklake.aws.client import Aws
from clicklake.aws.clusters import Cluster
from clicklake.aws.console import Console
from clicklake.aws.desired import Network, Resource
from clicklake.aws.launch import Launch
from clicklake.aws.names import Deployment
from clicklake.aws.package import Upload
from clicklake.aws.plan import Change
from clicklake.aws.progress import Clock
from clicklake.config import Cluster as Settings


@dataclass(frozen=True)
class Options:
    """What the command line says, besides what the configuration does."""

    launch: Launch
    detach: bool = False
    timeout_seconds: float = 0
    yes: bool = False
    delete_data: bool = False
    typed_name: str = ""
    schedule: str = ""  # when the job is to run, in EventBridge's words


@dataclass(frozen=True)
class Groundwork:
    """All that a cluster stands on: what is there of it, what is missing, and what it costs."""

    changes: list[Change]
    architecture: str
    estimate: prices.Estimate
    files: list[Upload]
    network: Network


@dataclass(frozen=True)
class DeploymentPlan(Groundwork):
    """Everything that `up` would do, and the live cluster that it would go on with."""

    cluster: Change
    live: Cluster | None
    step_id: str | None
    wanted: Resource


@dataclass(frozen=True)
class Desk:
    """What a call works with."""

    aws: Aws
    own: Deployment
    settings: Settings
    options: Options
    console: Console
    clock: Clock


Result = dict[str, Any]
