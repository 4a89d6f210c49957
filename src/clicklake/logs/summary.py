"""What was found in each split of a file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class SplitSummary:
    """What was found in a split. `digest` is of the bytes as they are stored."""

    file: str
    start: int
    end: int
    lines: int = 0
    read: int = 0
    filtered: int = 0
    quarantined: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    months: list[tuple[int, int]] = field(default_factory=list)
    digest: str = ""
    ends_with_newline: bool = True
    unknown_columns: list[str] = field(default_factory=list)  # the first of them
    unknown_count: int = 0
    has_header: bool = False  # where there must be none
    refused: str | None = None  # why the whole file cannot be trusted
    damaged: bool = False  # … because of its own bytes: it may be set aside
    denied: bool = False  # … because it may not be read


def line_bases(summaries: Iterable[SplitSummary]) -> dict[tuple[str, int], int]:
    """How many lines of its file come before each split, by file and start."""
    bases: dict[tuple[str, int], int] = {}
    lines: dict[str, int] = {}
    for split in sorted(summaries, key=lambda split: (split.file, split.start)):
        bases[split.file, split.start] = lines.get(split.file, 0)
        lines[split.file] = bases[split.file, split.start] + split.lines
    return bases
