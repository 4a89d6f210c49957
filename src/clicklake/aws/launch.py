"""The cluster that runs the job: its machines, its step, its release."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from clicklake.aws.clusters import Step
from clicklake.aws.desired import (
    Call,
    Network,
    Resource,
    render,
    security_configuration,
)
from clicklake.aws.names import EMR_TAG, Deployment, tag_pairs
from clicklake.aws.package import DEPLOY, POINTER, Upload
from clicklake.config import Cluster
from clicklake.errors import ConfigError

HOME = "/opt/clicklake"  # as in deploy/bootstrap.sh


_CONFIGURATION = ("--config", f"{HOME}/dl.cfg")
SPOT_WAIT_MINUTES = 10


@dataclass(frozen=True)
class Launch:
    """What `up` was told on the command line about the cluster, and the job's own arguments."""

    release: str
    keep_alive: bool = False
    on_demand: bool = False
    job: tuple[str, ...] = ()


def cluster(
    own: Deployment,
    settings: Cluster,
    launch: Launch,
    network: Network,
    files: list[Upload],
    *,
    newest: bool = False,
) -> Resource:
    """The cluster with the job as its step, from deploy/cluster.json.

    `newest`: it runs what the pointer names by then, not these files.
    """
    template = json.loads((DEPLOY / "cluster.json").read_text())
    tags = cluster_tags(own)
    request: dict[str, Any] = render(
        template,
        {
            "name": own.name,
            "release": launch.release,
            "region": own.region,
            "home": HOME,
            "logs": own.logs.uri() + "/",
            "service_role": own.service_role,
            "instance_profile": own.instance_role,
            "security_configuration": security_configuration(own).name,
            "fleets": fleets(settings, launch),
            "subnets": list(network.subnets),
            "keep_alive": launch.keep_alive,
            "bootstrap_arguments": (
                [own.code.uri(POINTER)] if newest else bootstrap_arguments(own, files)
            ),
            "steps": [step(own, [] if newest else files, launch.job, keep_alive=launch.keep_alive)],
            "tags": tag_pairs(tags),
            **_addresses(own, files),
        },
    )
    if settings.task_nodes:
        request["ManagedScalingPolicy"] = scaling(settings, launch)
    if launch.keep_alive:
        request["AutoTerminationPolicy"] = {"IdleTimeout": settings.idle_minutes * 60}
    # EMR sees a new instance profile some seconds after IAM has made it.
    run = Call("emr", "run_job_flow", request, retry_on="Invalid InstanceProfile")
    return Resource("cluster", own.name, run, tags=tags)


def cluster_tags(own: Deployment) -> dict[str, str]:
    return {**own.tags, EMR_TAG: "true"}


def bootstrap_arguments(own: Deployment, files: list[Upload]) -> list[str]:
    """What a machine of the cluster was set up with; another job may run there if equal."""
    at = _addresses(own, files)
    return [at["wheels"], at["configuration"]]


def step(
    own: Deployment, files: list[Upload], job: tuple[str, ...] = (), *, keep_alive: bool
) -> dict[str, Any]:
    """The job as a step. In client mode its log is the step's own stderr.

    Without `files` it is what the bootstrap script has put onto the machines.
    """
    there = {"code": f"{HOME}/clicklake.zip", "entry_script": f"{HOME}/etl.py"}
    at = _addresses(own, files) or there
    arguments = ["spark-submit", "--deploy-mode", "client", "--py-files", at["code"]]
    arguments += [at["entry_script"], *job, *_CONFIGURATION]
    return {
        "Name": own.name,
        "ActionOnFailure": "CANCEL_AND_WAIT" if keep_alive else "TERMINATE_CLUSTER",
        "HadoopJarStep": {"Jar": "command-runner.jar", "Args": arguments},
    }


def check_same_job(cluster_id: str, going: Step, job: tuple[str, ...]) -> None:
    """Raise ConfigError if `job` asks for something else than the running step was started with."""
    words = going.arguments
    script = next((at for at, word in enumerate(words) if word.endswith("/etl.py")), len(words))
    if job and words[script + 1 : -len(_CONFIGURATION)] != job:
        raise ConfigError(
            f"Cluster {cluster_id} is at its step {going.id}, which was not started with: "
            f"{' '.join(job)}. Wait for it (deploy.py up) or end it (deploy.py down) first."
        )


def _addresses(own: Deployment, files: list[Upload]) -> dict[str, str]:
    return {each.what.replace(" ", "_"): own.code.uri(each.key) for each in files}


def fleets(settings: Cluster, launch: Launch) -> list[dict[str, Any]]:
    """Primary and core on demand, as losing one loses the run; task machines on Spot."""
    on_demand = {"OnDemandSpecification": {"AllocationStrategy": "prioritized"}}
    # The other TimeoutAction ends the cluster.
    spot = {
        "SpotSpecification": {
            "AllocationStrategy": "price-capacity-optimized",
            "TimeoutDurationMinutes": SPOT_WAIT_MINUTES,
            "TimeoutAction": "SWITCH_TO_ON_DEMAND",
        }
    }

    def fleet(role: str, market: str, units: int, how: dict[str, Any]) -> dict[str, Any]:
        types = settings.primary_types if role == "MASTER" else settings.worker_types
        machines = [_machine(name, settings.worker_disk_gb) for name in types]
        if market == "OnDemand":  # the types are named best first, which is 0
            machines = [{**each, "Priority": float(at)} for at, each in enumerate(machines)]
        return {
            "Name": {"MASTER": "primary"}.get(role, role.lower()),
            "InstanceFleetType": role,
            f"Target{market}Capacity": units,
            "InstanceTypeConfigs": machines,
            "LaunchSpecifications": how,
        }

    made = [
        fleet("MASTER", "OnDemand", 1, on_demand),
        fleet("CORE", "OnDemand", settings.core_nodes, on_demand),
    ]
    if uses_spot(settings, launch):
        made.append(fleet("TASK", "Spot", settings.task_nodes, spot))
    elif settings.task_nodes:
        made.append(fleet("TASK", "OnDemand", settings.task_nodes, on_demand))
    return made


def _machine(name: str, disk_gb: int) -> dict[str, Any]:
    volume = {"VolumeSpecification": {"VolumeType": "gp3", "SizeInGB": disk_gb}}
    return {
        "InstanceType": name,
        "WeightedCapacity": 1,
        "EbsConfiguration": {"EbsBlockDeviceConfigs": [{**volume, "VolumesPerInstance": 1}]},
    }


def uses_spot(settings: Cluster, launch: Launch) -> bool:
    return bool(settings.task_nodes) and not launch.on_demand


def scaling(settings: Cluster, launch: Launch) -> dict[str, Any]:
    """Between the core machines alone and all; what comes and goes are task machines.

    EMR takes machines on demand up to their limit before it takes any on Spot.
    """
    most = settings.core_nodes + settings.task_nodes
    return {
        "ComputeLimits": {
            "UnitType": "InstanceFleetUnits",
            "MinimumCapacityUnits": settings.core_nodes,
            "MaximumCapacityUnits": most,
            "MaximumOnDemandCapacityUnits": most if launch.on_demand else settings.core_nodes,
            "MaximumCoreCapacityUnits": settings.core_nodes,
        }
    }
