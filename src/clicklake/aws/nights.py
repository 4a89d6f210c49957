"""The schedule and its notices as AWS shows them, and their end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from clicklake.aws.client import Aws
from clicklake.aws.console import Console
from clicklake.aws.desired import Resource, Seen
from clicklake.aws.names import TAG, Deployment, tags_of
from clicklake.errors import AccessError

_ABSENT = ("ResourceNotFoundException", "NotFoundException", "NotFound", "NotFoundError")


def group(aws: Aws, own: Deployment, _wanted: Resource | None = None) -> Seen | None:
    answer = aws.find("scheduler", "get_schedule_group", _ABSENT, Name=own.name)
    if answer is None:
        return None
    return Seen(
        tags_of(aws.call("scheduler", "list_tags_for_resource", ResourceArn=answer["Arn"]), "Tags")
    )


def schedule(aws: Aws, own: Deployment, _wanted: Resource | None = None) -> Seen | None:
    place = {"Name": own.name, "GroupName": own.name}
    found = aws.find("scheduler", "get_schedule", _ABSENT, **place)
    return Seen(settings={"when": found, "cluster": found}) if found else None


def expression(aws: Aws, own: Deployment) -> str:
    """When the schedule that is there starts its cluster; "" if there is none."""
    with suppress(AccessError):
        found = schedule(aws, own)
        return str(found.settings["when"]["ScheduleExpression"]) if found else ""
    return ""


def shown(aws: Aws, own: Deployment, console: Console) -> dict[str, Any] | None:
    """The schedule and who is told of its failures, said and as facts; None without one."""
    with suppress(AccessError):
        if (found := schedule(aws, own)) is None:
            return None
        when = found.settings["when"]
        facts = {
            "expression": when["ScheduleExpression"],
            "time_zone": when.get("ScheduleExpressionTimezone", "UTC"),
            "state": when["State"],
            "notices": [{"to": to, "confirmed": done} for to, done in subscribers(aws, own)],
        }
        console.say("Schedule: {expression} in {time_zone}, {state}.".format(**facts))
        for to, done in subscribers(aws, own):
            waits = "" if done else ", once the link in AWS's mail is followed"
            console.say(f"Notices of nights that fail go to {to}{waits}.")
        return facts
    return None


def topic(aws: Aws, own: Deployment, _wanted: Resource | None = None) -> Seen | None:
    arn = own.topic_arn
    found = aws.find("sns", "get_topic_attributes", _ABSENT, TopicArn=arn)
    if found is None:
        return None
    tags = tags_of(aws.call("sns", "list_tags_for_resource", ResourceArn=arn), "Tags")
    return Seen(tags, {"policy": json.loads(found["Attributes"].get("Policy") or "{}")})


def subscription(aws: Aws, own: Deployment, wanted: Resource) -> Seen | None:
    return Seen() if wanted.name in dict(subscribers(aws, own)) else None


def subscribers(aws: Aws, own: Deployment) -> Iterator[tuple[str, bool]]:
    """Addresses that get the notices, each with whether it has been confirmed."""
    if topic(aws, own) is None:
        return
    listing = ("sns", "list_subscriptions_by_topic", "Subscriptions")
    for each in aws.items(*listing, TopicArn=own.topic_arn):
        yield each["Endpoint"], each["SubscriptionArn"].startswith("arn:")


def rule(aws: Aws, own: Deployment, _wanted: Resource | None = None) -> Seen | None:
    found = aws.find("events", "describe_rule", _ABSENT, Name=own.failures)
    if found is None:
        return None
    tags = tags_of(aws.call("events", "list_tags_for_resource", ResourceARN=found["Arn"]), "Tags")
    targets = aws.call("events", "list_targets_by_rule", Rule=own.failures)["Targets"]
    pattern = json.loads(found.get("EventPattern") or "{}")
    return Seen(tags, {"pattern": pattern, "targets": targets})


def alarm(aws: Aws, own: Deployment, _wanted: Resource | None = None) -> Seen | None:
    listed = aws.call("cloudwatch", "describe_alarms", AlarmNames=[own.not_started])
    for each in listed.get("MetricAlarms") or ():
        arn = each["AlarmArn"]
        tags = tags_of(aws.call("cloudwatch", "list_tags_for_resource", ResourceARN=arn), "Tags")
        return Seen(tags, {"alarm": each})
    return None


def budget(aws: Aws, own: Deployment, _wanted: Resource | None = None) -> Seen | None:
    request = {"AccountId": own.account, "BudgetName": own.budget}
    found = aws.find("budgets", "describe_budget", _ABSENT, **request)
    if found is None:
        return None
    return Seen(settings={"limit": float(found["Budget"]["BudgetLimit"]["Amount"])})


KINDS = ("schedule", "budget", "alarm", "rule", "topic", "schedule group")
READERS: dict[str, Callable[[Aws, Deployment, Resource], Seen | None]] = {
    "schedule group": group,
    "schedule": schedule,
    "topic": topic,
    "subscription": subscription,
    "rule": rule,
    "alarm": alarm,
    "budget": budget,
}


def found(aws: Aws, own: Deployment) -> list[tuple[str, str]]:
    """Kind and name of what is there, in the order in which it goes: the group, made first, last.

    Without a group of ours nothing else is looked for; who may not look has made none.
    """
    with suppress(AccessError):
        seen = group(aws, own)
        if seen is None or seen.tags.get(TAG) != own.name:
            return []
        there = [
            ("schedule", own.name, schedule),
            ("budget", own.budget, budget),
            ("alarm", own.not_started, alarm),
            ("rule", own.failures, rule),
            ("topic", own.notices, topic),
        ]
        listed = [(kind, name) for kind, name, look in there if look(aws, own)]
        return [*listed, ("schedule group", own.name)]
    return []


def remove(aws: Aws, own: Deployment, kind: str) -> None:
    """Take one of `found` away; subscriptions go with their topic, schedules with their group."""
    if kind == "schedule":
        aws.call("scheduler", "delete_schedule", Name=own.name, GroupName=own.name)
    elif kind == "budget":
        aws.call("budgets", "delete_budget", AccountId=own.account, BudgetName=own.budget)
    elif kind == "alarm":
        aws.call("cloudwatch", "delete_alarms", AlarmNames=[own.not_started])
    elif kind == "rule":
        targets = aws.call("events", "list_targets_by_rule", Rule=own.failures)["Targets"]
        if ids := [each["Id"] for each in targets]:
            aws.call("events", "remove_targets", Rule=own.failures, Ids=ids)
        aws.call("events", "delete_rule", Name=own.failures)
    elif kind == "topic":
        aws.call("sns", "delete_topic", TopicArn=own.topic_arn)
    else:
        aws.call("scheduler", "delete_schedule_group", Name=own.name)
