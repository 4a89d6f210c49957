"""What an account holds, as AWS itself tells it."""

from __future__ import annotations

from aws_laptop import REGION
from aws_server import ACCOUNT

CODE = f"clicklake-code-{ACCOUNT}-{REGION}"
LAKE = f"clicklake-lake-{ACCOUNT}-{REGION}"
ROLES = ["clicklake-instance-us-east-1", "clicklake-service-us-east-1"]


def in_the_account(laptop) -> dict[str, list[str]]:
    """All that moto knows of, apart from what every account has."""
    iam, s3, emr, glue = (laptop.client(name) for name in ("iam", "s3", "emr", "glue"))
    scheduler, events, sns = (laptop.client(name) for name in ("scheduler", "events", "sns"))
    alarms = laptop.client("cloudwatch").describe_alarms()["MetricAlarms"]
    budgets = laptop.client("budgets").describe_budgets(AccountId=ACCOUNT)["Budgets"]
    return {
        "buckets": [each["Name"] for each in s3.list_buckets()["Buckets"]],
        "roles": sorted(
            each["RoleName"]
            for each in iam.list_roles()["Roles"]
            if not each["Path"].startswith("/aws-service-role/")
        ),
        "profiles": [
            each["InstanceProfileName"] for each in iam.list_instance_profiles()["InstanceProfiles"]
        ],
        "policies": [each["PolicyName"] for each in iam.list_policies(Scope="Local")["Policies"]],
        "security configurations": laptop.server.run("result = list(emr.security_configurations)"),
        "databases": [each["Name"] for each in glue.get_databases()["DatabaseList"]],
        "schedules": [each["Name"] for each in scheduler.list_schedules()["Schedules"]],
        "schedule groups": [
            each["Name"]
            for each in scheduler.list_schedule_groups()["ScheduleGroups"]
            if each["Name"] != "default"
        ],
        "rules": [each["Name"] for each in events.list_rules()["Rules"]],
        "topics": [each["TopicArn"] for each in sns.list_topics()["Topics"]],
        "alarms": [each["AlarmName"] for each in alarms],
        "budgets": [each["BudgetName"] for each in budgets],
        "live clusters": [
            each["Id"]
            for each in emr.list_clusters()["Clusters"]
            if not each["Status"]["State"].startswith("TERMINAT")
        ],
    }


def unhardened(laptop) -> list[str]:
    """Buckets that lack a setting which every bucket of ours has."""
    s3 = laptop.client("s3")
    lacking = []
    for each in s3.list_buckets()["Buckets"]:
        name = {"Bucket": each["Name"]}
        try:
            assert {"Key": "clicklake", "Value": "clicklake"} in s3.get_bucket_tagging(**name)[
                "TagSet"
            ]
            s3.get_public_access_block(**name)
            s3.get_bucket_ownership_controls(**name)
            s3.get_bucket_lifecycle_configuration(**name)
        except s3.exceptions.ClientError as error:
            lacking.append(f"{each['Name']}: {error}")
    return lacking
