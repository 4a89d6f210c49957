"""Where and on what machines the cluster can start, as EC2 shows it."""

from __future__ import annotations

from clicklake.aws.client import Aws
from clicklake.aws.desired import Network
from clicklake.aws.names import EMR_TAG
from clicklake.aws.package import MACHINES
from clicklake.config import Cluster
from clicklake.errors import ConfigError

_EMR_GROUPS = (
    "ElasticMapReduce-master",
    "ElasticMapReduce-slave",
    "ElasticMapReduce-ServiceAccess",
)


def architecture(aws: Aws, settings: Cluster) -> str:
    """The one processor architecture of all the machines ("arm64", "x86_64")."""
    types = sorted({*settings.primary_types, *settings.worker_types})
    answer = aws.call("ec2", "describe_instance_types", InstanceTypes=types)["InstanceTypes"]
    of_type = {
        each["InstanceType"]: set(each["ProcessorInfo"]["SupportedArchitectures"]) & set(MACHINES)
        for each in answer
    }
    common = set(MACHINES).intersection(*of_type.values())
    if not common:
        listed = ", ".join(f"{name} {'/'.join(sorted(of_type[name]))}" for name in sorted(of_type))
        raise ConfigError(
            "dl.cfg: [CLUSTER] PRIMARY_TYPES and WORKER_TYPES must share one processor "
            f"architecture, as the Python packages are built for one; they are: {listed}."
        )
    return common.pop()


def vcpus(aws: Aws, settings: Cluster) -> dict[str, int]:
    """Of each type of [CLUSTER]."""
    types = sorted({*settings.primary_types, *settings.worker_types})
    answer = aws.call("ec2", "describe_instance_types", InstanceTypes=types)["InstanceTypes"]
    return {each["InstanceType"]: each["VCpuInfo"]["DefaultVCpus"] for each in answer}


def network(aws: Aws, settings: Cluster) -> Network:
    """The subnets of [CLUSTER], or those of the default VPC, where all machines can be had."""
    subnets = _given(aws, settings.subnets) if settings.subnets else _default(aws)
    offered = _offers(aws, settings)
    fitting = [each for each in subnets if each["AvailabilityZone"] in offered]
    if not fitting:
        raise ConfigError(
            f"dl.cfg: [CLUSTER] none of the subnets' zones in {aws.region} has the types of "
            "PRIMARY_TYPES and WORKER_TYPES; set other types, SUBNETS or REGION."
        )
    vpc, account = fitting[0]["VpcId"], aws.identity[0]
    ids = sorted(each["SubnetId"] for each in fitting)
    owner = fitting[0].get("OwnerId") or account
    shared_by = "" if owner == account else owner
    return Network(vpc, tuple(ids), _untagged_emr_groups(aws, vpc), shared_by)


def _given(aws: Aws, subnets: tuple[str, ...]) -> list[dict]:
    found = aws.call("ec2", "describe_subnets", SubnetIds=list(subnets))["Subnets"]
    if len({each["VpcId"] for each in found}) > 1:
        raise ConfigError("dl.cfg: [CLUSTER] SUBNETS must all be in one VPC.")
    return found


def _default(aws: Aws) -> list[dict]:
    only_default = [{"Name": "is-default", "Values": ["true"]}]
    vpcs = aws.call("ec2", "describe_vpcs", Filters=only_default)["Vpcs"]
    if not vpcs:
        raise ConfigError(
            f"There is no default VPC in {aws.region}. Set SUBNETS in [CLUSTER] of dl.cfg, or "
            "make one: aws ec2 create-default-vpc"
        )
    of_vpc = [{"Name": "vpc-id", "Values": [vpcs[0]["VpcId"]]}]
    return aws.call("ec2", "describe_subnets", Filters=of_vpc)["Subnets"]


def _offers(aws: Aws, settings: Cluster) -> set[str]:
    """Zones that have a type of each list."""

    def zones(types: tuple[str, ...]) -> set[str]:
        offers = aws.items(
            "ec2",
            "describe_instance_type_offerings",
            "InstanceTypeOfferings",
            LocationType="availability-zone",
            Filters=[{"Name": "instance-type", "Values": list(types)}],
        )
        return {each["Location"] for each in offers}

    return zones(settings.primary_types) & zones(settings.worker_types)


def _untagged_emr_groups(aws: Aws, vpc: str) -> tuple[str, ...]:
    filters = [
        {"Name": "vpc-id", "Values": [vpc]},
        {"Name": "group-name", "Values": _EMR_GROUPS},
    ]
    groups = aws.call("ec2", "describe_security_groups", Filters=filters)["SecurityGroups"]
    tag = {"Key": EMR_TAG, "Value": "true"}
    return tuple(sorted(each["GroupId"] for each in groups if tag not in each.get("Tags", [])))
