"""The two engines and the lake of the sample, made once for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from clicklake import config, engines


@pytest.fixture(autouse=True)
def _no_remembered_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 remembers the keys that its first caller of a process had."""
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)


@pytest.fixture(scope="session")
def sail() -> Iterator[engines.Engine]:
    running = engines.start("sail", memory_mb=2048)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def spark() -> Iterator[engines.Engine]:
    running = engines.start("spark")
    yield running
    running.stop()


@pytest.fixture(scope="session")
def sample_lake(
    sail: engines.Engine, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A lake of the sample data, not to be changed, and the metrics of its run."""
    import lakes

    place = tmp_path_factory.mktemp("sample") / "lake"
    return place, lakes.run(sail, config.ROOT / "data" / "sample", place, date(2018, 12, 31))
