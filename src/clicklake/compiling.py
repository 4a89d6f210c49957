"""Compiling a function once on a machine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compile_once(function: Function) -> Function:
    """Compiled at its first call, and kept for other processes where there is a place for it."""
    compiled: Any
    try:
        compiled = njit(cache=True, nogil=True)(function)
    except RuntimeError:  # nowhere to write
        compiled = njit(nogil=True)(function)
    with suppress(AttributeError):
        # numba looks at a function's own file alone, not at those of the functions it calls.
        compiled._cache._cache_file._source_stamp = _stamp(function.__module__.rpartition(".")[0])
    return compiled


@cache
def _stamp(package: str) -> str:
    """Another one for other code in a package."""
    sources = sorted(files(package).iterdir(), key=lambda file: file.name)
    code = b"".join(file.read_bytes() for file in sources if file.name.endswith(".py"))
    return sha256(code).hexdigest()
