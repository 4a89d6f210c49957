"""The two engines, started once for all tests."""

from __future__ import annotations

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
    running = engine.start("spark")
    yield running
    running.stop()
