"""How far the stage that runs in this process is."""

from __future__ import annotations

import threading


class Work:
    """`done` of `total`, counted in `unit`, and the rows among it. A total of 0 is not known.

    Tasks of Sail run in this process and count here; what Spark's workers count is not seen.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.begin()

    def begin(self) -> None:
        """A stage begins."""
        self.expect(0, "")

    def expect(self, total: int, unit: str) -> None:
        self.total, self.unit, self.done, self.rows = total, unit, 0, 0

    def reach(self, done: int) -> None:
        """So much is done, whatever was counted before."""
        self.done = done

    def add(self, done: int = 1, rows: int = 0) -> None:
        with self._lock:
            self.done += done
            self.rows += rows


WORK = Work()
