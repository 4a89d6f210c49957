"""An Iceberg REST catalog on 127.0.0.1: the routes that a client of tables asks for.

Routes, bodies and codes are those of Iceberg's REST specification; what they keep is in a SQLite
catalog.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pyiceberg.catalog.rest import (
    CreateTableRequest,
    ListTablesResponse,
    NamespaceResponse,
    TableResponse,
)
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
)
from pyiceberg.table import CommitTableRequest, Table
from pyiceberg.typedef import IcebergBaseModel

_TABLES = re.compile(r"/v1/namespaces/(\w+)/tables(?:/(\w+))?")
_CODES = {
    NoSuchNamespaceError: 404,
    NoSuchTableError: 404,
    NamespaceAlreadyExistsError: 409,
    CommitFailedException: 409,
}


@contextmanager
def rest_catalog(folder: Any) -> Iterator[tuple[str, list[str]]]:
    """The server's address, and the requests that were made of it ("GET /v1/config"), each followed
    by its token, if it has one."""
    asked: list[str] = []
    uri = f"sqlite:///{folder}/rest.db"
    with closing(SqlCatalog("rest", uri=uri, warehouse=f"file://{folder}")) as kept:
        handler = type("Handler", (_Handler,), {"kept": kept, "asked": asked})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            serving.join()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    kept: SqlCatalog
    asked: list[str]

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        token = self.headers.get("Authorization", "").removesuffix("Bearer None")
        self.asked.append(f"{self.command} {path} {token}".strip())
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            code, answer = 200, self._result(path, body)
        except tuple(_CODES) as error:
            code = _CODES[type(error)]
            told = {"message": str(error), "type": type(error).__name__, "code": code}
            answer = {"error": told}
        self.send_response(code if answer is not None else 204)
        data = _json(answer)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_HEAD = do_POST = do_DELETE = _answer  # noqa: N815

    def _result(self, path: str, body: bytes) -> Any:
        if path == "/v1/config":
            return {"defaults": {}, "overrides": {}}
        if path == "/v1/namespaces":
            made = NamespaceResponse.model_validate_json(body)
            self.kept.create_namespace(made.namespace)
            return made
        if found := _TABLES.fullmatch(path):
            return self._of_tables(found[1], found[2], body)
        space = path.removeprefix("/v1/namespaces/")
        return NamespaceResponse(
            namespace=(space,), properties=self.kept.load_namespace_properties(space)
        )

    def _of_tables(self, space: str, name: str | None, body: bytes) -> Any:
        if name is None and self.command == "GET":
            there = [
                {"namespace": [space], "name": each[-1]} for each in self.kept.list_tables(space)
            ]
            return ListTablesResponse(identifiers=there)
        if name is None:
            return _told(self._made(space, CreateTableRequest.model_validate_json(body)))
        if self.command == "DELETE":
            return self.kept.drop_table((space, name))
        table = self.kept.load_table((space, name))
        if self.command == "POST":
            wanted = CommitTableRequest.model_validate_json(body)
            self.kept.commit_table(table, wanted.requirements, wanted.updates)
            table = self.kept.load_table((space, name))
        return _told(table)

    def _made(self, space: str, wanted: CreateTableRequest) -> Table:
        kept: dict[str, Any] = {"location": wanted.location, "properties": wanted.properties}
        kept |= {"partition_spec": wanted.partition_spec} if wanted.partition_spec else {}
        return self.kept.create_table((space, wanted.name), wanted.table_schema, **kept)

    def log_message(self, *args: object) -> None:
        """Nothing."""


def _told(table: Table) -> TableResponse:
    return TableResponse.model_validate(
        {"metadata-location": table.metadata_location, "metadata": table.metadata, "config": {}}
    )


def _json(answer: Any) -> bytes:
    if answer is None:
        return b""
    if isinstance(answer, IcebergBaseModel):
        return answer.model_dump_json().encode()
    return json.dumps(answer).encode()
