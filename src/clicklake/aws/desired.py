"""What should be there: configuration to resources and request dicts. No call is made here."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clicklake.aws import policies
from clicklake.aws.names import EMR_TAG, Deployment, Place
from clicklake.aws.package import DEPLOY, Upload
from clicklake.config import Cluster
from clicklake.errors import ConfigError

# The Spark of each release must be the Spark that the job was tested on.
RELEASES = {"emr-spark-8.1.0": "4.1", "emr-spark-8.0.0": "4.0", "emr-7.14.0": "3.5"}
HOME = "/opt/clicklake"  # as in deploy/bootstrap.sh
SPOT_WAIT_MINUTES = 10
ABANDONED_UPLOAD_DAYS = 7
LOG_DAYS = 30


@dataclass(frozen=True)
class Call:
    """One request to AWS. `retry_on`: see `client.Aws.call`."""

    service: str
    operation: str
    request: Mapping[str, Any]
    retry_on: str = ""


@dataclass(frozen=True)
class Setting:
    """One setting of a resource: its right value, and the call that brings it about.

    `at_creation`: the call that creates the resource sets it as well. `exact`: nothing may be
    added to the value; S3 adds fields of its own to what it was given.
    """

    name: str
    value: Any
    put: Call
    at_creation: bool = False
    exact: bool = False


@dataclass(frozen=True)
class Resource:
    kind: str
    name: str
    create: Call
    settings: tuple[Setting, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Network:
    """Where the cluster may start: one VPC, subnets of it, EMR's groups that are there."""

    vpc: str
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Launch:
    """What `up` was told about the cluster on the command line."""

    release: str
    keep_alive: bool = False
    on_demand: bool = False


def check_release(release: str, pyspark: str) -> None:
    """Raise ConfigError unless `release` carries the Spark minor of `pyspark` ("4.1.1")."""
    wanted = ".".join(pyspark.split(".")[:2])
    fitting = [name for name, spark in RELEASES.items() if spark == wanted]
    if release not in fitting:
        has = f"carries Spark {RELEASES[release]}" if release in RELEASES else "is not known here"
        raise ConfigError(
            f"EMR release {release} {has}; the job is tested on pyspark {pyspark}. Set RELEASE in "
            f"[CLUSTER] of dl.cfg, or --release, to one of: {', '.join(fitting) or 'none known'}."
        )


def foundation(own: Deployment, network: Network, *, secure: bool) -> list[Resource]:
    """What a cluster stands on, in the order of creation."""
    return [
        *buckets(own, secure),
        service_role(own, network),
        instance_role(own),
        instance_profile(own),
        security_configuration(own),
    ]


def buckets(own: Deployment, secure: bool) -> list[Resource]:
    """The code and the output bucket, which may be one."""
    names = dict.fromkeys([own.code.bucket, own.logs.bucket])
    return [_bucket(own, name, secure) for name in names]


def _bucket(own: Deployment, name: str, secure: bool) -> Resource:
    def put(operation: str, **request: Any) -> Call:
        return Call("s3", operation, {"Bucket": name, **request})

    # us-east-1 is S3's default, and must not be named.
    elsewhere = own.region != "us-east-1"
    place = {"CreateBucketConfiguration": {"LocationConstraint": own.region}} if elsewhere else {}
    blocked = dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    owner = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    encryption = {
        "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}],
    }
    expiry = {"Rules": _lifecycle(own, logs=name == own.logs.bucket)}
    tls = policies.tls_only(own, name)
    settings = [
        Setting(
            "public access blocked",
            blocked,
            put("put_public_access_block", PublicAccessBlockConfiguration=blocked),
        ),
        Setting(
            "owner enforced",
            owner,
            put("put_bucket_ownership_controls", OwnershipControls=owner),
            at_creation=True,
        ),
        Setting(
            "encryption",
            encryption,
            put("put_bucket_encryption", ServerSideEncryptionConfiguration=encryption),
        ),
        Setting(
            "lifecycle",
            expiry["Rules"],
            put("put_bucket_lifecycle_configuration", LifecycleConfiguration=expiry),
        ),
    ]
    if secure:
        settings.append(Setting("TLS only", tls, put("put_bucket_policy", Policy=json.dumps(tls))))
    tag = Setting("tags", own.tags, put("put_bucket_tagging", Tagging={"TagSet": _pairs(own.tags)}))
    create = put("create_bucket", ObjectOwnership="BucketOwnerEnforced", **place)
    return Resource("bucket", name, create, (tag, *settings), own.tags)


