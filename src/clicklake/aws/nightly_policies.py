"""Who may do what for the nightly run, and why: the schedule, and those who give notice."""

from __future__ import annotations

from clicklake.aws.names import TAG, Deployment
from clicklake.aws.policies import Document, Statement, trusting


def trust(own: Deployment) -> Document:
    """Scheduler may take the role, for schedules of this account's group only."""
    group = own.arn(
        "scheduler", f"schedule-group/{own.name}", region=own.region, account=own.account
    )
    condition = {"StringEquals": {"aws:SourceAccount": own.account, "aws:SourceArn": group}}
    return trusting("scheduler.amazonaws.com", condition)


def statements(own: Deployment) -> list[Statement]:
    """What the schedule may do: start clusters with this tag, and give them their roles."""
    ours = {"StringEquals": {f"elasticmapreduce:RequestTag/{TAG}": own.name}}
    clusters = own.arn("elasticmapreduce", "cluster/*", region=own.region, account=own.account)

    def passed_to(service: str) -> dict[str, dict[str, str]]:
        return {"StringEquals": {"iam:PassedToService": service}}

    return [
        Statement(
            "StartCluster",
            "The schedule starts clusters that carry this deployment's tag; EMR has no narrower "
            "resource for it.",
            ("elasticmapreduce:RunJobFlow",),
            ("*",),
            ours,
        ),
        Statement(
            "TagCluster",
            "The cluster gets its tags as it is started.",
            ("elasticmapreduce:AddTags",),
            (clusters,),
            ours,
        ),
        Statement(
            "GiveServiceRole",
            "The cluster is started with the service role, for EMR alone.",
            ("iam:PassRole",),
            (own.role_arn(own.service_role),),
            passed_to("elasticmapreduce.amazonaws.com"),
        ),
        Statement(
            "GiveInstanceRole",
            "The cluster is started with the instance role, for EC2 alone.",
            ("iam:PassRole",),
            (own.role_arn(own.instance_role),),
            passed_to("ec2.amazonaws.com"),
        ),
    ]


def notices(own: Deployment) -> Document:
    """The rule and the alarm of this deployment may publish to the topic, and nobody else may."""
    rule = own.arn("events", f"rule/{own.failures}", region=own.region, account=own.account)
    alarm = own.arn(
        "cloudwatch", f"alarm:{own.not_started}", region=own.region, account=own.account
    )
    senders = {"events.amazonaws.com": rule, "cloudwatch.amazonaws.com": alarm}
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": service.partition(".")[0],
                "Effect": "Allow",
                "Principal": {"Service": service},
                "Action": "sns:Publish",
                "Resource": own.topic_arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": arn}},
            }
            for service, arn in senders.items()
        ],
    }
