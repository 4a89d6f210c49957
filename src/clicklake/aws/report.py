"""What a run left behind on S3: its logs when it failed, its books when it did not."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import asdict
from datetime import datetime
from typing import Any

from clicklake.aws import clusters
from clicklake.aws.client import Aws
from clicklake.aws.clusters import Cluster
from clicklake.aws.console import Console
from clicklake.aws.names import Deployment
from clicklake.aws.progress import Clock, Outcome, duration
from clicklake.errors import AccessError, CapacityError, ConfigError

LOG_POLL_SECONDS = 10
TAIL_LINES = 30
_PERMISSION = r"not authori[sz]ed|unauthori[sz]ed|permission|access ?denied|service-?linked ?role"
_CAPACITY = r"vCPU|capacity|quota|limit ?exceeded|insufficient|MaxSpotInstanceCount"


def exit_code(outcome: Outcome) -> int:
    """0 done; 1 the job failed; 2, 3 or 9 the cluster could not be made as asked for, for want
    of a permission, or of machines."""
    if outcome.succeeded:
        return 0
    if outcome.step.status.state == "FAILED":
        return 1
    code = outcome.cluster.status.code
    said = f"{code} {outcome.cluster.status.message}"
    if re.search(_PERMISSION, said, re.IGNORECASE):
        return AccessError.exit_code
    if re.search(_CAPACITY, said, re.IGNORECASE):
        return CapacityError.exit_code
    return ConfigError.exit_code if code == "VALIDATION_ERROR" else 1


def log(aws: Aws, own: Deployment, cluster_id: str, step_id: str, name: str) -> str | None:
    """The step's "stderr", "stdout" or "controller"; None if it is not on S3 yet."""
    return _read_gzip(aws, own, own.logs.key(cluster_id, "steps", step_id, f"{name}.gz"))


def bootstrap_log(aws: Aws, own: Deployment, cluster_id: str) -> str | None:
    """What the bootstrap script wrote to stderr, of the machine that logged last."""
    prefix = own.logs.key(cluster_id, "node") + "/"
    request = {"Bucket": own.logs.bucket, "Prefix": prefix}
    listed = aws.items("s3", "list_objects_v2", "Contents", **request)
    logs = [each for each in listed if re.search(r"bootstrap-actions/.*stderr\.gz$", each["Key"])]
    if not logs:
        return None
    return _read_gzip(aws, own, max(logs, key=lambda each: each["LastModified"])["Key"])


def _read_gzip(aws: Aws, own: Deployment, key: str) -> str | None:
    packed = _read(aws, own.logs.bucket, key)
    return gzip.decompress(packed).decode(errors="replace") if packed else None


def _read(aws: Aws, bucket: str, key: str) -> bytes | None:
    answer = aws.find("s3", "get_object", ("NoSuchKey", "NoSuchBucket"), Bucket=bucket, Key=key)
    return answer["Body"].read() if answer else None


def failure_log(
    aws: Aws, own: Deployment, outcome: Outcome, console: Console, clock: Clock, *, wait: float
) -> str:
    """The log that tells why, waited for as EMR copies logs to S3 with a delay; "" if none came."""
    cluster_id, step_id = outcome.cluster.id, outcome.step.id
    begun, told_of = clock.now(), False
    while True:
        text = log(aws, own, cluster_id, step_id, "stderr") or bootstrap_log(aws, own, cluster_id)
        waited = clock.now() - begun
        if text is not None or waited >= wait:
            return text or ""
        if not told_of:
            console.say(f"Waiting up to {wait:.0f} s for the log: EMR copies it with a delay.")
            told_of = True
        console.live(f"{duration(waited):>8}  no log yet")
        clock.sleep(min(LOG_POLL_SECONDS, wait))


def tail(text: str, lines: int = TAIL_LINES) -> str:
    return "\n".join(text.rstrip().splitlines()[-lines:])


def probable_cause(text: str) -> str:
    """The last line of a log that names an error, as Python and Java write them."""
    named = re.findall(r"^(?:Caused by: )?[\w.]*(?:Error|Exception)\b.*$", text, re.MULTILINE)
    return named[-1] if named else ""


