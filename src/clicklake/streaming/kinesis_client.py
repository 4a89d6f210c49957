"""Connections to Kinesis, and its errors in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from clicklake.config import Config
from clicklake.errors import AccessError, ConfigError, InputError
from clicklake.streaming.stream import (
    StreamBrokenError,
)


def client(config: Config) -> Any:
    """A Kinesis client in the region of dl.cfg, or that of the standard AWS chain."""
    import boto3
    import botocore.config

    try:
        return boto3.client(
            "kinesis",
            region_name=config.cluster.region or None,
            config=botocore.config.Config(retries={"mode": "standard", "total_max_attempts": 8}),
        )
    except NoRegionError:
        raise ConfigError(
            "Kinesis needs a region: set [CLUSTER] REGION in dl.cfg or AWS_DEFAULT_REGION."
        ) from None


def arn_of(client: Any, stream: str) -> str:
    with told(stream):
        answer = client.describe_stream_summary(StreamName=stream)
    return str(answer["StreamDescriptionSummary"]["StreamARN"])


class ExpiredError(Exception):
    """A shard iterator is good for five minutes."""


@contextmanager
def told(stream: str, broken: bool = False) -> Iterator[None]:
    """Turn the SDK's errors into ours; `broken`: those that may pass are StreamBrokenError."""
    try:
        yield
    except NoCredentialsError:
        raise AccessError("Kinesis: no AWS credentials were found.") from None
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ResourceNotFoundException":
            raise InputError(f"There is no Kinesis stream {stream}. Create it first.") from None
        if code == "ExpiredIteratorException":
            raise ExpiredError from None
        if broken and code in _PASSING:
            raise StreamBrokenError(f"Kinesis: {code}") from None
        raise AccessError(f"Kinesis stream {stream}: {code}.") from None
    except BotoCoreError as error:
        name = type(error).__name__
        if broken:
            raise StreamBrokenError(f"Kinesis: {name}") from None
        raise AccessError(f"Kinesis stream {stream} does not answer ({name}).") from None


_PASSING = {
    "InternalFailure",
    "KMSThrottlingException",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "ServiceUnavailable",
}
