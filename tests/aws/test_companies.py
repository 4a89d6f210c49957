"""What companies ask for: their own roles, boundaries, tags, keys, and shared networks."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from aws_account import LAKE, in_the_account
from aws_laptop import OWN, REGION, ROOT
from aws_server import ACCOUNT
from clicklake.aws import key_policies, policies

pytestmark = pytest.mark.slow


pytest_plugins = ["aws_fixtures"]

UP = ("up", "--detach")
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
SERVICE, INSTANCE = f"clicklake-service-{REGION}", f"clicklake-instance-{REGION}"


def request(laptop) -> dict:
    (sent,) = laptop.parameters("RunJobFlow")
    return sent


def test_roles_of_the_account_are_used_and_never_touched(laptop):
    iam = laptop.client("iam")
    for name in ("corp-emr", "corp-ec2"):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="corp-ec2")
    laptop.settings["CLUSTER"] |= {"SERVICE_ROLE": "corp-emr", "INSTANCE_ROLE": "corp-ec2"}
    before = in_the_account(laptop)

    assert laptop.deploy(*UP).exit_code == 0

    assert (request(laptop)["ServiceRole"], request(laptop)["JobFlowRole"]) == (
        "corp-emr",
        "corp-ec2",
    )
    assert laptop.deploy("down", "--delete-data", "--yes", LAKE).exit_code == 0
    assert in_the_account(laptop) == before
    roles = {"CreateRole", "PutRolePolicy", "DeleteRole", "CreateInstanceProfile", "TagRole"}
    assert not roles & set(laptop.mutations())


def test_roles_made_before_the_accounts_own_were_set_are_still_removed(laptop):
    before = in_the_account(laptop)
    laptop.deploy(*UP)
    iam = laptop.client("iam")
    iam.create_role(RoleName="corp-emr", AssumeRolePolicyDocument="{}")
    laptop.settings["CLUSTER"] |= {"SERVICE_ROLE": "corp-emr"}
    assert laptop.deploy("down", "--delete-data", "--yes", LAKE).exit_code == 0
    iam.delete_role(RoleName="corp-emr")
    assert in_the_account(laptop) == before


@pytest.mark.parametrize("key", ["SERVICE_ROLE", "INSTANCE_ROLE"])
def test_a_role_that_is_not_there_is_found_by_the_plan(laptop, key):
    laptop.settings["CLUSTER"][key] = "nobodys"
    refused = laptop.deploy("up")
    assert refused.exit_code == 2
    assert f"[CLUSTER] {key} is nobodys; there is no such" in refused.err
    assert laptop.mutations() == []


def test_roles_that_are_made_are_bounded_and_those_that_are_there_become_so(laptop):
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/developers"
    laptop.client("iam").create_policy(
        PolicyName="developers",
        PolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
            }
        ),
    )
    try:
        laptop.settings["CLUSTER"]["PERMISSIONS_BOUNDARY"] = boundary
        laptop.deploy(*UP)
        made = laptop.parameters("CreateRole")
        assert [each["PermissionsBoundary"] for each in made] == [boundary] * 2
        laptop.client("iam").delete_role_permissions_boundary(RoleName=SERVICE)
        laptop.sent.clear()
        laptop.deploy(*UP)
        (again,) = laptop.parameters("PutRolePermissionsBoundary")
        assert again == {"RoleName": SERVICE, "PermissionsBoundary": boundary}
    finally:
        laptop.deploy("down")
        laptop.client("iam").delete_policy(PolicyArn=boundary)


def test_tags_go_onto_all_that_is_made_and_leave_those_of_others(laptop):
    laptop.deploy(*UP)
    s3 = laptop.client("s3")
    theirs = {"Key": "backup", "Value": "weekly"}
    ours = {"Key": "clicklake", "Value": "clicklake"}
    s3.put_bucket_tagging(Bucket=LAKE, Tagging={"TagSet": [ours, theirs]})
    laptop.settings["CLUSTER"]["TAGS"] = "cost-center=17, owner=web"

    assert laptop.deploy(*UP).exit_code == 0

    extra = {"cost-center": "17", "owner": "web", "clicklake": "clicklake"}
    on_lake = s3.get_bucket_tagging(Bucket=LAKE)["TagSet"]
    assert {each["Key"]: each["Value"] for each in on_lake} == {**extra, "backup": "weekly"}
    iam = laptop.client("iam")
    for name in (SERVICE, INSTANCE):
        tags = iam.list_role_tags(RoleName=name)["Tags"]
        assert {each["Key"]: each["Value"] for each in tags} == extra
    cluster = laptop.deploy("plan", "--json").json["changes"][-1]
    laptop.deploy("down")
    laptop.sent.clear()
    laptop.deploy(*UP)
    assert {each["Key"]: each["Value"] for each in request(laptop)["Tags"]} == {
        **extra,
        "for-use-with-amazon-emr-managed-policies": "true",
    }
    assert cluster["kind"] == "cluster"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("TAGS", "clicklake=mine"),
        ("TAGS", "owner"),
        ("TAGS", "a=1, a=2"),
        ("KMS_KEY", "alias/mine"),
        ("PERMISSIONS_BOUNDARY", "developers"),
        ("CERTIFICATES", "/home/me/certs.zip"),
    ],
)
def test_what_aws_could_not_follow_is_refused(laptop, key, value):
    laptop.settings["CLUSTER"][key] = value
    refused = laptop.deploy("plan")
    assert refused.exit_code == 2
    assert f"[CLUSTER] {key}" in refused.err


def test_one_key_encrypts_buckets_input_and_disks_and_the_roles_may_use_it(laptop):
    laptop.settings["CLUSTER"] |= {
        "KMS_KEY": KEY,
        "CERTIFICATES": "s3://corp-certs/emr/pem.zip",
    }
    laptop.deploy(*UP)
    for each in laptop.parameters("PutBucketEncryption"):
        (rule,) = each["ServerSideEncryptionConfiguration"]["Rules"]
        by_default = rule["ApplyServerSideEncryptionByDefault"]
        assert by_default == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}
        assert rule["BucketKeyEnabled"] is True
    (made,) = laptop.parameters("CreateSecurityConfiguration")
    content = json.loads(made["SecurityConfiguration"])
    assert (
        content["InstanceMetadataServiceConfiguration"]["MinimumInstanceMetadataServiceVersion"]
        == 2
    )
    encryption = content["EncryptionConfiguration"]
    disks = encryption["AtRestEncryptionConfiguration"]["LocalDiskEncryptionConfiguration"]
    assert (disks["AwsKmsKey"], disks["EnableEbsEncryption"]) == (KEY, True)
    assert encryption["EnableInTransitEncryption"] is True
    tls = encryption["InTransitEncryptionConfiguration"]["TLSCertificateConfiguration"]
    assert tls == {"CertificateProviderType": "PEM", "S3Object": "s3://corp-certs/emr/pem.zip"}
    assert request(laptop)["SecurityConfiguration"] == made["Name"]

    allowed = {
        each["RoleName"]: json.loads(each["PolicyDocument"])["Statement"]
        for each in laptop.parameters("PutRolePolicy")
    }
    for role in (SERVICE, INSTANCE):
        on_key = [each for each in allowed[role] if each["Resource"] == [KEY]]
        actions = {action for each in on_key for action in each["Action"]}
        assert {"kms:Decrypt", "kms:GenerateDataKey*"} <= actions
        assert ("kms:CreateGrant" in actions) == (role == SERVICE)
    certificates = [each for each in allowed[INSTANCE] if each["Sid"] == "ReadCertificates"]
    assert certificates[0]["Resource"] == ["arn:aws:s3:::corp-certs/emr/pem.zip"]


def test_input_that_is_encrypted_with_a_key_is_not_copied_again(laptop):
    """Its ETag is no longer that of its content: here it is made another one."""
    laptop.settings["CLUSTER"]["KMS_KEY"] = KEY
    laptop.deploy(*UP)
    (copied,) = [e for e in laptop.parameters("PutObject") if e["Bucket"] == LAKE]
    laptop.server.run(f"""
