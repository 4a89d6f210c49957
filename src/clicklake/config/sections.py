"""Every key of `dl.cfg` with its default and its check.

Each section is a frozen dataclass; a field is a key of that section (in capitals), made by
`_key(default, check)`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from clicklake.config import databases
from clicklake.config.checks import (
    arn,
    bucket_name,
    catalog_address,
    choice,
    database_name,
    flag,
    folder_or_nothing,
    instance_types,
    location,
    mail_address,
    pattern,
    ratio,
    registry_address,
    role_name,
    schema_name,
    short_name,
    stream_address,
    subnet_ids,
    tag_list,
    time_zone,
    topic_name,
    whole,
    zip_on_s3,
)
from clicklake.config.checks import key as _key
from clicklake.config.mapping import Clickstream, PageViews, UserUpdates

# The checkout: src/clicklake/config/ is three levels below it. An installed package has none: what
# it needs of it comes along in `_checkout`, and default places are meant from the working folder.
_CHECKOUT = Path(__file__).resolve().parents[3]
_IS_INSTALLED = not (_CHECKOUT / "dl.cfg.template").is_file()
FILES = Path(__file__).resolve().parents[1] / "_checkout" if _IS_INSTALLED else _CHECKOUT
ROOT = Path.cwd() if _IS_INSTALLED else _CHECKOUT


@dataclass(frozen=True)
class Aws:
    """Keys are honoured when given; without them the standard AWS chain is used."""

    aws_access_key_id: str = _key("", secret=True)
    aws_secret_access_key: str = _key("", secret=True)


@dataclass(frozen=True)
class S3:
    code_bucket: str = _key("", bucket_name)
    output_bucket: str = _key("", bucket_name)


@dataclass(frozen=True)
class DataLake:
    input_data: str = _key(str(ROOT / "data" / "sample"), location)
    output_data: str = _key(str(ROOT / "lake"), location)
    retain_hours: int = _key(48, whole(0))
    retain_runs: int = _key(1, whole(0))


@dataclass(frozen=True)
class Sources:
    """Each source's folder: relative to INPUT_DATA, or a path or address of its own."""

    user_updates: str = _key("UserUpdates", location)
    page_views: str = _key("PageViews", location)
    clickstream: str = _key("Clickstream", location)
    csv_multiline: bool = _key(False, flag)
    on_bad_file: str = _key("set-aside", choice("set-aside", "refuse"))
    max_bad_files: float = _key(0.01, ratio)
    settle_minutes: int = _key(10, whole(0))


@dataclass(frozen=True)
class Job:
    max_bad_ratio: float = _key(0.05, ratio)
    session_gap_minutes: int = _key(30, whole(1))
    bot_views_per_minute: int = _key(60, whole(1))
    memory_mb: int = _key(0, whole(0))
    target_file_mb: int = _key(128, whole(1))


@dataclass(frozen=True)
class Cluster:
    """What `deploy.py` launches on EMR, and how long it waits for it."""

    name: str = _key("clicklake", short_name)
    region: str = _key("")
    release: str = _key("emr-spark-8.1.0")
    primary_types: tuple[str, ...] = _key(("m7g.xlarge", "m6g.xlarge"), instance_types)
    worker_types: tuple[str, ...] = _key(("m7g.2xlarge", "m6g.2xlarge"), instance_types)
    core_nodes: int = _key(1, whole(1))
    task_nodes: int = _key(2, whole(0))
    worker_disk_gb: int = _key(64, whole(10))
    subnets: tuple[str, ...] = _key((), subnet_ids)
    service_role: str = _key("", role_name)
    instance_role: str = _key("", role_name)
    permissions_boundary: str = _key("", arn("iam", "policy"))
    tags: tuple[str, ...] = _key((), tag_list)
    kms_key: str = _key("", arn("kms", "key"))
    certificates: str = _key("", zip_on_s3)
    timeout_minutes: int = _key(360, whole(1))
    idle_minutes: int = _key(60, whole(1))
    poll_seconds: int = _key(10, whole(1))
    log_wait_seconds: int = _key(300, whole(0))


