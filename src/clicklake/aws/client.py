"""The one way to AWS: calls go out here, and AWS's errors come back as ours.

Of the deployer no other module imports boto3.
"""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import boto3
import botocore.config
from botocore import exceptions as botocore_errors

from clicklake import __version__
from clicklake.config import Config
from clicklake.errors import AccessError, CapacityError, ClicklakeError, ConfigError, ConflictError

ATTEMPTS = 6
PROPAGATION_TRIES = 12
PROPAGATION_SECONDS = 5


class UnreachableError(ClicklakeError):
    """AWS, or the endpoint given in its place, does not answer."""


# Of AWS's code, or of the HTTP status where a HEAD request carries no code; the first counts.
_KINDS: tuple[tuple[str, type[ClicklakeError]], ...] = (
    (
        "AccessDenied|AccessKeyId|AuthFailure|^403$|Expired|IncompleteSignature|ClientTokenId"
        "|InvalidToken|MissingAuth|OptInRequired|SignatureDoesNotMatch|TimeTooSkewed"
        "|TokenRefresh|Unauthorized|UnrecognizedClient",
        AccessError,
    ),
    (
        "AlreadyExists|AlreadyOwned|AuthorizationHeader|IllegalLocation|OperationAborted"
        "|Redirect|^301$",
        ConflictError,
    ),
    (
        "CapacityReached|InsufficientInstance|LimitExceeded|QuotaExceeded|SlowDown|Throttl|TooMany",
        CapacityError,
    ),
    ("Invalid|Malformed|NoSuchBucket|Validation", ConfigError),
)
_ADVICE: dict[type[ClicklakeError], str] = {
    AccessError: "Check who you are and what you may do: aws sts get-caller-identity",
    ConflictError: "Choose another name or region in dl.cfg, then: deploy.py plan",
    CapacityError: "Try again later, set other types or fewer nodes in [CLUSTER] of dl.cfg, or ask "
    "for a higher quota: aws service-quotas list-service-quotas --service-code ec2",
    ConfigError: "Correct dl.cfg, then: deploy.py plan",
    ClicklakeError: "See what there is: deploy.py status",
    UnreachableError: "Check REGION, AWS_ENDPOINT_URL and the network, then try again.",
}
_NO_CREDENTIALS = (
    botocore_errors.NoCredentialsError,
    botocore_errors.PartialCredentialsError,
    botocore_errors.CredentialRetrievalError,
    botocore_errors.ProfileNotFound,
    botocore_errors.SSOError,
    botocore_errors.TokenRetrievalError,
)
_NO_ANSWER = (botocore_errors.HTTPClientError, botocore_errors.ConnectionError)
_RESOURCE_PARAMETERS = (
    "Bucket",
    "RoleName",
    "InstanceProfileName",
    "ClusterId",
    "JobFlowId",
    "Name",
    "DatabaseName",
    "DatabaseInput",
    "ResourceArn",
    "SubnetIds",
    "InstanceTypes",
)


