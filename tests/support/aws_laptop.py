"""Somebody's laptop: deploy.py in this process, with time in the test's hands."""

from __future__ import annotations

import importlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import boto3
from botocore.model import OperationModel, Shape
from botocore.validate import ParamValidator

import aws_server
from clicklake.aws import desired, package
from clicklake.aws.client import Aws
from clicklake.aws.names import Deployment, Place

ROOT = Path(__file__).resolve().parents[2]
REGION = "us-east-1"
MODELS = boto3.Session()._session.get_component("data_loader")
CODE = package.code_zip()  # once: the same code for a whole test, even while somebody edits it
READS = re.compile(r"(Get|Head|List|Describe)")


def script() -> Any:
    """The module behind deploy.py."""
    return importlib.import_module("clicklake.cli.deploy")


@dataclass
class Sent:
    """A request as botocore got it, before it is put on the wire."""

    service: str
    operation: str
    parameters: dict[str, Any]


@dataclass
class Result:
    exit_code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out.splitlines()[-1])


class Killed(BaseException):
    """As by a signal that no program can catch."""


@dataclass
class Laptop:
    """Somebody's machine with a checkout, a dl.cfg and credentials."""

    server: aws_server.Server
    folder: Path
    main: Callable[[list[str]], int]
    capsys: Any
    settings: dict[str, dict[str, Any]]
    sent: list[Sent] = field(default_factory=list)
    ticks: list[Any] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    now: float = 0.0
    killed_after: int | None = None
    meanwhile: dict[int, Callable[[], Any]] = field(default_factory=dict)

    def deploy(self, *arguments: str) -> Result:
        return self.deploy_then(*arguments, then=[])

    def deploy_then(self, *arguments: str, then: list[str]) -> Result:
        """deploy.py with `then` as the job's own arguments."""
        config = self.folder / "dl.cfg"
        lines = []
        for section, keys in self.settings.items():
            lines += [f"[{section}]", *(f"{key} = {value}" for key, value in keys.items())]
        config.write_text("\n".join(lines))
        config.chmod(0o600)
        self.capsys.readouterr()
        of_job = ["--", *then] if then else []
        code = self.main([*arguments, "--config", str(config), *of_job])
        captured = self.capsys.readouterr()
        return Result(code, captured.out, captured.err)

    def sleep(self, seconds: float) -> None:
        """Time passes: the next of `ticks` happens, which is Python for the server or a call."""
        self.now += seconds
        if self.ticks:
            tick = self.ticks.pop(0)
            tick() if callable(tick) else self.server.run(tick)

    def deploy_killed(self, after: int, *arguments: str) -> bool:
        """deploy.py, killed after so many requests that change something; False: it made fewer."""
        self.sent.clear()
        self.killed_after = after
        try:
            self.deploy(*arguments)
        except Killed:
            return True
        finally:
            self.killed_after = None
        return False

    def client(self, service: str, region: str = REGION, **keys: str) -> Any:
        session = boto3.Session(**keys)
        share_models(session)
        return session.client(service, region_name=region)

    def operations(self) -> list[str]:
        return [sent.operation for sent in self.sent]

    def mutations(self) -> list[str]:
        """Operations that change something, apart from the lock around the start of a cluster."""
        return [
            sent.operation
            for sent in self.sent
            if not READS.match(sent.operation) and not _is_lock(sent)
        ]

    def about_to_change(self) -> None:
        """What a test wants to happen before this request, of those that change something."""
        number = sum(not READS.match(name) for name in self.operations()) - 1
        if happens := self.meanwhile.pop(number, None):
            happens()
        if self.killed_after is not None and number >= self.killed_after:
            raise Killed

    @property
    def services(self) -> dict[str, str]:
        """Of each operation, whose it is."""
        return {sent.operation: sent.service for sent in self.sent}

    def parameters(self, operation: str) -> list[dict[str, Any]]:
        """Of each such request, in order; the lock's are left out."""
        return [
            sent.parameters
            for sent in self.sent
            if sent.operation == operation and not _is_lock(sent)
        ]


