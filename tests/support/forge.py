"""Runs of `etl.py`, each a process group of its own, forked from a process that has imported all.

A run may be told to kill its whole group after the n-th call that changes a file below a folder,
to find the disk full from that call on, or to see another time (`shim.c`). The product knows
nothing of this. With `torture.so` absent (no C compiler) such runs cannot be had.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MODES = {"count": 0, "kill": 1, "full": 2}


@cache
def shim() -> Path | None:
    """The compiled shim, kept in the project's cache; None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler or not sys.platform.startswith("linux"):
        return None
    source = HERE / "shim.c"
    made = ROOT / ".cache" / "torture" / f"shim-{source.stat().st_mtime_ns}.so"
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", made, source, "-ldl"]
        subprocess.run(command, check=True)
    return made


@dataclass
class Result:
    """How a run ended. `code` is negative if a signal ended it."""

    code: int
    out: str
    err: str
    changes: int  # calls that changed a file; only of a run that came to its end

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL

    @property
    def metrics(self) -> dict[str, Any]:
        return json.loads(self.out.splitlines()[-1])


class Run:
    """A run that has been started."""

    def __init__(self, forge: Forge, pid: int, folder: Path) -> None:
        self._forge = forge
        self.pid = pid
        self.folder = folder

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def wait(self, timeout: float = 300) -> Result:
        code = self._forge.ask(wait=self.pid, timeout=timeout)["code"]
        if code is None:
            self.kill()
            raise TimeoutError(f"a run did not end within {timeout} s: {self._text('err')}")
        changes = self._text("changes")
        result = Result(code, self._text("out"), self._text("err"), int(changes or 0))
        shutil.rmtree(self.folder)
        return result

    def _text(self, name: str) -> str:
        file = self.folder / name
        return file.read_text() if file.exists() else ""


class Forge:
    """The process that all runs are forked from."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        preload = {"LD_PRELOAD": str(shim())} if shim() else {}
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **preload, "GRPC_ENABLE_FORK_SUPPORT": "0", **environment},
            cwd=ROOT / "src",
        )
        self._folder = Path(tempfile.mkdtemp(prefix="torture-"))
        self._count = 0

    def ask(self, **request: Any) -> dict[str, Any]:
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(
        self,
        arguments: Sequence[str],
        *,
        watch: Path | None = None,
        mode: str = "count",
        at: int = 0,
        clock: int = 0,
        ttl: float | None = None,
        begin: float = 0,
        user: int | None = None,
        **environment: str,
    ) -> Run:
        """Start `etl.py` with these arguments.

        watch: the folder whose changes count; `mode` and `at`: what happens after how many.
        clock: seconds by which its clock is wrong. ttl: of leases on S3. begin: when to start.
        user: the numeric user that it runs as.
        """
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir()
        folder.chmod(0o777)
        answer = self.ask(
            arguments=list(arguments),
            folder=str(folder),
            watch=str(watch) if watch else None,
            mode=MODES[mode],
            at=at,
            clock=clock,
            ttl=ttl,
            begin=begin,
            user=user,
            environment=environment,
        )
        return Run(self, answer["pid"], folder)

    def run(self, arguments: Sequence[str], timeout: float = 300, **how: Any) -> Result:
        return self.start(arguments, **how).wait(timeout)

    def stop(self) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=30)
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def forge(**environment: str) -> Iterator[Forge]:
    started = Forge(environment)
    started._folder.chmod(0o755)
    try:
        yield started
    finally:
        started.stop()


# ------------------------------------------------------------------ in the forking process


def _main() -> None:
    os.environ.pop("LD_PRELOAD", None)
    sys.path.insert(0, str(ROOT / "src"))
    _import_everything()
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer = {"code": _wait(request["wait"], request["timeout"])}
        else:
            answer = {"pid": _fork(request)}
        print(json.dumps(answer), flush=True)


def _import_everything() -> None:
    import encodings.utf_8_sig  # noqa: F401 - a run as another user may not find it

    import adbc_driver_duckdb.dbapi  # noqa: F401
    import boto3
    import botocore.config  # noqa: F401
    import grpc  # noqa: F401
    import polars  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import pysail.spark  # noqa: F401
    import pyspark.sql.connect.datasource
    import pyspark.sql.connect.session
    import pyspark.sql.connect.window
    import pyspark.worker  # noqa: F401

    for room in (
        "cli.main",
        "run.steps",
        "run.job",
        "engines.sail",
        "publish.duckdb",
        "report.page",
    ):
        importlib.import_module(f"clicklake.{room}")
    if "AWS_ENDPOINT_URL" in os.environ:
        boto3.client("s3")  # so that its description is read once


def _wait(pid: int, timeout: float) -> int | None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None


def _fork(request: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        _child(request)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(70)
    return 0


def _child(request: dict[str, Any]) -> None:
    os.setsid()
    folder = Path(request["folder"])
    for descriptor, name in ((0, None), (1, "out"), (2, "err")):
        flags = os.O_RDONLY if name is None else os.O_WRONLY | os.O_CREAT
        os.dup2(os.open(folder / name if name else os.devnull, flags, 0o666), descriptor)
    os.environ.update(request["environment"])
    if request["user"]:
        os.setgroups([])
        os.setgid(request["user"])
        os.setuid(request["user"])
    if request["environment"].keys() & {"TZ"}:
        time.tzset()
    if request["ttl"]:
        from clicklake.lake import lease

        lease.TTL = request["ttl"]
    library = _arm(request, folder)
    time.sleep(max(0, request["begin"] - time.time()))
    from clicklake.cli.main import main

    code = main(request["arguments"])
    sys.stdout.flush()
    sys.stderr.flush()
    if library:
        (folder / "changes").write_text(str(library.torture_calls()))
    os._exit(code)


def _arm(request: dict[str, Any], folder: Path) -> Any:
    library_path = shim()
    if not library_path:
        return None
    import ctypes

    library = ctypes.CDLL(str(library_path))
    library.torture_clock(ctypes.c_long(request["clock"]))
    if request["watch"]:
        journal = os.open(folder / "journal", os.O_WRONLY | os.O_CREAT, 0o666)
        library.torture_arm(request["watch"].encode(), request["mode"], request["at"], journal)
    return library


if __name__ == "__main__":
    _main()
