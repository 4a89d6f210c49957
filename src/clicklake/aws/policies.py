"""Who may do what, and why: every IAM statement carries its reason.

The reasons are shown in docs/deploy.md; what AWS is sent are plain policy documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from clicklake.aws.names import Deployment, Place

Document = dict[str, Any]


@dataclass(frozen=True)
class Statement:
    """An `Allow` of `actions` on `resources`; `reason` is for people."""

    sid: str
    reason: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    condition: dict[str, Any] | None = None

    def as_dict(self) -> Document:
        statement = {
            "Sid": self.sid,
            "Effect": "Allow",
            "Action": list(self.actions),
            "Resource": list(self.resources),
        }
        return {**statement, "Condition": self.condition} if self.condition else statement


def document(statements: list[Statement]) -> Document:
    return {"Version": "2012-10-17", "Statement": [each.as_dict() for each in statements]}


def managed_service_policy(own: Deployment) -> str:
    return own.arn("iam", "policy/service-role/AmazonEMRServicePolicy_v2", account="aws")


def service_trust(own: Deployment) -> Document:
    """EMR may take the service role, but only for clusters of this account and region."""
    clusters = own.arn("elasticmapreduce", "*", region=own.region, account=own.account)
    condition = {
        "StringEquals": {"aws:SourceAccount": own.account},
        "ArnLike": {"aws:SourceArn": clusters},
    }
    return trusting("elasticmapreduce.amazonaws.com", condition)


def instance_trust() -> Document:
    """The cluster's machines may take the instance role; EC2 sends no source to check here."""
    return trusting("ec2.amazonaws.com")


def trusting(service: str, condition: dict[str, Any] | None = None) -> Document:
    """A role's trust: this service may take it."""
    statement: Document = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    if condition:
        statement["Condition"] = condition
    return {"Version": "2012-10-17", "Statement": [statement]}


def service_statements(
    own: Deployment,
    vpc: str,
    subnets: tuple[str, ...],
    security_groups: tuple[str, ...],
    owner: str = "",
) -> list[Statement]:
    """What the service role may do beyond AmazonEMRServicePolicy_v2.

    That policy reaches only networks that carry EMR's tag. The network is not ours to tag, so
    the same actions are allowed on exactly these subnets, this VPC and EMR's own groups in it.
    `owner`: the account that shares subnets and VPC with ours; the groups are always ours.
    """

    def ec2(kind: str, *names: str) -> tuple[str, ...]:
        whose = own.account if kind == "security-group" else owner or own.account
        return tuple(
            own.arn("ec2", f"{kind}/{name}", region=own.region, account=whose) for name in names
        )

    statements = [
        Statement(
            "PassInstanceRole",
            "EMR gives the instance role to the machines that it starts, and to nothing else.",
            ("iam:PassRole",),
            (own.role_arn(own.instance_role),),
            {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
        ),
        Statement(
            "LaunchInSubnets",
            "Machines are started in these subnets; the managed policy knows only tagged ones.",
            (
                "ec2:CreateFleet",
                "ec2:CreateLaunchTemplate",
                "ec2:CreateLaunchTemplateVersion",
                "ec2:CreateNetworkInterface",
                "ec2:RunInstances",
            ),
            ec2("subnet", *subnets),
        ),
        Statement(
            "CreateSecurityGroups",
            "EMR makes its security groups in this VPC at the first launch.",
            ("ec2:CreateSecurityGroup",),
            ec2("vpc", vpc),
        ),
        Statement(
            "ReachEmrPrivately",
            "In a subnet without internet, EMR's machines reach its service by an endpoint.",
            ("ec2:CreateVpcEndpoint", "ec2:ModifyVpcEndpoint"),
            ec2("vpc", vpc) + ec2("subnet", *subnets),
        ),
    ]
    if security_groups:
        statements.append(
            Statement(
                "UseEmrSecurityGroups",
                "EMR's groups of this VPC, made by an earlier cluster without the tag.",
                (
                    "ec2:AuthorizeSecurityGroupEgress",
                    "ec2:AuthorizeSecurityGroupIngress",
                    "ec2:CreateFleet",
                    "ec2:CreateLaunchTemplate",
                    "ec2:CreateLaunchTemplateVersion",
                    "ec2:CreateNetworkInterface",
                    "ec2:RevokeSecurityGroupEgress",
                    "ec2:RevokeSecurityGroupIngress",
                    "ec2:RunInstances",
                ),
                ec2("security-group", *security_groups),
            )
        )
    return statements


def instance_statements(own: Deployment) -> list[Statement]:
    """What the cluster's machines may do: get the code, read the input, write lake and logs."""
    return [
        Statement(
            "ReadCode",
            "The bootstrap script and spark-submit fetch the uploads of this deployment.",
            ("s3:GetObject",),
            (own.objects_arn(own.code),),
        ),
        *_read_inputs(own),
        Statement(
            "WriteLake",
            "The job reads, writes and replaces files of the lake; large ones in parts.",
            ("s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"),
            (own.objects_arn(own.lake),),
        ),
        _list(own, "ListLake", "The job lists the files of the lake.", own.lake),
        Statement(
            "ForgetVersions",
            "forget-user deletes old versions of the lake's objects, where the bucket keeps them.",
            ("s3:DeleteObjectVersion",),
            (own.objects_arn(own.lake),),
        ),
        _list(
            own,
            "ListVersions",
            "forget-user lists old versions of the lake's objects.",
            own.lake,
            "s3:ListBucketVersions",
        ),
        Statement(
            "WriteLogs",
            "EMR's log pusher on the machines copies logs there, and adds to them.",
            ("s3:GetObject", "s3:PutObject"),
            (own.objects_arn(own.logs),),
        ),
        *_show_tables(own),
    ]


def _show_tables(own: Deployment) -> list[Statement]:
    """Glue asks for a right on a table on its database and on the catalog as well."""
    if not own.database:
        return []
    database = own.glue_arn(f"database/{own.database}")
    catalog = own.glue_arn("catalog")
    return [
        Statement(
            "SeeDatabase",
            "The job looks whether the database is there.",
            ("glue:GetDatabase",),
            (catalog, database),
        ),
        Statement(
            "ShowTables",
            "The job brings the lake's tables in this database to the state of the lake; one whose "
            "column has another type is made anew.",
            (
                "glue:CreateTable",
                "glue:DeleteTable",
                "glue:GetTable",
                "glue:GetTables",
                "glue:UpdateTable",
            ),
            (catalog, database, own.glue_arn(f"table/{own.database}/*")),
        ),
    ]


def _read_inputs(own: Deployment) -> list[Statement]:
    statements = []
    for number, place in enumerate(own.inputs, 1):
        read = Statement(
            f"ReadInput{number}",
            "The job reads the raw logs, and never writes there.",
            ("s3:GetObject",),
            (own.objects_arn(place),),
        )
        statements += [
            read,
            _list(own, f"ListInput{number}", "The job lists the raw logs.", place),
        ]
    return statements


def _list(
    own: Deployment, sid: str, reason: str, place: Place, action: str = "s3:ListBucket"
) -> Statement:
    """Listing is granted on a bucket, so the prefix is a condition."""
    below = {"StringLike": {"s3:prefix": [place.prefix, place.key("*")]}}
    return Statement(
        sid,
        reason,
        (action,),
        (own.bucket_arn(place),),
        below if place.prefix else None,
    )


def tls_only(own: Deployment, bucket: str) -> Document:
    """Deny whatever does not come over TLS."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [own.arn("s3", bucket), own.arn("s3", f"{bucket}/*")],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }
