"""A schema registry: which id a schema has, and which schema an id stands for.

The routes, bodies and error codes are those of Confluent's Schema Registry API; other registries
(Apicurio, Karapace, Redpanda) have them as well.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote

from clicklake.errors import AccessError

PREFIX = "schema.registry."  # of its settings in KAFKA_PROPERTIES
_USER_INFO = "basic.auth.user.info"
_CA_FILE = "ssl.ca.location"
_CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
_TIMEOUT = 20.0
_NO_SUCH_SCHEMA = 40403
_SAID_LENGTH = 300


class Registry:
    """A registry at an address, which is never shown with user and password."""

    def __init__(self, address: str, properties: Mapping[str, str]) -> None:
        """`properties`: those of KAFKA_PROPERTIES; user and password may be in the environment."""
        self.address = address
        name = (PREFIX + _USER_INFO).upper().replace(".", "_")
        self._user_info = properties.get(PREFIX + _USER_INFO) or os.environ.get(name, "")
        self._ca_file = properties.get(PREFIX + _CA_FILE)

    def register(self, subject: str, schema: str) -> int:
        """The id of an Avro schema, which is registered under `subject` if it is not yet.

        Raises AccessError if the registry is out of reach, or refuses it.
        """
        path = f"/subjects/{quote(subject, safe='')}/versions"
        answer = self._ask("POST", path, {"schema": schema})
        id_ = answer.get("id") if answer else None
        if type(id_) is not int or not 0 <= id_ < 2**32:
            raise self._failed("it gave no id to the schema")
        return id_

    def schema(self, id_: int) -> str | None:
        """The Avro schema of an id; "" if it is of another kind, None if there is none.

        Raises AccessError if the registry is out of reach.
        """
        answer = self._ask("GET", f"/schemas/ids/{id_}")
        if answer is None:
            return None
        is_avro = answer.get("schemaType", "AVRO") == "AVRO"
        return str(answer.get("schema", "")) if is_avro else ""

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any] | None:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, method=method)  # noqa: S310 - http
        request.add_header("Accept", _CONTENT_TYPE)
        request.add_header("Content-Type", _CONTENT_TYPE)
        if self._user_info:
            secret = base64.b64encode(self._user_info.encode()).decode()
            # A server that is redirected to must not get it.
            request.add_unredirected_header("Authorization", f"Basic {secret}")
        try:
            tls = ssl.create_default_context(cafile=self._ca_file)
            with urllib.request.urlopen(request, timeout=_TIMEOUT, context=tls) as answer:  # noqa: S310
                found = json.load(answer)
        except HTTPError as error:
            code, said = _told(error)
            if error.code == 404 and code == _NO_SUCH_SCHEMA:
                return None
            raise self._failed(f"HTTP {error.code} {said}".strip()) from None
        except (OSError, HTTPException, ValueError) as error:
            raise self._failed(str(getattr(error, "reason", error))) from None
        if not isinstance(found, dict):
            raise self._failed("it answers otherwise than a schema registry does")
        return found

    def _failed(self, reason: str) -> AccessError:
        return AccessError(
            f"The schema registry {self.address} cannot be used ({reason}). Check that it runs, "
            "[STREAM] SCHEMA_REGISTRY and, if it asks for a user and password, "
            f"{PREFIX}{_USER_INFO} in [STREAM] KAFKA_PROPERTIES."
        )


def _told(error: HTTPError) -> tuple[int, str]:
    """The registry's own code and words."""
    try:
        answer = json.loads(error.read())
        return int(answer.get("error_code", 0)), str(answer["message"])[:_SAID_LENGTH]
    except (OSError, HTTPException, ValueError, TypeError, LookupError, AttributeError):
        return 0, ""
