"""What the roles may do besides where `KMS_KEY` or `CERTIFICATES` of [CLUSTER] are set."""

from __future__ import annotations

from clicklake.aws.names import Deployment, Place
from clicklake.aws.policies import Statement

_USE = ("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*")


def service_statements(own: Deployment) -> list[Statement]:
    """EMR has the disks encrypted, for which EC2 needs a grant on the key."""
    if not own.kms_key:
        return []
    return [
        Statement(
            "EncryptDisks",
            "EMR starts machines whose disks are encrypted with the key.",
            _USE,
            (own.kms_key,),
        ),
        Statement(
            "GrantDisks",
            "EC2 gets a grant on the key for each encrypted disk.",
            ("kms:CreateGrant",),
            (own.kms_key,),
            {"Bool": {"kms:GrantIsForAWSResource": "true"}},
        ),
    ]


def instance_statements(own: Deployment) -> list[Statement]:
    """The machines read and write encrypted objects, and fetch their certificates."""
    statements = []
    if own.kms_key:
        statements.append(
            Statement(
                "UseKey",
                "Objects of input, code, lake and logs are encrypted with the key.",
                _USE,
                (own.kms_key,),
            )
        )
    if own.certificates:
        place = Place.of(own.certificates)
        statements.append(
            Statement(
                "ReadCertificates",
                "The machines fetch the certificates for what they send each other.",
                ("s3:GetObject",),
                (own.arn("s3", f"{place.bucket}/{place.key()}"),),
            )
        )
    return statements
