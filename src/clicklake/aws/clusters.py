"""Our clusters and their steps as EMR shows them, found by tag: no state is kept on the laptop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from clicklake.aws.client import Aws
from clicklake.aws.names import TAG, Deployment

LIVE = ("STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING")
ENDING = ("TERMINATING",)
ENDED = ("TERMINATED", "TERMINATED_WITH_ERRORS")
WITH_MACHINES = ("BOOTSTRAPPING", "RUNNING", "WAITING")
STEP_ENDED = ("COMPLETED", "CANCELLED", "FAILED", "INTERRUPTED")


@dataclass(frozen=True)
class Status:
    """A state, and what EMR says about how it came about."""

    state: str
    code: str = ""
    message: str = ""

    @classmethod
    def of(cls, status: dict[str, Any]) -> Status:
        failure = status.get("FailureDetails") or {}
        change = status.get("StateChangeReason") or {}
        said = [failure.get("Message"), change.get("Message"), *_details(status)]
        return cls(
            state=status["State"],
            code=failure.get("Reason") or change.get("Code") or "",
            message="; ".join(dict.fromkeys(text for text in said if text)),
        )


def _details(status: dict[str, Any]) -> list[str]:
    """The readable parts of a cluster's ErrorDetails."""
    return [
        f"{detail.get('ErrorCode', '')} {detail.get('ErrorMessage', '')}".strip()
        for detail in status.get("ErrorDetails") or ()
    ]


@dataclass(frozen=True)
class Cluster:
    id: str
    status: Status
    created: datetime
    auto_terminate: bool
    protected: bool = False
    was_ready: bool = False

    @property
    def live(self) -> bool:
        return self.status.state in LIVE


@dataclass(frozen=True)
class Step:
    id: str
    status: Status
    created: datetime
    arguments: tuple[str, ...] = ()
    was_started: bool = False

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Step:
        status = answer["Status"]
        return cls(
            id=answer["Id"],
            status=Status.of(status),
            created=status["Timeline"]["CreationDateTime"],
            arguments=tuple(answer.get("Config", {}).get("Args") or ()),
            was_started="StartDateTime" in status["Timeline"],
        )

    @property
    def ended(self) -> bool:
        return self.status.state in STEP_ENDED


def find(aws: Aws, own: Deployment, states: tuple[str, ...] = ()) -> Iterator[Cluster]:
    """Clusters with our tag, the newest first; only those in `states`, if any are given."""
    wanted = {"ClusterStates": list(states)} if states else {}
    listed = aws.items("emr", "list_clusters", "Clusters", **wanted)
    named = [each for each in listed if each["Name"] == own.name]
    named.sort(key=lambda each: each["Status"]["Timeline"]["CreationDateTime"], reverse=True)
    for each in named:
        tags, cluster = _describe(aws, each["Id"])
        if tags.get(TAG) == own.name:
            yield cluster


def see(aws: Aws, cluster_id: str) -> Cluster:
    return _describe(aws, cluster_id)[1]


def _describe(aws: Aws, cluster_id: str) -> tuple[dict[str, str], Cluster]:
    answer = aws.call("emr", "describe_cluster", ClusterId=cluster_id)["Cluster"]
    tags = {tag["Key"]: tag["Value"] for tag in answer.get("Tags") or ()}
    return tags, Cluster(
        id=answer["Id"],
        status=Status.of(answer["Status"]),
        created=answer["Status"]["Timeline"]["CreationDateTime"],
        auto_terminate=bool(answer.get("AutoTerminate")),
        protected=bool(answer.get("TerminationProtected")),
        was_ready="ReadyDateTime" in answer["Status"]["Timeline"],
    )


def steps(aws: Aws, cluster_id: str) -> list[Step]:
    """The cluster's steps, the newest first, as EMR lists them."""
    listed = aws.items("emr", "list_steps", "Steps", ClusterId=cluster_id)
    return [Step.of(each) for each in listed]


def see_step(aws: Aws, cluster_id: str, step_id: str) -> Step:
    return Step.of(aws.call("emr", "describe_step", ClusterId=cluster_id, StepId=step_id)["Step"])


def bootstrap_arguments(aws: Aws, cluster_id: str) -> list[str]:
    actions = aws.items("emr", "list_bootstrap_actions", "BootstrapActions", ClusterId=cluster_id)
    return [argument for action in actions for argument in action.get("Args", [])]
