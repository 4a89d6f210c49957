"""Plans, changes and outcomes as they are shown."""

from __future__ import annotations

from dataclasses import asdict
from importlib import metadata

from clicklake.aws.inventory import Found
from clicklake.aws.launch import Launch
from clicklake.aws.names import Deployment
from clicklake.aws.options import Result
from clicklake.aws.plan import Change
from clicklake.aws.progress import Outcome
from clicklake.config import Cluster as Settings
from clicklake.errors import ConfigError


def pyspark_version() -> str:
    """Of the pyspark in use, whole or client only."""
    for distribution in ("pyspark", "pyspark-client"):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    raise ConfigError("pyspark is not installed, so no EMR release can be chosen: see README.md")


def machines_of(settings: Settings, launch: Launch) -> str:
    primary, workers = ("|".join(t) for t in (settings.primary_types, settings.worker_types))
    market = "on demand" if launch.on_demand else "on Spot, as far as there are any"
    text = f"{launch.release}, 1 primary ({primary}) and {settings.core_nodes} core ({workers})"
    if settings.task_nodes:
        text += f" on demand, {settings.task_nodes} task {market}"
    ends = f"after {settings.idle_minutes} idle minutes" if launch.keep_alive else "with the job"
    return f"{text}; it ends {ends}"


def without_many_files(changes: list[Change]) -> list[Change]:
    """The plan for people: the input files in one line for each action."""
    files = [change for change in changes if change.kind == "input file"]
    shown = [change for change in changes if change.kind != "input file"]
    for action in dict.fromkeys(change.action for change in files):
        count = sum(change.action == action for change in files)
        which = "that INPUT_DATA no longer has" if action == "delete" else "of INPUT_DATA"
        shown.append(Change(action, "input files", f"{count} {which}"))
    return shown


def as_json(change: Change) -> Result:
    facts = {key: getattr(change, key) for key in ("action", "kind", "name", "note", "tags")}
    facts["calls"] = [f"{call.service}.{call.operation}" for call in change.calls]
    return facts


def ended_as(outcome: Outcome) -> Result:
    return {
        "seconds": round(outcome.seconds),
        "cluster": asdict(outcome.cluster.status),
        "step": asdict(outcome.step.status),
    }


def kept_data(own: Deployment, kept: list[Found]) -> str:
    """What `down` leaves, and how it goes: with the name of the bucket that holds its data."""
    if not kept:
        return "Nothing of ours is left. Buckets that are not ours keep what they hold."
    lines = ["Kept, with the data:", *(f"  {each}" for each in kept)]
    buckets = [each.name for each in kept if each.kind == "bucket"]
    lines += [f"To remove it: deploy.py down --delete-data --yes {name}" for name in buckets]
    return "\n".join(lines)


def where_it_is(own: Deployment) -> Result:
    """A deployment's account and places."""
    return {
        "name": own.name,
        "account": own.account,
        "region": own.region,
        "lake": own.lake.uri(),
        "logs": own.logs.uri(),
    }
