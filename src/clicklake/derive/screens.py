"""Width and height of screens, `1920x1080`."""

from __future__ import annotations

import re

import pyarrow as pa

_SCREEN = re.compile(r"([0-9]+)[ \t]*[xX][ \t]*([0-9]+)")


def widths(screens: pa.Array) -> pa.Array:
    """The width of each screen; null where it is none."""
    return _sides(screens, 0)


def heights(screens: pa.Array) -> pa.Array:
    """The height of each screen; null where it is none."""
    return _sides(screens, 1)


def _sides(screens: pa.Array, side: int) -> pa.Array:
    sizes = [screen(text) or (None, None) for text in screens.to_pylist()]
    return pa.array([size[side] for size in sizes], pa.int64())


def screen(text: str) -> tuple[int, int] | None:
    """Two numbers of 32 bits, or None.

    >>> screen("1920 X 1080")
    (1920, 1080)
    """
    match = _SCREEN.fullmatch(text)
    if match is None:
        return None
    sides = [side.lstrip("0") or "0" for side in match.groups()]
    if any(len(side) > 10 or int(side) >= 2**31 for side in sides):
        return None
    return int(sides[0]), int(sides[1])