class Aws:
    """A session in one account and region.

    `AWS_ENDPOINT_URL` and the standard chain of credentials are honoured; keys and region of
    dl.cfg come first when given. Raises ConfigError or AccessError when there is no way in.
    """

    def __init__(self, config: Config, sleep: Callable[[float], None] = time.sleep) -> None:
        keys = config.aws
        if bool(keys.aws_access_key_id) != bool(keys.aws_secret_access_key):
            raise ConfigError(
                "dl.cfg: [AWS] needs both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or neither."
            )
        try:
            self.session = boto3.Session(
                aws_access_key_id=keys.aws_access_key_id or None,
                aws_secret_access_key=keys.aws_secret_access_key or None,
                region_name=config.cluster.region or None,
            )
        except botocore_errors.BotoCoreError as error:
            _raise(error, "the AWS profile")
        if self.session.region_name is None:
            raise ConfigError(
                "No AWS region: looked at REGION in [CLUSTER] of dl.cfg, AWS_DEFAULT_REGION and "
                "the AWS profile. Set one of them, for instance: aws configure"
            )
        self._sleep = sleep
        self._clients: dict[tuple[str, int], Any] = {}

    @property
    def region(self) -> str:
        return str(self.session.region_name)

    @cached_property
    def identity(self) -> tuple[str, str]:
        """The account's number and the partition ("aws", "aws-cn", …) that it is in."""
        caller = self.call("sts", "get_caller_identity")
        return caller["Account"], caller["Arn"].split(":")[1]

    @property
    def secure(self) -> bool:
        """False where the endpoint is plain http, as emulators' are."""
        return str(self._client("s3").meta.endpoint_url).startswith("https:")

    def call(
        self,
        service: str,
        operation: str,
        *,
        retry_on: str = "",
        watch: Callable[[int], None] | None = None,
        **request: Any,
    ) -> dict[str, Any]:
        """Make one call. `Body` may be a path: the file is sent.

        `watch` is told how many bytes of it have been read.

        `retry_on`: words of an error that AWS gives for some seconds after a change elsewhere;
        the call is made again, a bounded number of times.
        """
        for attempt in range(1, PROPAGATION_TRIES + 1):
            try:
                return self._send(service, operation, request, watch)
            except botocore_errors.BotoCoreError as error:
                _raise(error, _resource(operation, request))
            except botocore_errors.ClientError as error:
                again = retry_on and retry_on in str(error) and attempt < PROPAGATION_TRIES
                if not again:
                    _raise(error, _resource(operation, request))
                self._sleep(PROPAGATION_SECONDS)
        raise AssertionError("the last attempt returns or raises")

    def find(
        self, service: str, operation: str, absent: tuple[str, ...], **request: Any
    ) -> dict[str, Any] | None:
        """Make one call; None if AWS answers with one of the codes in `absent`."""
        try:
            return self._send(service, operation, request)
        except botocore_errors.ClientError as error:
            if _code(error) in absent:
                return None
            _raise(error, _resource(operation, request))
        except botocore_errors.BotoCoreError as error:
            _raise(error, _resource(operation, request))

    def items(self, service: str, operation: str, key: str, **request: Any) -> Iterator[Any]:
        """Every item under `key`, over all pages of a listing."""
        pages = self._client(service).get_paginator(operation).paginate(**request)
        try:
            for page in pages:
                yield from page.get(key, ())
        except (botocore_errors.ClientError, botocore_errors.BotoCoreError) as error:
            _raise(error, _resource(operation, request))

    def knows(self, service: str, operation: str, **request: Any) -> bool:
        """Whether a call that reads is answered: AWS knows all, emulators lack some."""
        if self.secure:
            return True
        try:
            getattr(self._client(service, attempts=1), operation)(**request)
        except botocore_errors.ClientError as error:
            status: int = error.response["ResponseMetadata"]["HTTPStatusCode"]
            return status < 500
        except botocore_errors.BotoCoreError as error:
            _raise(error, _resource(operation, request))
        return True

    def _send(
        self,
        service: str,
        operation: str,
        request: dict[str, Any],
        watch: Callable[[int], None] | None = None,
    ) -> dict[str, Any]:
        method = getattr(self._client(service), operation)
        if isinstance(body := request.get("Body"), Path):
            with _Watched(body, watch) as file:
                return method(**{**request, "Body": file})
        return method(**request)

    def _client(self, service: str, attempts: int = ATTEMPTS) -> Any:
        key = (service, attempts)
        if key not in self._clients:
            # Emulators answer at an address that no bucket's name can be put in front of.
            style = "path" if os.environ.get("AWS_ENDPOINT_URL") else "auto"
            options = botocore.config.Config(
                retries={"mode": "standard", "max_attempts": attempts},
                connect_timeout=10,
                user_agent_extra=f"clicklake/{__version__}",
                s3={"addressing_style": style},
            )
            try:
                self._clients[key] = self.session.client(service, config=options)
            except (botocore_errors.BotoCoreError, ValueError) as error:
                _raise(error, f"the endpoint of {service}")
        return self._clients[key]


class _Watched(io.FileIO):
    """A file that tells how far it has been read; a request that signs its body reads twice."""

    def __init__(self, path: Path, watch: Callable[[int], None] | None) -> None:
        super().__init__(path)
        self._watch = watch

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(-1 if size is None else size)
        if self._watch:
            self._watch(self.tell())
        return data or b""


def _code(error: Exception) -> str:
    if isinstance(error, botocore_errors.ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return type(error).__name__


def _resource(operation: str, request: dict[str, Any]) -> str:
    name = next((request[key] for key in _RESOURCE_PARAMETERS if key in request), None)
    what = operation.replace("_", " ")
    if name is None:
        return what
    if isinstance(name, dict):
        name = name["Name"]
    return f"{what} {name if isinstance(name, str) else ', '.join(name)}"


def _raise(error: Exception, resource: str) -> NoReturn:
    """Say what failed, for which resource, AWS's code and words, and what to do next."""
    kind = _kind(error)
    if isinstance(error, botocore_errors.ClientError):
        said = error.response.get("Error", {}).get("Message") or "no further word"
    else:
        said = str(error)
    raise kind(f"{resource}: {_code(error)}: {said.rstrip('.')}. {_ADVICE[kind]}") from error


def _kind(error: Exception) -> type[ClicklakeError]:
    if isinstance(error, _NO_CREDENTIALS):
        return AccessError
    if isinstance(error, _NO_ANSWER):
        return UnreachableError
    if isinstance(error, botocore_errors.ClientError):
        code = _code(error)
        return next((kind for words, kind in _KINDS if re.search(words, code)), ClicklakeError)
    return ConfigError
