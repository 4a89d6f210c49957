"""The whole job against the oracle: every table, every fate, every quarantined line."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

import hostile
import lakes
import oracle
from against_oracle import check
from clicklake.engines import Engine
from clicklake.parse import texts
from clicklake.run import landing


@pytest.mark.parametrize("seed", [0, *(pytest.param(s, marks=pytest.mark.slow) for s in (1, 2))])
@pytest.mark.parametrize("multiline", [False, True])
def test_every_odd_value_on_sail(sail: Engine, tmp_path: Path, seed: int, multiline: bool) -> None:
    check(sail, tmp_path, hostile.build(seed), csv_multiline=multiline)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bucket_bytes", [300, 3000])
def test_users_in_parts(
    sail: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, bucket_bytes: int
) -> None:
    """As large logs are worked at, and read by compiled code."""
    monkeypatch.setattr(landing, "_BUCKET_BYTES", bucket_bytes)
    monkeypatch.setattr(texts, "_INTERPRETED", -1)
    check(sail, tmp_path, hostile.build(seed))


@pytest.mark.slow
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)
@given(files=hostile.inputs())
def test_generated_inputs_on_sail(
    sail: Engine, tmp_path_factory: pytest.TempPathFactory, files: hostile.Files
) -> None:
    check(sail, tmp_path_factory.mktemp("hostile"), files)


@pytest.mark.slow
@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)
@given(files=hostile.inputs(most_files=5, most_rows=30))
def test_200_generated_inputs_on_sail(
    sail: Engine, tmp_path_factory: pytest.TempPathFactory, files: hostile.Files
) -> None:
    check(sail, tmp_path_factory.mktemp("hostile"), files)


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_every_odd_value_on_spark(spark: Engine, tmp_path: Path, seed: int) -> None:
    check(spark, tmp_path, hostile.build(seed))


@pytest.mark.slow
def test_other_session_and_bot_settings(sail: Engine, tmp_path: Path) -> None:
    check(sail, tmp_path, hostile.build(7), session_gap_minutes=5, bot_views_per_minute=3)


def test_the_sample(sail: Engine, tmp_path: Path) -> None:
    sample = Path(__file__).parents[2] / "data" / "sample"
    expected = oracle.compute(oracle.read_folder(sample), date(2018, 12, 31))
    lakes.run(sail, sample, tmp_path / "lake", date(2018, 12, 31))
    assert lakes.differences(tmp_path / "lake", expected) == []