def failure(outcome: Outcome) -> str:
    """What failed and why, as EMR tells it at once."""
    step, cluster = outcome.step, outcome.cluster
    if not outcome.had_machines:
        return (
            "The cluster did not start, so the job did not run. "
            f"Cluster {cluster.id} {told(cluster.status)}."
        )
    ran = step.was_started or step.status.state == "FAILED"
    what = "The job failed" if ran else "The cluster failed before the job began"
    states = f"Step {step.id} {told(step.status)}.\nCluster {cluster.id} {told(cluster.status)}."
    return f"{what}. {states}"


def from_log(text: str) -> str:
    """The log's own story: the error in it, its end, the next command."""
    if not text:
        return "No log is on S3 yet. In some minutes: deploy.py logs"
    lines = [f"The last lines of the log:\n{tail(text)}", "The whole log: deploy.py logs"]
    if cause := probable_cause(text):
        lines.insert(0, f"Probable cause: {cause}")
    return "\n".join(lines)


def told(status: clusters.Status) -> str:
    """The state, with the reason that EMR gives for it."""
    said = ": ".join(text for text in (status.code, status.message) if text)
    return f"{status.state} ({said.rstrip('.')})" if said else status.state


def metrics(aws: Aws, own: Deployment, since: datetime | None = None) -> dict[str, Any] | None:
    """The metrics of the lake's last run; None if there is none, or none since `since`."""
    bucket = own.lake.bucket
    manifest = _read(aws, bucket, own.lake.key("_clicklake", "manifest.json"))
    if manifest is None:
        return None
    run_id = json.loads(manifest)["run_id"]
    key = own.lake.key("_clicklake", "runs", run_id, "metrics.json")
    answer = aws.find("s3", "get_object", ("NoSuchKey",), Bucket=bucket, Key=key)
    if answer is None or (
        since is not None and answer["LastModified"] < since.replace(microsecond=0)
    ):
        return None
    found: dict[str, Any] = json.loads(answer["Body"].read())
    return found


def last_run(aws: Aws, own: Deployment, console: Console) -> dict[str, Any] | None:
    """Id and status of the lake's last run, said and as facts."""
    last = metrics(aws, own)
    if last is None:
        return None
    run = {key: last.get(key) for key in ("run_id", "status")}
    console.say(f"Last run of the lake: {run['run_id']}, {run['status']}.")
    return run


def success(
    own: Deployment, outcome: Outcome, found: dict[str, Any] | None, job: tuple[str, ...] = ()
) -> str:
    """What the job did, by its own books, and how to look at the result."""
    lines = [f"The job is done: step {outcome.step.id} COMPLETED."]
    if job:
        lines.append(
            f"Its arguments: {' '.join(job)}. What it said, in some minutes: deploy.py logs"
        )
    elif found is None:
        lines.append("It published nothing: no new input, or no lake to be found.")
    if found is not None:
        lines += ["", *_table("source", found.get("books", {}))]
        lines += ["", *_table("table", found.get("tables", {}))]
    lines += ["", f"The lake: {own.lake.uri()}. How to query it: docs/deploy.md"]
    return "\n".join(lines)


def _table(title: str, rows: dict[str, dict[str, int]]) -> list[str]:
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    head = f"{title:<24}" + "".join(f"{column:>14}" for column in columns)
    return [head] + [
        f"{name:<24}" + "".join(f"{row.get(column, 0):>14,}" for column in columns)
        for name, row in rows.items()
    ]


def shown(aws: Aws, console: Console, cluster: Cluster) -> dict[str, Any]:
    """A cluster with its steps, said and as facts."""
    console.say(f"cluster {cluster.id}  {told(cluster.status)}  since {cluster.created:%F %H:%M}")
    steps = clusters.steps(aws, cluster.id)
    for step in steps:
        console.say(f"  step {step.id}  {told(step.status)}")
    return {
        "cluster_id": cluster.id,
        "created": cluster.created.isoformat(),
        **asdict(cluster.status),
        "steps": [{"step_id": step.id, **asdict(step.status)} for step in steps],
    }
