"""What a cluster stands on: buckets, roles, and the rest, in the order of creation."""

from __future__ import annotations

import json

from clicklake.aws import desired, key_policies, policies
from clicklake.aws.desired import Call, Network, Resource, Setting
from clicklake.aws.names import Deployment, tag_pairs


def foundation(
    own: Deployment, network: Network, *, secure: bool, spot: bool = False
) -> list[Resource]:
    """What a cluster stands on, in the order of creation; `spot`: it has Spot machines."""
    return [
        *desired.buckets(own, secure),
        *([] if own.given_service_role else [service_role(own, network)]),
        *([] if own.given_instance_role else [instance_role(own), instance_profile(own)]),
        desired.security_configuration(own),
        *([desired.spot_role()] if spot else []),
        *desired.databases(own),
    ]


def service_role(own: Deployment, network: Network) -> Resource:
    name = own.service_role
    arn = policies.managed_service_policy(own)
    statements = policies.service_statements(
        own, network.vpc, network.subnets, network.security_groups, network.owner
    )
    managed = Setting(
        "managed policies",
        [arn],
        Call("iam", "attach_role_policy", {"RoleName": name, "PolicyArn": arn}),
    )
    statements += key_policies.service_statements(own)
    return role(own, name, policies.service_trust(own), statements, (managed,))


def instance_role(own: Deployment) -> Resource:
    statements = policies.instance_statements(own) + key_policies.instance_statements(own)
    return role(own, own.instance_role, policies.instance_trust(), statements)


def role(
    own: Deployment,
    name: str,
    trust: policies.Document,
    statements: list[policies.Statement],
    more: tuple[Setting, ...] = (),
) -> Resource:
    """A role with its trust and one policy of its own."""
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
        _tagged(own, "tag_role", RoleName=name),
        *_bounded(own, name),
    )
    bounded = {"PermissionsBoundary": own.boundary} if own.boundary else {}
    made = Call("iam", "create_role", {**create, **bounded, "Tags": tag_pairs(own.tags)})
    return Resource("role", name, made, (*settings, *more), own.tags)


def _tagged(own: Deployment, operation: str, **name: str) -> Setting:
    put = Call("iam", operation, {**name, "Tags": tag_pairs(own.tags)})
    return Setting("tags", own.tags, put, at_creation=True)


def _bounded(own: Deployment, role: str) -> list[Setting]:
    """The permissions boundary that the account asks for; none is taken away where it does not."""
    if not own.boundary:
        return []
    request = {"RoleName": role, "PermissionsBoundary": own.boundary}
    put = Call("iam", "put_role_permissions_boundary", request)
    return [Setting("boundary", own.boundary, put, at_creation=True)]


def instance_profile(own: Deployment) -> Resource:
    name = own.instance_role
    request = {"InstanceProfileName": name}
    role = Setting(
        "role",
        [name],
        Call("iam", "add_role_to_instance_profile", {**request, "RoleName": name}),
    )
    create = Call("iam", "create_instance_profile", {**request, "Tags": tag_pairs(own.tags)})
    tagged = _tagged(own, "tag_instance_profile", **request)
    return Resource("instance profile", name, create, (role, tagged), own.tags)
