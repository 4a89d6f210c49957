"""The two engines and the lake of the sample, made once for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from clicklake import config, engine


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


@pytest.fixture(scope="session")
def sample_lake(
    sail: engine.Engine, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A lake of the sample data, not to be changed, and the metrics of its run."""
    import lakes

    place = tmp_path_factory.mktemp("sample") / "lake"
    return place, lakes.run(sail, config.ROOT / "data" / "sample", place, date(2018, 12, 31))
