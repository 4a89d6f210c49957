"""A proxy before an S3 server: it counts what changes something, and misbehaves when told to."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FAULTS = ("500", "503", "reset", "cut", "slow", "lost", "lost500")
CHANGING = {"PUT", "POST", "DELETE"}
# Of the connection, not of the message.
_HOP_BY_HOP = {"connection", "keep-alive", "expect", "transfer-encoding"}

Choose = Callable[[str, str], str | None]  # method and path to a fault


class Proxy:
    """What is done to requests; may be changed while requests are served.

    choose: the fault of a request, if any: 500, 503 and reset before the server sees it; lost
    (no answer) and lost500 (an error for an answer) after it has done it; cut, half of the
    answer's body; slow, two seconds late.
    after_change: called with the number of the change, once the server has made it.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.url = ""
        self.choose: Choose = lambda method, path: None
        self.after_change: Callable[[int, str], None] = lambda number, what: None
        self.changes = 0
        self.requests = 0
        self.faults: dict[str, int] = {}
        self._lock = threading.Lock()

    def reset(self) -> None:
        self.changes = 0
        self.requests = 0
        self.faults = {}
        self.choose = lambda method, path: None
        self.after_change = lambda number, what: None

    def chosen(self, method: str, path: str) -> str | None:
        with self._lock:
            self.requests += 1
            fault = self.choose(method, path)
            if fault:
                self.faults[fault] = self.faults.get(fault, 0) + 1
            return fault

    def changed(self, method: str, path: str) -> None:
        with self._lock:
            self.changes += 1
            self.after_change(self.changes, f"{method} {path}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        with suppress(ConnectionError, TimeoutError):
            super().handle()

    def _relay(self) -> None:
        proxy = self.server.proxy
        body = self._body()
        fault = proxy.chosen(self.command, self.path)
        if fault in ("500", "503"):
            return self._refuse(int(fault))
        if fault == "reset":
            return self._hang_up()
        if fault == "slow":
            time.sleep(2)
        connection = http.client.HTTPConnection(proxy.upstream, timeout=60)
        try:
            headers = [(k, v) for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP]
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if self.command in CHANGING and answer.status < 300:
            proxy.changed(self.command, self.path)
        if fault == "lost":
            return self._hang_up()
        if fault == "lost500":
            return self._refuse(500)
        return self._answer(answer, data, cut=fault == "cut")

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _relay  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            raise ConnectionError("chunked bodies are not relayed")
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, answer: http.client.HTTPResponse, data: bytes, *, cut: bool) -> None:
        self.send_response_only(answer.status, answer.reason)
        has_length = False
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP:
                has_length = has_length or name.lower() == "content-length"
                self.send_header(name, value)
        if not has_length and self.command != "HEAD" and answer.status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if cut and data:
            self.wfile.write(data[: len(data) // 2])
            return self._hang_up()
        self.wfile.write(data)
        return None

    def _refuse(self, status: int) -> None:
        code = "SlowDown" if status == 503 else "InternalError"
        data = f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _hang_up(self) -> None:
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
        raise ConnectionAbortedError

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.proxy = proxy

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextmanager
def proxy(upstream: str) -> Iterator[Proxy]:
    """A proxy before `upstream`, on a port of 127.0.0.1."""
    made = Proxy(upstream)
    server = _Server(made)
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