def _lifecycle(own: Deployment, *, logs: bool) -> list[dict[str, Any]]:
    abandoned = {
        "ID": "abandoned-uploads",
        "Status": "Enabled",
        "Filter": {},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABANDONED_UPLOAD_DAYS},
    }
    old_logs = {
        "ID": "old-logs",
        "Status": "Enabled",
        "Filter": {"Prefix": own.logs.key() + "/"},
        "Expiration": {"Days": LOG_DAYS},
    }
    return [abandoned, old_logs] if logs else [abandoned]


def service_role(own: Deployment, network: Network) -> Resource:
    name = own.service_role
    arn = policies.managed_service_policy(own)
    statements = policies.service_statements(
        own, network.vpc, network.subnets, network.security_groups
    )
    managed = Setting(
        "managed policies",
        [arn],
        Call("iam", "attach_role_policy", {"RoleName": name, "PolicyArn": arn}),
    )
    return _role(own, name, policies.service_trust(own), statements, (managed,))


def instance_role(own: Deployment) -> Resource:
    statements = policies.instance_statements(own)
    return _role(own, own.instance_role, policies.instance_trust(), statements)


def _role(
    own: Deployment,
    name: str,
    trust: policies.Document,
    statements: list[policies.Statement],
    more: tuple[Setting, ...] = (),
) -> Resource:
    policy, allowed = "clicklake", policies.document(statements)
    create = {"RoleName": name, "AssumeRolePolicyDocument": json.dumps(trust)}
    change = {"RoleName": name, "PolicyDocument": json.dumps(trust)}
    inline = {"RoleName": name, "PolicyName": policy, "PolicyDocument": json.dumps(allowed)}
    settings = (
        Setting(
            "trust",
            trust,
            Call("iam", "update_assume_role_policy", change),
            at_creation=True,
            exact=True,
        ),
        Setting("policy", allowed, Call("iam", "put_role_policy", inline), exact=True),
    )
    made = Call("iam", "create_role", {**create, "Tags": _pairs(own.tags)})
    return Resource("role", name, made, (*settings, *more), own.tags)


def instance_profile(own: Deployment) -> Resource:
    name = own.instance_role
    request = {"InstanceProfileName": name}
    role = Setting(
        "role",
        [name],
        Call("iam", "add_role_to_instance_profile", {**request, "RoleName": name}),
    )
    create = Call("iam", "create_instance_profile", {**request, "Tags": _pairs(own.tags)})
    return Resource("instance profile", name, create, (role,), own.tags)


def security_configuration(own: Deployment) -> Resource:
    """IMDSv2 only. Such configurations cannot be changed or tagged: the name tells the content."""
    content = json.dumps(
        {
            "InstanceMetadataServiceConfiguration": {
                "MinimumInstanceMetadataServiceVersion": 2,
                "HttpPutResponseHopLimit": 1,
            }
        }
    )
    name = f"{own.name}-imdsv2-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
    request = {"Name": name, "SecurityConfiguration": content}
    return Resource(
        "security configuration", name, Call("emr", "create_security_configuration", request)
    )


def upload(own: Deployment, each: Upload) -> Resource:
    request = {
        "Bucket": own.code.bucket,
        "Key": own.code.key(each.key),
        "Body": each.body,
        "ExpectedBucketOwner": own.account,
    }
    return Resource(each.what, own.code.uri(each.key), Call("s3", "put_object", request))


