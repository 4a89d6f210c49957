"""What a person sees: stages while a run works, and what it did at the end.

Everything goes to standard error, so that standard output stays free for programs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pyarrow as pa
from rich.console import Console


@dataclass
class Stage:
    """A part of a run: its name, how long it took, and how many rows it handled."""

    name: str
    seconds: float = 0.0
    rows: int | None = None


@dataclass
class Reporter:
    """Tells stages as they happen: live on a terminal, one line each otherwise."""

    console: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))
    stages: list[Stage] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.console.print(text, markup=False)

    def warn(self, text: str) -> None:
        self.console.print(f"[yellow]warning:[/yellow] {_escaped(text)}")

    @contextmanager
    def stage(self, name: str, counter: Callable[[], int] | None = None) -> Iterator[Stage]:
        """Time a stage; `counter` tells how many rows it has read so far.

        What it no longer needs of the memory goes back to the system.
        """
        stage = Stage(name)
        began = time.monotonic()
        with self._live(stage, began, counter):
            yield stage
        pa.default_memory_pool().release_unused()
        stage.seconds = round(time.monotonic() - began, 3)
        self.stages.append(stage)
        self.console.print(
            _line(stage.name, stage.seconds, stage.rows), markup=False, soft_wrap=True
        )

    @contextmanager
    def _live(
        self, stage: Stage, began: float, counter: Callable[[], int] | None
    ) -> Iterator[None]:
        if not self.console.is_terminal:
            yield
            return
        done = threading.Event()
        with self.console.status(stage.name) as status:

            def refresh() -> None:
                while not done.wait(0.2):
                    rows = counter() if counter else None
                    status.update(_line(stage.name, time.monotonic() - began, rows))

            thread = threading.Thread(target=refresh, daemon=True)
            thread.start()
            try:
                yield
            finally:
                done.set()
                thread.join()


def _line(name: str, seconds: float, rows: int | None) -> str:
    if rows is None:
        return f"{name:<34}{seconds:>8.1f} s"
    rate = f"{rows / seconds:>12,.0f} rows/s" if seconds > 0.05 else ""
    return f"{name:<34}{seconds:>8.1f} s {rows:>14,} rows{rate}"


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")
