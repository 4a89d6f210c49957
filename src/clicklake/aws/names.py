"""What a deployment is called and where its parts lie: configuration to names, nothing else."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clicklake.config import Catalog, Config
from clicklake.errors import ConfigError

# The mark of what is ours: `clicklake = NAME of [CLUSTER]`. Nothing without it is ever changed.
TAG = "clicklake"
EMR_TAG = "for-use-with-amazon-emr-managed-policies"


@dataclass(frozen=True)
class Place:
    """A prefix in a bucket; the empty prefix is the bucket itself."""

    bucket: str
    prefix: str = ""

    @classmethod
    def of(cls, address: str) -> Place:
        bucket, _, prefix = re.sub(r"^s3a?://", "", address).partition("/")
        return cls(bucket, prefix.strip("/"))

    def key(self, *parts: str) -> str:
        return "/".join(part for part in (self.prefix, *parts) if part)

    def uri(self, *parts: str, scheme: str = "s3") -> str:
        return f"{scheme}://{self.bucket}/{self.key(*parts)}"


@dataclass(frozen=True)
class Deployment:
    """One deployment in one account and region."""

    name: str
    account: str
    partition: str
    region: str
    code: Place
    lake: Place
    logs: Place
    input_data: str  # as the job on the cluster reads it
    inputs: tuple[Place, ...]  # all that the job reads, for the policy
    local_input: Path | None  # a folder of this machine that is copied to `input_data`
    database: str = ""  # in Glue, of the catalog; empty: the catalog is not in Glue
    exports: str = ""  # where CSV exports go, if not to the job's own place in the lake

    given_service_role: str = ""  # of the account, and not ours
    given_instance_role: str = ""  # of the account, as is the profile of this name
    boundary: str = ""  # the policy that bounds the roles that are made
    kms_key: str = ""  # for buckets, input and disks
    certificates: str = ""  # for what goes between the machines
    extra_tags: tuple[str, ...] = ()  # each key=value

    @property
    def tags(self) -> dict[str, str]:
        extra = dict(each.split("=", 1) for each in self.extra_tags)
        return {**extra, TAG: self.name}

    def owns_bucket(self, bucket: str, tags: Mapping[str, str]) -> bool:
        """Whether a bucket of this account is ours: by its tag, or by a default name.

        Without any tag, a bucket of such a name was left by an `up` that was stopped.
        """
        if not tags:
            return bucket in default_buckets(self.name, self.account, self.region)
        return tags.get(TAG) == self.name

    @property
    def service_role(self) -> str:
        return self.given_service_role or self.made_service_role

    @property
    def instance_role(self) -> str:
        """The name of the role of the cluster's machines, and of its instance profile."""
        return self.given_instance_role or self.made_instance_role

    @property
    def made_service_role(self) -> str:
        return f"{self.name}-service-{self.region}"

    @property
    def made_instance_role(self) -> str:
        return f"{self.name}-instance-{self.region}"

    @property
    def schedule_role(self) -> str:
        return f"{self.name}-schedule-{self.region}"

    @property
    def notices(self) -> str:
        """The topic of notices about runs that fail or do not happen."""
        return f"{self.name}-notices"

    @property
    def failures(self) -> str:
        """The rule that sees runs that fail."""
        return f"{self.name}-failures"

    @property
    def not_started(self) -> str:
        """The alarm about nights that do not happen."""
        return f"{self.name}-not-started-{self.region}"

    @property
    def budget(self) -> str:
        return f"{self.name}-{self.region}"

    @property
    def topic_arn(self) -> str:
        return self.arn("sns", self.notices, region=self.region, account=self.account)

    def arn(self, service: str, resource: str, *, region: str = "", account: str = "") -> str:
        return f"arn:{self.partition}:{service}:{region}:{account}:{resource}"

    def role_arn(self, role: str) -> str:
        return self.arn("iam", f"role/{role}", account=self.account)

    def glue_arn(self, resource: str) -> str:
        return self.arn("glue", resource, region=self.region, account=self.account)

    def bucket_arn(self, place: Place) -> str:
        return self.arn("s3", place.bucket)

    def objects_arn(self, place: Place) -> str:
        return self.arn("s3", f"{place.bucket}/{place.key('*')}")


def default_buckets(name: str, account: str, region: str) -> tuple[str, str]:
    """Of the code and the output bucket, where the configuration names none."""
    return f"{name}-code-{account}-{region}", f"{name}-lake-{account}-{region}"


