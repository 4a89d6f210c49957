"""What a person sees: stages while a run works, and what it did at the end.

Everything goes to standard error, so that standard output stays free for programs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pyarrow as pa
from rich.console import Console
from rich.text import Text

from clicklake.progress.bar import Bar
from clicklake.progress.work import WORK
from clicklake.shown import harmless


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
        self.console.print(harmless(text), markup=False, soft_wrap=not self.console.is_terminal)

    def warn(self, text: str) -> None:
        shown = Text.assemble(("warning:", "yellow"), " ", harmless(text))
        self.console.print(shown, soft_wrap=not self.console.is_terminal)

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Time a stage, and show how far `WORK` is.

        What it no longer needs of the memory goes back to the system.
        """
        stage = Stage(name)
        WORK.begin()
        began = time.monotonic()
        with self._live(name):
            yield stage
        pa.default_memory_pool().release_unused()
        stage.seconds = round(time.monotonic() - began, 3)
        self.stages.append(stage)
        self.console.print(_line(stage), markup=False, soft_wrap=True)

    @contextmanager
    def _live(self, name: str) -> Iterator[None]:
        if not self.console.is_terminal:
            yield
            return
        done = threading.Event()
        with Bar(self.console, name) as bar:

            def refresh() -> None:
                while not done.wait(0.2):
                    bar.show(WORK)

            thread = threading.Thread(target=refresh, daemon=True)
            thread.start()
            try:
                yield
            finally:
                done.set()
                thread.join()


def _line(stage: Stage) -> str:
    """A stage that has ended, in less than 80 columns."""
    line = f"{stage.name:<28}{stage.seconds:>9,.1f} s"
    if stage.rows is None:
        return line
    rate = f"{stage.rows / stage.seconds:>12,.0f} rows/s" if stage.seconds > 0.05 else ""
    return f"{line}{stage.rows:>14,} rows{rate}"
