"""A command's wall time, processor time, peak memory and bytes written, with all its children."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

INTERVAL = 0.05  # seconds between two looks at the processes


@dataclass(frozen=True)
class Cost:
    """What a command took. `cpu`: user and system seconds; sizes in MB (10**6 bytes)."""

    wall: float
    cpu: float
    memory: float
    written: float

    def as_dict(self) -> dict[str, float]:
        return {name: round(value, 3) for name, value in asdict(self).items()}


class CommandFailedError(Exception):
    pass


def measured(
    command: Sequence[str | Path], env: Mapping[str, str], log: Path, timeout: float = 14_400
) -> Cost:
    """Run a command to its end. Its output goes to `log`; raises CommandFailedError with it."""
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    tree = _Tree(process.pid)
    try:
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            tree.look()
            if time.monotonic() - began > timeout:
                raise CommandFailedError(f"{command[0]} took longer than {timeout:.0f} s")
            time.sleep(INTERVAL)
        wall = time.monotonic() - began
    except BaseException:
        tree.kill()
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        text = log.read_text(errors="replace")[-4000:]
        raise CommandFailedError(f"exit code {process.returncode}\n{text}")
    # The kernel counts exactly, but only children that their parents waited for.
    cpu = max(usage.ru_utime + usage.ru_stime, tree.cpu)
    return Cost(wall, cpu, tree.peak / 1e6, tree.written / 1e6)


class _Tree:
    """A process and its descendants, looked at again and again."""

    def __init__(self, pid: int) -> None:
        self.root = psutil.Process(pid)
        self.seen: dict[int, psutil.Process] = {}
        self.peak = 0
        self._cpu: dict[int, float] = {}
        self._written: dict[int, int] = {}

    @property
    def cpu(self) -> float:
        return sum(self._cpu.values())

    @property
    def written(self) -> int:
        return sum(self._written.values())

    def look(self) -> None:
        try:
            processes = [self.root, *self.root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        total = 0
        for process in processes:
            self.seen[process.pid] = process
            try:
                times = process.cpu_times()
                self._cpu[process.pid] = times.user + times.system
                self._written[process.pid] = process.io_counters().write_chars
                total += self._memory(process, shared=len(processes) > 1)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        self.peak = max(self.peak, total)

    @staticmethod
    def _memory(process: psutil.Process, *, shared: bool) -> int:
        """Of several processes each one's share of what they have in common (PSS)."""
        return process.memory_full_info().pss if shared else process.memory_info().rss

    def kill(self) -> None:
        for process in self.seen.values():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