from moto.s3.models import s3_backends
bucket = s3_backends["{ACCOUNT}"]["aws"].buckets["{LAKE}"]
bucket.keys["{copied["Key"]}"]._etag = "0" * 32
""")
    laptop.sent.clear()
    laptop.deploy(*UP)
    assert [each for each in laptop.parameters("PutObject") if each["Bucket"] == LAKE] == []
    (laptop.folder / "raw" / "Clickstream" / "events.csv").write_text("anonymous_user_id,other\n")
    laptop.deploy(*UP)
    assert len([e for e in laptop.parameters("PutObject") if e["Bucket"] == LAKE]) == 1


def test_subnets_that_another_account_shares_are_named_by_their_owner():
    shared = policies.service_statements(OWN, "vpc-1", ("subnet-1",), ("sg-1",), "999999999999")
    named = {arn for each in shared for arn in each.resources}
    assert f"arn:aws:ec2:{REGION}:999999999999:subnet/subnet-1" in named
    assert f"arn:aws:ec2:{REGION}:999999999999:vpc/vpc-1" in named
    assert f"arn:aws:ec2:{REGION}:{ACCOUNT}:security-group/sg-1" in named


OWNED_BY = """
from moto.ec2.models.subnets import Subnet
Subnet.owner_id = property(lambda self: "{}")
"""


def test_the_owner_of_the_subnets_is_asked_of_ec2(laptop):
    laptop.server.run(OWNED_BY.format("999999999999"))
    try:
        laptop.deploy(*UP)
    finally:
        laptop.server.run(OWNED_BY.format(ACCOUNT))
    sent = {each["RoleName"]: each["PolicyDocument"] for each in laptop.parameters("PutRolePolicy")}
    assert f"arn:aws:ec2:{REGION}:999999999999:subnet/" in sent[SERVICE]
    assert f"arn:aws:ec2:{REGION}:{ACCOUNT}:subnet/" not in sent[SERVICE]


def test_the_page_explains_the_statements_about_keys():
    page = (ROOT / "docs" / "deploy.md").read_text()
    own = replace(OWN, kms_key=KEY, certificates="s3://corp-certs/emr/pem.zip")
    statements = [*key_policies.service_statements(own), *key_policies.instance_statements(own)]
    for each in statements:
        row = next(line for line in page.splitlines() if line.startswith(f"| {each.sid} |"))
        assert each.reason in row
        for action in each.actions:
            assert action.partition(":")[2] in row
