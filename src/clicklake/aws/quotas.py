"""What to ask AWS for where a quota stops a cluster: which one, and how much of it."""

from __future__ import annotations

from clicklake.aws import network
from clicklake.aws.client import Aws
from clicklake.aws.launch import Launch, uses_spot
from clicklake.config import Cluster

# EC2's quotas of vCPUs; other families than the standard ones have quotas of their own.
STANDARD = "acdhimrtz"
ON_DEMAND = ("L-1216C47A", "Running On-Demand Standard instances")
SPOT = ("L-34B43A08", "All Standard Spot Instance Requests")


def advice(aws: Aws, settings: Cluster, launch: Launch) -> str:
    """The quotas that the cluster takes of, with the vCPUs that it takes, and how to raise them."""
    or_less = "Or set other types or fewer nodes in [CLUSTER] of dl.cfg, or try again later."
    if any(name[0] not in STANDARD for name in settings.primary_types + settings.worker_types):
        listing = "aws service-quotas list-service-quotas --service-code ec2"
        return f"The quotas of such machines: {listing}\n{or_less}"
    steady, task = vcpus(aws, settings)
    spot = task if uses_spot(settings, launch) else 0
    needs = {ON_DEMAND: steady + task - spot, SPOT: spot}
    asked = [
        f"The cluster takes {count} vCPUs of quota {code} ({name}), beside what runs already. "
        f"For more: aws service-quotas request-service-quota-increase --region {aws.region} "
        f"--service-code ec2 --quota-code {code} --desired-value NUMBER"
        for (code, name), count in needs.items()
        if count
    ]
    return "\n".join([*asked, or_less])


def vcpus(aws: Aws, settings: Cluster) -> tuple[int, int]:
    """Of the primary and core machines, and of the task machines; the largest types count."""
    each = network.vcpus(aws, settings)
    worker = max(each[name] for name in settings.worker_types)
    primary = max(each[name] for name in settings.primary_types)
    return primary + settings.core_nodes * worker, settings.task_nodes * worker