@dataclass(frozen=True)
class Database:
    """Where each run's tables are published; an empty URL is DuckDB beside a local lake."""

    url: str = _key("", databases.check, secret=True)
    staging_url: str = _key("", databases.check, secret=True)
    schema: str = _key("public", schema_name)


@dataclass(frozen=True)
class Csv:
    """The CSV exports; an empty FOLDER is `csv` in the lake."""

    enabled: bool = _key(True, flag)
    folder: str = _key("", folder_or_nothing)
    neutralise_formulas: bool = _key(True, flag)
    gzip: bool = _key(False, flag)
    split_mb: int = _key(0, whole(0))


@dataclass(frozen=True)
class Catalog:
    """The Iceberg catalog that the tables are in; auto: a local one beside a local lake."""

    catalog: str = _key("auto", catalog_address)
    database: str = _key("clicklake", database_name)


@dataclass(frozen=True)
class Stream:
    """The clickstream on a stream, and its statistics; an empty DATABASE is SQLite in SUMMARIES."""

    stream: str = _key(str(ROOT / "stream" / "events"), stream_address)
    state: str = _key(str(ROOT / "stream" / "state"))
    summaries: str = _key(str(ROOT / "stream" / "summaries"))
    database: str = _key("", databases.check, secret=True)
    every: int = _key(1000, whole(1))
    lateness_minutes: int = _key(60, whole(0))
    kafka_properties: str = _key("")
    stream_format: str = _key("json", choice("json", "avro"))
    schema_registry: str = _key("", registry_address, secret=True)
    corrections: str = _key("", topic_name)


@dataclass(frozen=True)
class Recommend:
    """`max_views` of a user to a page count; `half_life_days` 0 leaves the time out.

    `exclude` is an expression of RE2; `viewed_within_days` 0 asks for no late view.
    """

    model: str = _key("auto", choice("auto", "als", "ease", "rp3beta", "popularity", "none"))
    weights: str = _key("auto", choice("auto", "binary", "log"))
    max_views: int = _key(20, whole(1))
    half_life_days: int = _key(0, whole(0))
    min_users: int = _key(2, whole(1))
    exclude: str = _key("", pattern)
    viewed_within_days: int = _key(0, whole(0))
    max_pages_per_user: int = _key(1000, whole(2))
    max_fit_pairs: int = _key(50_000_000, whole(1))
    tune_seconds: int = _key(120, whole(0))


@dataclass(frozen=True)
class Report:
    """How people are told; tables are in UTC whatever this says."""

    time_zone: str = _key("UTC", time_zone)


@dataclass(frozen=True)
class Schedule:
    """Who is told of nights that fail, and of a month that costs more; 0: no budget."""

    notify: str = _key("", mail_address)
    budget_usd: int = _key(0, whole(0))


@dataclass(frozen=True)
class Config:
    """A validated configuration."""

    aws: Aws = Aws()
    s3: S3 = S3()
    datalake: DataLake = DataLake()
    sources: Sources = Sources()
    user_updates: UserUpdates = field(default_factory=UserUpdates)
    page_views: PageViews = field(default_factory=PageViews)
    clickstream: Clickstream = field(default_factory=Clickstream)
    job: Job = Job()
    cluster: Cluster = Cluster()
    schedule: Schedule = Schedule()
    database: Database = Database()
    csv: Csv = Csv()
    catalog: Catalog = Catalog()
    stream: Stream = Stream()
    recommend: Recommend = Recommend()
    report: Report = Report()
    path: Path | None = None
    warnings: tuple[str, ...] = ()


SECTIONS: dict[str, type] = {
    "AWS": Aws,
    "S3": S3,
    "DATALAKE": DataLake,
    "SOURCES": Sources,
    "USER_UPDATES": UserUpdates,
    "PAGE_VIEWS": PageViews,
    "CLICKSTREAM": Clickstream,
    "JOB": Job,
    "CLUSTER": Cluster,
    "SCHEDULE": Schedule,
    "DATABASE": Database,
    "CSV": Csv,
    "CATALOG": Catalog,
    "STREAM": Stream,
    "RECOMMEND": Recommend,
    "REPORT": Report,
}
