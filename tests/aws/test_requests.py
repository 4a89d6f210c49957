"""What is asked of AWS, held at botocore's event hook: an emulator drops much of it unseen."""

from __future__ import annotations

import json

import boto3
import pytest

from aws_laptop import NETWORK, OWN, READS, check_request
from clicklake.aws import desired, foundation, launch
from clicklake.aws.names import deployment
from clicklake.aws.package import Upload
from clicklake.config import Config

pytest_plugins = ["aws_fixtures"]

FILES = [
    Upload("code", "code/1/clicklake.zip", b""),
    Upload("entry script", "code/1/etl.py", b""),
    Upload("bootstrap script", "bootstrap/2/bootstrap.sh", b""),
    Upload("configuration", "config/3/dl.cfg", b""),
    Upload("wheels", "wheels/4/wheels-arm64.tar", b""),
]


def run_job_flow(laptop, *arguments: str) -> dict:
    assert laptop.deploy("up", "--detach", *arguments).exit_code == 0
    (request,) = laptop.parameters("RunJobFlow")
    return request


@pytest.mark.slow
def test_the_cluster_that_is_asked_for_by_default(laptop):
    request = run_job_flow(laptop)

    fleets = {each["InstanceFleetType"]: each for each in request["Instances"]["InstanceFleets"]}
    assert {
        role: (fleet.get("TargetOnDemandCapacity"), fleet.get("TargetSpotCapacity"))
        for role, fleet in fleets.items()
    } == {"MASTER": (1, None), "CORE": (1, None), "TASK": (None, 2)}
    spot = fleets["TASK"]["LaunchSpecifications"]["SpotSpecification"]
    assert spot["AllocationStrategy"] == "price-capacity-optimized"
    assert spot["TimeoutAction"] == "SWITCH_TO_ON_DEMAND"
    types = [
        each["InstanceType"] for fleet in fleets.values() for each in fleet["InstanceTypeConfigs"]
    ]
    assert all(name.split(".")[0].endswith("g") for name in types)  # Graviton

    assert request["ReleaseLabel"] == "emr-spark-8.1.0"
    assert request["Instances"]["KeepJobFlowAliveWhenNoSteps"] is False
    assert "AutoTerminationPolicy" not in request
    assert len(request["Instances"]["Ec2SubnetIds"]) > 1
    assert request["StepConcurrencyLevel"] == 1
    assert request["LogUri"] == "s3://clicklake-lake-123456789012-us-east-1/logs/"
    tags = {each["Key"]: each["Value"] for each in request["Tags"]}
    assert tags == {"clicklake": "clicklake", "for-use-with-amazon-emr-managed-policies": "true"}


@pytest.mark.slow
def test_types_are_taken_in_their_order_where_they_are_on_demand(laptop):
    """EMR takes the priorities of a fleet only with this strategy, and 0 before 1."""
    request = run_job_flow(laptop)
    for fleet in request["Instances"]["InstanceFleets"]:
        priorities = [each.get("Priority") for each in fleet["InstanceTypeConfigs"]]
        if fleet["InstanceFleetType"] == "TASK":
            assert priorities == [None, None]
        else:
            how = fleet["LaunchSpecifications"]["OnDemandSpecification"]
            assert how == {"AllocationStrategy": "prioritized"}
            assert priorities == [0, 1]


@pytest.mark.slow
def test_the_step_is_the_uploaded_code_with_the_uploaded_configuration(laptop):
    request = run_job_flow(laptop)
    (step,) = request["Steps"]
    assert step["ActionOnFailure"] == "TERMINATE_CLUSTER"
    assert step["HadoopJarStep"]["Jar"] == "command-runner.jar"
    arguments = step["HadoopJarStep"]["Args"]
    assert arguments[:4] == ["spark-submit", "--deploy-mode", "client", "--py-files"]
    assert arguments[-2:] == ["--config", "/opt/clicklake/dl.cfg"]
    sent = [f"s3://{each['Bucket']}/{each['Key']}" for each in laptop.parameters("PutObject")]
    bootstrap = request["BootstrapActions"][0]["ScriptBootstrapAction"]
    for address in [*arguments[4:6], bootstrap["Path"], *bootstrap["Args"]]:
        assert address in sent


def test_machines_answer_only_to_imds_version_2(laptop):
    request = run_job_flow(laptop)
    (made,) = laptop.parameters("CreateSecurityConfiguration")
    assert made["Name"] == request["SecurityConfiguration"]
    metadata = json.loads(made["SecurityConfiguration"])["InstanceMetadataServiceConfiguration"]
    assert metadata["MinimumInstanceMetadataServiceVersion"] == 2


def test_task_machines_come_and_go_core_machines_stay(laptop):
    limits = run_job_flow(laptop)["ManagedScalingPolicy"]["ComputeLimits"]
    assert limits["UnitType"] == "InstanceFleetUnits"
    assert (limits["MinimumCapacityUnits"], limits["MaximumCapacityUnits"]) == (1, 3)
    assert limits["MaximumCoreCapacityUnits"] == limits["MaximumOnDemandCapacityUnits"] == 1


@pytest.mark.slow
def test_keep_alive_ends_by_itself_when_idle(laptop):
    laptop.settings["CLUSTER"]["IDLE_MINUTES"] = 20
    request = run_job_flow(laptop, "--keep-alive")
    assert request["Instances"]["KeepJobFlowAliveWhenNoSteps"] is True
    assert request["AutoTerminationPolicy"] == {"IdleTimeout": 1200}
    assert request["Steps"][0]["ActionOnFailure"] == "CANCEL_AND_WAIT"


