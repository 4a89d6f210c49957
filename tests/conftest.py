"""The two engines, started once for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from clicklake import engine


@pytest.fixture(scope="session")
def sail() -> Iterator[engine.Engine]:
    running = engine.start("sail", memory_mb=2048)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def spark() -> Iterator[engine.Engine]:
    os.environ.setdefault("PYTHONPATH", os.pathsep.join(p for p in ("src", "tests")))
    running = engine.start("spark")
    yield running
    running.stop()