def input_file(own: Deployment, path: Path, key: str) -> Resource:
    """A file of a local INPUT_DATA, copied to where the cluster can read it."""
    place = Place.of(own.input_data)
    request = {
        "Bucket": place.bucket,
        "Key": place.key(key),
        "Body": path,
        "ExpectedBucketOwner": own.account,
    }
    return Resource("input file", place.uri(key), Call("s3", "put_object", request))


def cluster(
    own: Deployment, settings: Cluster, launch: Launch, network: Network, files: list[Upload]
) -> Resource:
    """The cluster with the job as its step, from deploy/cluster.json."""
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
            "steps": [step(own, files, keep_alive=launch.keep_alive)],
            "tags": _pairs(tags),
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


def step(own: Deployment, files: list[Upload], *, keep_alive: bool) -> dict[str, Any]:
    """The job as a step. In client mode its log is the step's own stderr."""
    at = _addresses(own, files)
    arguments = ["spark-submit", "--deploy-mode", "client", "--py-files", at["code"]]
    arguments += [at["entry_script"], "--config", f"{HOME}/dl.cfg"]
    return {
        "Name": own.name,
        "ActionOnFailure": "CANCEL_AND_WAIT" if keep_alive else "TERMINATE_CLUSTER",
        "HadoopJarStep": {"Jar": "command-runner.jar", "Args": arguments},
    }


def _addresses(own: Deployment, files: list[Upload]) -> dict[str, str]:
    return {each.what.replace(" ", "_"): own.code.uri(each.key) for each in files}


def fleets(settings: Cluster, launch: Launch) -> list[dict[str, Any]]:
    """Primary and core on demand, as losing one loses the run; task machines on Spot."""
    on_demand = {"OnDemandSpecification": {"AllocationStrategy": "lowest-price"}}
    spot = {
        "SpotSpecification": {
            "AllocationStrategy": "price-capacity-optimized",
            "TimeoutDurationMinutes": SPOT_WAIT_MINUTES,
            "TimeoutAction": "SWITCH_TO_ON_DEMAND",
        }
    }

    def fleet(role: str, market: str, units: int, how: dict[str, Any]) -> dict[str, Any]:
        types = settings.primary_types if role == "MASTER" else settings.worker_types
        return {
            "Name": {"MASTER": "primary"}.get(role, role.lower()),
            "InstanceFleetType": role,
            f"Target{market}Capacity": units,
            "InstanceTypeConfigs": [_machine(name, settings.worker_disk_gb) for name in types],
            "LaunchSpecifications": how,
        }

    made = [
        fleet("MASTER", "OnDemand", 1, on_demand),
        fleet("CORE", "OnDemand", settings.core_nodes, on_demand),
    ]
    if settings.task_nodes and launch.on_demand:
        made.append(fleet("TASK", "OnDemand", settings.task_nodes, on_demand))
    elif settings.task_nodes:
        made.append(fleet("TASK", "Spot", settings.task_nodes, spot))
    return made


def _machine(name: str, disk_gb: int) -> dict[str, Any]:
    volume = {"VolumeSpecification": {"VolumeType": "gp3", "SizeInGB": disk_gb}}
    return {
        "InstanceType": name,
        "WeightedCapacity": 1,
        "EbsConfiguration": {"EbsBlockDeviceConfigs": [{**volume, "VolumesPerInstance": 1}]},
    }


def scaling(settings: Cluster, launch: Launch) -> dict[str, Any]:
    """Between the core machines alone and all; what comes and goes are task machines."""
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


def render(template: Any, values: Mapping[str, Any]) -> Any:
    """Fill `${name}` in every text of a JSON template; a text that is only that may be any value.

    >>> render({"a": "${n}", "b": ["x-${n}"]}, {"n": 3})
    {'a': 3, 'b': ['x-3']}
    """
    if isinstance(template, dict):
        return {key: render(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [render(value, values) for value in template]
    if not isinstance(template, str):
        return template
    if whole := re.fullmatch(r"\$\{(\w+)\}", template):
        return values[whole[1]]
    return re.sub(r"\$\{(\w+)\}", lambda found: str(values[found[1]]), template)


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
