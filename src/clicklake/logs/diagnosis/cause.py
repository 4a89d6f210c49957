"""What a diagnosis says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cause:
    """Why a file is bad, in phrases: what was found, what was expected, and what mends it."""

    found: str
    expected: str
    remedy: str

    def __str__(self) -> str:
        return f"Found: {self.found}. Expected: {self.expected}. To do: {self.remedy}."


def shortened(text: str, size: int = 60) -> str:
    return text if len(text) <= size else f"{text[: size - 1]}…"