class RecordingAws(Aws):
    """Keeps each request for `current`, checks it, and shares the clients between tests."""

    current: Laptop
    clients: ClassVar[dict[tuple[str, ...], dict[tuple[str, int], Any]]] = {}

    def __init__(self, config) -> None:
        super().__init__(config, sleep=self.current.waits.append)
        share_models(self.session)
        self.session.events.register("before-parameter-build.*.*", self._record)
        keys = self.session.get_credentials()
        same = (self.region, keys.access_key if keys else "", os.environ["AWS_ENDPOINT_URL"])
        self._clients = self.clients.setdefault(same, {})

    @classmethod
    def _record(cls, params, model, **_) -> None:
        sent = Sent(model.service_model.service_name, model.name, dict(params))
        cls.current.sent.append(sent)
        if not READS.match(model.name):
            check_request(params, model)
            cls.current.about_to_change()


def _is_lock(sent: Sent) -> bool:
    return str(sent.parameters.get("Key", "")).endswith("/launch.lock")


def now(cluster: str, step: str, **more: Any) -> str:
    """Server code that puts the newest cluster and its newest step into these states."""
    lines = [
        "c = list(emr.clusters.values())[-1]",
        f"c.state = {cluster!r}",
        f"c.steps[-1].state = {step!r}",
    ]
    for name, value in more.items():
        target = "c.reason" if name == "reason" else "c.steps[-1].failure"
        lines.append(f"{target} = {value!r}")
    return "\n".join(lines)


TO_COMPLETED = [
    now("STARTING", "PENDING"),
    now("BOOTSTRAPPING", "PENDING"),
    now("RUNNING", "RUNNING"),
    now("RUNNING", "RUNNING"),
    now("TERMINATING", "COMPLETED"),
]


def share_models(session: boto3.Session) -> None:
    """Let sessions share the services' models, which take long to load."""
    session._session.register_component("data_loader", MODELS)


def check_request(parameters: dict[str, Any], operation: OperationModel) -> None:
    """Hold a request against the service's model: types, lengths, and the values it lists."""
    problems = ParamValidator().validate(parameters, operation.input_shape)
    assert not problems.has_errors(), problems.generate_report()
    _check_values(parameters, operation.input_shape, operation.name)


def _check_values(value: Any, shape: Shape, where: str) -> None:
    """botocore's own validator does not look at enums, patterns and lengths of text."""
    if shape.type_name == "structure":
        for name, member in value.items():
            assert name in shape.members, f"{where} has no {name}"
            _check_values(member, shape.members[name], f"{where}.{name}")
    elif shape.type_name == "list":
        for number, member in enumerate(value):
            _check_values(member, shape.member, f"{where}[{number}]")
    elif shape.type_name == "map":
        for name, member in value.items():
            _check_values(member, shape.value, f"{where}.{name}")
    elif shape.type_name == "string" and isinstance(value, str):
        _check_text(value, shape, where)


def _check_text(value: str, shape: Shape, where: str) -> None:
    allowed = shape.metadata.get("enum")
    assert not allowed or value in allowed, f"{where} is {value!r}, not one of {allowed}"
    longest = shape.metadata.get("max")
    assert longest is None or len(value) <= longest, f"{where} is longer than {longest}"
    assert len(value) >= shape.metadata.get("min", 0), f"{where} is too short"
    pattern = shape.metadata.get("pattern")
    if pattern and "\\u" not in pattern and "\\p" not in pattern:
        plain = re.sub(r"\(\?[a-z]\)", "", pattern)  # Python takes such flags in front only
        assert re.fullmatch(plain, value), f"{where} is {value!r}, which is not {pattern}"


OWN = Deployment(
    name="clicklake",
    account="123456789012",
    partition="aws",
    region="us-east-1",
    code=Place("codes", "clicklake"),
    lake=Place("lakes", "lake"),
    logs=Place("lakes", "logs"),
    input_data="s3a://raws/web",
    inputs=(Place("raws", "web"),),
    local_input=None,
    database="clicklake",
)


NETWORK = desired.Network("vpc-1", ("subnet-1", "subnet-2"), ("sg-1",))
