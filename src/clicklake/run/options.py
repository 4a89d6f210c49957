"""What a single run is told beside its configuration."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Options:
    """`replay`: sources whose refused rows are parsed again, and no others.

    `publish`: whether report, SQL database and CSV follow the commit.
    """

    engine: str = "auto"
    as_of: date | None = None
    rebuild: bool = False
    forget_missing: bool = False
    replay: Collection[str] = ()
    publish: bool = True
