"""What runs the job without a laptop: a schedule of EventBridge, and notices of nights that fail.

The schedule starts the cluster of `up`, which reads what to run from a pointer in the code bucket.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from clicklake.aws import nightly_policies as policies
from clicklake.aws.desired import Call, Resource, Setting
from clicklake.aws.foundation import role
from clicklake.aws.names import TAG, Deployment, tag_pairs
from clicklake.aws.package import POINTER, Upload

RUN_JOB_FLOW = "arn:aws:scheduler:::aws-sdk:emr:runJobFlow"
RETRY = {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 5}


@dataclass(frozen=True)
class Nightly:
    """When the job runs, and who is told of nights that fail."""

    expression: str
    time_zone: str
    notify: str = ""
    budget_usd: int = 0


def pointer(own: Deployment, files: list[Upload]) -> Resource:
    """The newest uploads, a line for each: its name and its address."""
    lines = [f"{each.what.replace(' ', '_')} {own.code.uri(each.key)}\n" for each in files]
    body = "".join(lines).encode()
    content = hashlib.sha256(body).hexdigest()
    request = {
        "Bucket": own.code.bucket,
        "Key": own.code.key(POINTER),
        "Body": body,
        "Metadata": {"content": content},
        "ExpectedBucketOwner": own.account,
    }
    put = Call("s3", "put_object", request)
    settings = (Setting("content", content, put, at_creation=True),)
    return Resource("pointer", own.code.uri(POINTER), put, settings)


def resources(own: Deployment, night: Nightly, cluster: Resource) -> list[Resource]:
    """In the order of creation: the group, by which the rest is found, first."""
    return [
        _group(own),
        role(own, own.schedule_role, policies.trust(own), policies.statements(own)),
        *(_notices(own, night) if night.notify else ()),
        _schedule(own, night, cluster),
    ]


def _group(own: Deployment) -> Resource:
    create = {"Name": own.name, "Tags": tag_pairs(own.tags)}
    made = Call("scheduler", "create_schedule_group", create)
    return Resource("schedule group", own.name, made, tags=own.tags)


def _schedule(own: Deployment, night: Nightly, cluster: Resource) -> Resource:
    target = {
        "Arn": RUN_JOB_FLOW.replace("arn:aws:", f"arn:{own.partition}:"),
        "RoleArn": own.role_arn(own.schedule_role),
        "Input": json.dumps(cluster.create.request, sort_keys=True),
        "RetryPolicy": RETRY,
    }
    when = {
        "ScheduleExpression": night.expression,
        "ScheduleExpressionTimezone": night.time_zone,
        "State": "ENABLED",
    }
    request = {
        "Name": own.name,
        "GroupName": own.name,
        "Description": f"The job of clicklake for the lake {own.lake.uri()}",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": target,
        **when,
    }
    # Scheduler sees a new role some seconds after IAM has made it.
    create, update = (
        Call("scheduler", operation, request, retry_on="must allow")
        for operation in ("create_schedule", "update_schedule")
    )
    settings = (
        Setting("when", when, update, at_creation=True),
        Setting("cluster", {"Target": target}, update, at_creation=True),
    )
    return Resource("schedule", own.name, create, settings)


def _notices(own: Deployment, night: Nightly) -> list[Resource]:
    made = [_topic(own), _subscription(own, night.notify), _rule(own), _alarm(own)]
    return [*made, _budget(own, night)] if night.budget_usd else made


def _topic(own: Deployment) -> Resource:
    arn, policy = own.topic_arn, policies.notices(own)
    attribute = {"TopicArn": arn, "AttributeName": "Policy", "AttributeValue": json.dumps(policy)}
    create = {"Name": own.notices, "Tags": tag_pairs(own.tags)}
    settings = (
        Setting("policy", policy, Call("sns", "set_topic_attributes", attribute), exact=True),
    )
    return Resource("topic", own.notices, Call("sns", "create_topic", create), settings, own.tags)


def _subscription(own: Deployment, address: str) -> Resource:
    request = {"TopicArn": own.topic_arn, "Protocol": "email", "Endpoint": address}
    return Resource("subscription", address, Call("sns", "subscribe", request))


def _rule(own: Deployment) -> Resource:
    """Clusters and steps of this name that fail, from this schedule or from `up`."""
    pattern = {
        "source": ["aws.emr"],
        "detail-type": ["EMR Cluster State Change", "EMR Step Status Change"],
        "detail": {"name": [own.name], "state": ["TERMINATED_WITH_ERRORS", "FAILED"]},
    }
    rule = {
        "Name": own.failures,
        "EventPattern": json.dumps(pattern),
        "State": "ENABLED",
        "Description": "Runs of clicklake that fail",
    }
    told = {
        "InputPathsMap": {"what": "$.detail.message", "cluster": "$.detail.clusterId"},
        "InputTemplate": f'"{own.name} in {own.region}, cluster <cluster>: <what> '
        'See: deploy.py status, deploy.py logs"',
    }
    targets = [{"Id": "notice", "Arn": own.topic_arn, "InputTransformer": told}]
    put_targets = Call("events", "put_targets", {"Rule": own.failures, "Targets": targets})
    settings = (
        Setting("pattern", pattern, Call("events", "put_rule", rule), at_creation=True, exact=True),
        Setting("targets", targets, put_targets),
    )
    create = Call("events", "put_rule", {**rule, "Tags": tag_pairs(own.tags)})
    return Resource("rule", own.failures, create, settings, own.tags)


def _alarm(own: Deployment) -> Resource:
    """A night that does not happen: Scheduler has given up, as EMR refused the request."""
    alarm = {
        "Namespace": "AWS/Scheduler",
        "MetricName": "InvocationDroppedCount",
        "Dimensions": [{"Name": "ScheduleGroup", "Value": own.name}],
        "Statistic": "Sum",
        "Period": 300,
        "EvaluationPeriods": 1,
        "Threshold": 1.0,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "notBreaching",
        "AlarmActions": [own.topic_arn],
    }
    request = {
        "AlarmName": own.not_started,
        "AlarmDescription": f"The schedule of {own.name} could not start its cluster",
        **alarm,
    }
    create = Call("cloudwatch", "put_metric_alarm", {**request, "Tags": tag_pairs(own.tags)})
    put = Call("cloudwatch", "put_metric_alarm", request)
    settings = (Setting("alarm", alarm, put, at_creation=True),)
    return Resource("alarm", own.not_started, create, settings, own.tags)


def _budget(own: Deployment, night: Nightly) -> Resource:
    """A month's cost of all that carries the tag, which must be a cost allocation tag."""
    limit = {"Amount": str(night.budget_usd), "Unit": "USD"}
    budget: dict[str, Any] = {
        "BudgetName": own.budget,
        "BudgetLimit": limit,
        "CostFilters": {"TagKeyValue": [f"user:{TAG}${own.name}"]},
        "TimeUnit": "MONTHLY",
        "BudgetType": "COST",
    }
    reached = {
        "NotificationType": "ACTUAL",
        "ComparisonOperator": "GREATER_THAN",
        "Threshold": 100.0,
        "ThresholdType": "PERCENTAGE",
    }
    told = {
        "Notification": reached,
        "Subscribers": [{"SubscriptionType": "EMAIL", "Address": night.notify}],
    }
    whose = {"AccountId": own.account}
    create = {**whose, "Budget": budget, "NotificationsWithSubscribers": [told]}
    update = Call("budgets", "update_budget", {**whose, "NewBudget": budget})
    settings = (Setting("limit", float(night.budget_usd), update, at_creation=True),)
    return Resource("budget", own.budget, Call("budgets", "create_budget", create), settings)
