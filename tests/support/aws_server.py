"""moto as a process of its own, with what an emulator of EMR lacks: time that passes.

Beside AWS's own paths it answers `POST /_test/<hook>` with a JSON body:
  run        {"code": python}: run in the server, with `emr` the default account's backend
  recorded   {}: every request since the last call
  fail       {"match": text, …}: answer the next requests that contain the text with an error,
             or with status 0 by hanging up
  reset      {}: forget everything
"""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass

ACCOUNT = "123456789012"

# As AWS has them; `emr.released` of a test takes their place.
RELEASED = {
    "emr-spark-8.1.0": "4.1.1-amzn-0",
    "emr-spark-8.0.0": "4.0.2-amzn-0",
    "emr-7.14.0": "3.5.8-amzn-0",
}


@dataclass
class Server:
    url: str

    def hook(self, name: str, **body: object) -> object:
        request = urllib.request.Request(
            f"{self.url}/_test/{name}", data=json.dumps(body).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def run(self, code: str) -> object:
        """Run Python in the server; what it assigns to `result` comes back."""
        return self.hook("run", code=code)

    def recorded(self) -> list[dict]:
        return self.hook("recorded")

    def fail(self, match: str, **how: object) -> None:
        """Answer the next requests that contain `match` with an error."""
        self.hook("fail", match=match, **how)

    def reset(self) -> None:
        self.hook("reset")


@contextmanager
def running(**environment: str):
    """A server on a free port of 127.0.0.1, ended on leaving."""
    process = subprocess.Popen(
        [sys.executable, __file__],
        stdout=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
            "MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS": "false",
            **environment,
        },
    )
    try:
        port = process.stdout.readline().strip()
        assert port, "the server did not start"
        yield Server(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(timeout=30)


def _main() -> None:
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    _give_reasons()
    app = _Hooks(DomainDispatcherApplication(create_backend_app))

    class Quiet(MotoRequestHandler):
        def log_request(self, *_: object) -> None:
            pass

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    print(server.server_port, flush=True)
    server.serve_forever()


def _give_reasons() -> None:
    """moto's states carry no codes and no failure details: take them from `reason`, `failure`."""
    from moto.emr import models

    for kind in (models.Cluster, models.Step):
        kind.status = property(_with_reason(kind.status.fget))


def _with_reason(plain):
    def status(self) -> dict:
        found = plain(self)
        if reason := getattr(self, "reason", None):
            found["StateChangeReason"] = reason
        if failure := getattr(self, "failure", None):
            found["FailureDetails"] = failure
        return found

    return status


def _lacking(environ, body: bytes) -> dict | None:
    """The answer to an operation of EMR that moto lacks; None if it is for moto."""
    from moto.emr.models import emr_backends

    emr = emr_backends[ACCOUNT]["us-east-1"]
    operation = environ.get("HTTP_X_AMZ_TARGET", "").removeprefix("ElasticMapReduce.")
    if operation == "ListSecurityConfigurations":
        return {"SecurityConfigurations": [{"Name": each} for each in emr.security_configurations]}
    if operation == "DescribeReleaseLabel":
        release = json.loads(body)["ReleaseLabel"]
        spark = getattr(emr, "released", RELEASED).get(release)
        if spark is None:
            return {"__type": "InvalidRequestException", "message": f"{release} is not valid"}
        applications = [{"Name": "Hadoop", "Version": "3"}, {"Name": "Spark", "Version": spark}]
        return {"ReleaseLabel": release, "Applications": applications}
    return None


def _made(backends):
    """The backends of all accounts and regions that were used so far."""
    return [backend for account in backends.values() for backend in dict(account).values()]


class _Hooks:
    """Records requests, injects errors, answers the hooks, and leaves the rest to moto."""

    def __init__(self, app) -> None:
        self._app = app
        self._recorded: list[dict] = []
        self._faults: list[dict] = []
        self._lock = threading.Lock()

    def __call__(self, environ, start):
        size = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(size) if size else b""
        path = environ["PATH_INFO"]
        if path.startswith("/_test/"):
            answer = getattr(self, f"hook_{path.rpartition('/')[2]}")(**json.loads(body or b"{}"))
            start("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(answer, default=str).encode()]
        if size:
            environ["wsgi.input"] = io.BytesIO(body)
        request = self._record(environ, body)
        fault = self._fault(request)
        if fault and not fault["status"]:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return []
        if fault:
            start(f"{fault['status']} Fault", [("Content-Type", fault["type"])])
            return [fault["body"].encode()]
        if answer := _lacking(environ, body):
            start(
                "400 Bad" if "__type" in answer else "200 OK",
                [("Content-Type", "application/x-amz-json-1.1")],
            )
            return [json.dumps(answer).encode()]
        return self._app(environ, start)

    def _record(self, environ, body: bytes) -> dict:
        headers = {key[5:]: value for key, value in environ.items() if key.startswith("HTTP_")}
        request = {
            "method": environ["REQUEST_METHOD"],
            "path": environ["PATH_INFO"],
            "query": environ.get("QUERY_STRING", ""),
            "headers": headers,
            "size": len(body),
            "body": body[:2_000_000].decode("latin-1"),
        }
        with self._lock:
            self._recorded.append(request)
        return request

    def _fault(self, request: dict) -> dict | None:
        text = json.dumps(request)
        with self._lock:
            for fault in self._faults:
                if fault["match"] in text and fault["times"] > 0:
                    if fault["skip"] > 0:
                        fault["skip"] -= 1
                        continue
                    fault["times"] -= 1
                    return fault
        return None

    def hook_run(self, code: str) -> object:
        from moto.emr.models import emr_backends

        names = {"emr": emr_backends[ACCOUNT]["us-east-1"], "result": None}
        exec(code, names)
        return names["result"]

    def hook_fail(
        self, match, times=1, status=400, code="", message="", skip=0, form="json"
    ) -> None:
        if form == "json":
            body = json.dumps({"__type": code, "message": message})
        else:
            body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
            if form == "query":  # IAM, EC2, STS
                body = f"<ErrorResponse>{body}</ErrorResponse>"
        kind = "application/x-amz-json-1.1" if form == "json" else "application/xml"
        fault = {"match": match, "times": times, "status": status, "skip": skip}
        self._faults.append({**fault, "body": body, "type": kind})

    def hook_reset(self) -> None:
        """Forget all that a deployment makes. EC2 and AWS's own policies stay: they load slowly."""
        from moto.budgets.models import budgets_backends
        from moto.cloudwatch.models import cloudwatch_backends
        from moto.emr.models import emr_backends
        from moto.events.models import events_backends
        from moto.glue.models import glue_backends
        from moto.iam.models import iam_backends
        from moto.s3.models import s3_backends
        from moto.scheduler.models import scheduler_backends
        from moto.sns.models import sns_backends

        others = [emr_backends, glue_backends, scheduler_backends, events_backends, sns_backends]
        others += [cloudwatch_backends, budgets_backends]
        for backend in _made(s3_backends):
            backend.reset()
        for backend in _made(iam_backends):
            backend.roles.clear()
            backend.instance_profiles.clear()
            backend.users.clear()
            backend.access_keys.clear()
        for backend in [each for backends in others for each in _made(backends)]:
            backend.reset()
        s3_backends.bucket_accounts.clear()
        self._recorded.clear()
        self._faults.clear()

    def hook_recorded(self) -> list[dict]:
        with self._lock:
            recorded, self._recorded = self._recorded, []
        return recorded


if __name__ == "__main__":
    _main()
