"""A bar on a terminal: how far a stage is, in less than 80 columns."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from clicklake.progress.work import Work


class Bar:
    """The bar of one stage; it goes when the stage has ended."""

    def __init__(self, console: Console, name: str) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<23}", markup=False),
            BarColumn(12),
            _Percent(),
            TextColumn("{task.fields[told]}", markup=False),
            _Left(),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task(name, total=None, told="")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, work: Work) -> None:
        # What is read twice counts twice; without a count nothing is known.
        total = (work.total or None) if work.done else None
        done = min(work.done, work.total) if total else work.done
        self._progress.update(self._task, total=total, completed=done, told=told(work))


def told(work: Work) -> str:
    """How far, in words: `45/67 MB  1.2 M rows`, `3/8 tables`, `12 trials`."""
    if not work.done:
        return ""
    if work.unit == "bytes":
        return f"{_mb(work.done)}/{_mb(work.total)} MB {_short(work.rows)} rows"
    of = f"/{work.total:,}" if work.total else ""
    return f"{work.done:,}{of} {work.unit}"


def _mb(count: int) -> str:
    return f"{count / 1e6:,.1f}" if count < 10e6 else f"{count / 1e6:,.0f}"


def _short(count: int) -> str:
    return f"{count / 1e6:.1f}M" if count >= 1_000_000 else f"{count:,}"


class _Percent(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text("" if task.total is None else f"{task.percentage:.0f}%".rjust(4))


class _Left(ProgressColumn):
    """How long it will take, or has taken where that cannot be told."""

    def render(self, task: Task) -> Text:
        left = task.time_remaining
        if task.total is None or left is None:
            return Text(f"{_clock(task.elapsed or 0)}")
        return Text(f"{_clock(left)} left")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