@pytest.mark.slow
def test_on_demand_asks_for_no_spot(laptop):
    request = run_job_flow(laptop, "--on-demand")
    assert "Spot" not in json.dumps(request)
    assert request["ManagedScalingPolicy"]["ComputeLimits"]["MaximumOnDemandCapacityUnits"] == 3


@pytest.mark.slow
def test_sizes_types_and_subnets_are_the_configurations(laptop):
    subnet = laptop.client("ec2").describe_subnets()["Subnets"][1]["SubnetId"]
    laptop.settings["CLUSTER"] |= {
        "PRIMARY_TYPES": "m6i.xlarge",
        "WORKER_TYPES": "m5.4xlarge, m6i.4xlarge",
        "CORE_NODES": 3,
        "TASK_NODES": 0,
        "WORKER_DISK_GB": 200,
        "SUBNETS": subnet,
    }
    request = run_job_flow(laptop)
    primary, core = request["Instances"]["InstanceFleets"]
    assert [each["InstanceType"] for each in primary["InstanceTypeConfigs"]] == ["m6i.xlarge"]
    assert core["TargetOnDemandCapacity"] == 3
    volume = core["InstanceTypeConfigs"][1]["EbsConfiguration"]["EbsBlockDeviceConfigs"][0]
    assert volume["VolumeSpecification"]["SizeInGB"] == 200
    assert request["Instances"]["Ec2SubnetIds"] == [subnet]
    assert "ManagedScalingPolicy" not in request
    assert request["BootstrapActions"][0]["ScriptBootstrapAction"]["Args"][0].endswith(
        "wheels-x86_64.tar"
    )


@pytest.mark.slow
def test_buckets_are_closed(laptop):
    laptop.deploy("up", "--detach")
    for name in ("PutPublicAccessBlock", "PutBucketEncryption", "PutBucketTagging"):
        assert len(laptop.parameters(name)) == 2, name
    assert all(
        set(each["PublicAccessBlockConfiguration"].values()) == {True}
        for each in laptop.parameters("PutPublicAccessBlock")
    )
    made = laptop.parameters("CreateBucket")
    assert [each["ObjectOwnership"] for each in made] == ["BucketOwnerEnforced"] * 2
    # Never without its tag: whoever is stopped after this request still has an own bucket.
    tagged = {"Tags": [{"Key": "clicklake", "Value": "clicklake"}]}
    assert [each["CreateBucketConfiguration"] for each in made] == [tagged] * 2
    rules = {
        each["Bucket"]: {rule["ID"]: rule for rule in each["LifecycleConfiguration"]["Rules"]}
        for each in laptop.parameters("PutBucketLifecycleConfiguration")
    }
    assert all(
        each["abandoned-uploads"]["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 7
        for each in rules.values()
    )
    logs = rules["clicklake-lake-123456789012-us-east-1"]["old-logs"]
    assert (logs["Filter"]["Prefix"], logs["Expiration"]["Days"]) == ("logs/", 30)
    assert laptop.parameters("PutBucketPolicy") == []  # moto is plain http


def test_on_https_buckets_refuse_what_is_not_tls():
    for bucket in desired.buckets(OWN, secure=True):
        (policy,) = [each.value for each in bucket.settings if each.name == "TLS only"]
        (deny,) = policy["Statement"]
        assert deny["Effect"] == "Deny"
        assert deny["Principal"] == "*"
        assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        arn = f"arn:aws:s3:::{bucket.name}"
        assert deny["Resource"] == [arn, f"{arn}/*"]


@pytest.mark.slow
@pytest.mark.parametrize("region", ["us-east-1", "us-west-2"])
@pytest.mark.parametrize(
    "how",
    [
        launch.Launch("emr-spark-8.1.0"),
        launch.Launch("emr-spark-8.1.0", keep_alive=True, on_demand=True),
    ],
)
def test_every_request_fits_the_services_own_model(region, how):
    own = deployment(Config(), "123456789012", "aws", region)
    resources = [
        *foundation.foundation(own, NETWORK, secure=True),
        *(desired.upload(own, each) for each in FILES),
        launch.cluster(own, Config().cluster, how, NETWORK, FILES),
    ]
    calls = [call for each in resources for call in (each.create, *(s.put for s in each.settings))]
    assert len(calls) > 25
    for call in calls:
        client = boto3.client(
            call.service, region_name=region, aws_access_key_id="x", aws_secret_access_key="x"
        )
        model = client.meta.service_model.operation_model(
            client.meta.method_to_api_mapping[call.operation]
        )
        check_request(dict(call.request), model)
        assert not READS.match(model.name)


def test_the_model_check_refuses_what_aws_would():
    emr = boto3.client("emr", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    model = emr.meta.service_model.operation_model("RunJobFlow")
    good = dict(
        launch.cluster(
            OWN, Config().cluster, launch.Launch("emr-spark-8.1.0"), NETWORK, FILES
        ).create.request
    )
    check_request(good, model)
    for wrong in ({"Fleets": []}, {"ScaleDownBehavior": "SOON"}, {"Name": "x" * 300}):
        with pytest.raises(AssertionError):
            check_request({**good, **wrong}, model)


def test_a_template_with_a_place_that_nothing_fills_is_an_error():
    with pytest.raises(KeyError):
        desired.render({"a": ["${nothing}"]}, {})
