"""How many rows this process has read; with Sail that is all of them."""

from __future__ import annotations

_rows_read = 0  # in this process; with Sail that is all of them


def rows_read() -> int:
    return _rows_read


def reset_rows_read() -> None:
    global _rows_read  # noqa: PLW0603
    _rows_read = 0


def add_rows_read(count: int) -> None:
    global _rows_read  # noqa: PLW0603
    _rows_read += count