def deployment(config: Config, account: str, partition: str, region: str) -> Deployment:
    """Name everything. Raises ConfigError where the configuration contradicts itself."""
    name = config.cluster.name
    default_code, default_output = default_buckets(name, account, region)
    output = _output_bucket(config) or default_output
    output_data = config.datalake.output_data
    local_input = _local_input(config)
    input_data = config.datalake.input_data
    if local_input:
        input_data = _copied_to(output, name, local_input).uri(scheme="s3a")
    # The default bucket is of this NAME alone; others may write to a bucket that was chosen.
    below = f"/{name}" if _output_bucket(config) else ""
    lake = Place.of(output_data) if _on_s3(output_data) else Place(output, f"lake{below}")
    code = Place(config.s3.code_bucket or default_code, name)
    _check_one_bucket(name, code.bucket, output)
    return Deployment(
        name=name,
        account=account,
        partition=partition,
        region=region,
        code=code,
        lake=lake,
        logs=Place(output, f"logs{below}"),
        input_data=input_data,
        inputs=_inputs(config, input_data),
        local_input=local_input,
        database=_database(config),
        exports=_exports(config, lake),
        given_service_role=config.cluster.service_role,
        given_instance_role=config.cluster.instance_role,
        boundary=config.cluster.permissions_boundary,
        kms_key=config.cluster.kms_key,
        certificates=config.cluster.certificates,
        extra_tags=config.cluster.tags,
    )


def _copied_to(bucket: str, name: str, folder: Path) -> Place:
    """Where the files of a folder of this machine go: no other folder's files lie there."""
    digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
    return Place(bucket, f"input/{name}/{digest}")


def _check_one_bucket(name: str, code: str, output: str) -> None:
    if code == output and name in ("input", "lake", "logs"):
        raise ConfigError(
            f"dl.cfg: [CLUSTER] NAME is {name}, which is a folder of bucket {output}; set another "
            "NAME, or another CODE_BUCKET in [S3]."
        )


def _on_s3(address: str) -> bool:
    return address.startswith(("s3://", "s3a://"))


def _output_bucket(config: Config) -> str:
    """The bucket of OUTPUT_DATA, which OUTPUT_BUCKET may name again but not contradict."""
    named = config.s3.output_bucket
    address = config.datalake.output_data
    if not _on_s3(address):
        return named
    bucket = Place.of(address).bucket
    if named and named != bucket:
        raise ConfigError(
            f"dl.cfg: [S3] OUTPUT_BUCKET is {named}, but [DATALAKE] OUTPUT_DATA is in {bucket}; "
            "they must be the same bucket, or OUTPUT_BUCKET left out."
        )
    return bucket


def _database(config: Config) -> str:
    """The Glue database; another NAME has another one, unless the configuration chose it."""
    kind, database = config.catalog.catalog, config.catalog.database
    if kind == "local":
        raise ConfigError(
            "dl.cfg: [CATALOG] CATALOG is local, which needs a lake in a folder; on EMR it must be "
            "glue, a REST catalog's address, none, or left out."
        )
    if kind not in ("auto", "glue"):
        return ""
    return config.cluster.name.replace("-", "_") if database == Catalog().database else database


def _exports(config: Config, lake: Place) -> str:
    """A folder of this machine becomes the default; the machines may write to the lake only."""
    folder = config.csv.folder
    if not _on_s3(folder):
        return ""
    if not f"{Place.of(folder).uri()}/".startswith(lake.uri().rstrip("/") + "/"):
        raise ConfigError(
            f"dl.cfg: [CSV] FOLDER is {folder}, outside of the lake {lake.uri()}; on EMR it must "
            "be below it, or left out."
        )
    return folder


def _sources(config: Config) -> dict[str, str]:
    sources = config.sources
    return {
        "USER_UPDATES": sources.user_updates,
        "PAGE_VIEWS": sources.page_views,
        "CLICKSTREAM": sources.clickstream,
    }


def _local_input(config: Config) -> Path | None:
    """INPUT_DATA if it is a folder of this machine that a source lies in."""
    local = [key for key, folder in _sources(config).items() if re.match(r"/|~|file:", folder)]
    if local:
        raise ConfigError(
            f"dl.cfg: [SOURCES] {', '.join(local)}: a folder of this machine, which a cluster "
            "cannot read; it must be an s3a:// address, or relative to INPUT_DATA."
        )
    input_data = config.datalake.input_data
    if _on_s3(input_data) or all(_on_s3(folder) for folder in _sources(config).values()):
        return None
    return Path(input_data.removeprefix("file://"))


def _inputs(config: Config, input_data: str) -> tuple[Place, ...]:
    own = [folder for folder in _sources(config).values() if _on_s3(folder)]
    shared = [input_data] if len(own) < len(_sources(config)) else []
    return tuple(Place.of(address) for address in dict.fromkeys(shared + own))


def tag_pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tags_of(answer: dict[str, Any] | None, key: str) -> dict[str, str]:
    """The tags in an answer, under `key`."""
    return {tag["Key"]: tag["Value"] for tag in (answer or {}).get(key) or ()}
