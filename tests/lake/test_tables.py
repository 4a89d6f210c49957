"""A month's files have about the size that is aimed at, whatever an engine makes of its tasks."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clicklake.engines import Engine
from clicklake.lake import LiveFile
from clicklake.lake.tables import Tables, parts_by_month
from clicklake.schemas import PAGE_VIEWS
from clicklake.storage import FileInfo, open_storage

ROWS = 20_000
APRIL, MAY = (2018, 4), (2018, 5)


def _views() -> pa.Table:
    """Most rows in April, few in May."""
    first = datetime(2018, 4, 1, tzinfo=UTC)
    times = [first + timedelta(seconds=at * (150 if at % 100 else 200)) for at in range(ROWS)]
    urls = [f"/products/{at * 7919 % 10007}/{at}" for at in range(ROWS)]
    return pa.table([times, list(range(ROWS)), urls], schema=PAGE_VIEWS.schema)


def _stage(
    engine: Engine, place: Path, target_bytes: int, tasks: int, month_files: int = 1
) -> list[LiveFile]:
    """Stage the rows; the files. Fails if a row is lost, doubled or moved."""
    tables = Tables(engine.session, open_storage(str(place)), "run", target_bytes)
    rows = engine.session.createDataFrame(_views()).repartition(tasks)
    staged = tables.stage(rows, PAGE_VIEWS, month_files=month_files)
    read = [pq.read_table(place / path, schema=PAGE_VIEWS.schema) for path, _ in staged.files]
    for part, (_, file) in zip(read, staged.files, strict=True):
        assert file.rows == part.num_rows
        assert {(time.year, time.month) for time in part["ts"].to_pylist()} == {file.month}
        assert "part=" not in file.path
    assert len({file.path for _, file in staged.files}) == len(read)
    assert pa.concat_tables(read).sort_by("user_id").equals(_views().sort_by("user_id"))
    return [file for _, file in staged.files]


def _target_is_met(engine: Engine, tmp_path: Path) -> None:
    whole = _stage(engine, tmp_path / "large", 1 << 30, tasks=9)
    assert Counter(file.month for file in whole) == {APRIL: 1, MAY: 1}
    (april,) = (file.bytes for file in whole if file.month == APRIL)
    small = _stage(engine, tmp_path / "small", april // 8, tasks=1)
    count = Counter(file.month for file in small)
    assert 6 <= count[APRIL] <= 10
    assert count[MAY] < count[APRIL]


def test_on_sail(sail: Engine, tmp_path: Path) -> None:
    _target_is_met(sail, tmp_path)


@pytest.mark.slow
def test_a_month_that_is_known_to_be_large_is_written_once(
    sail: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _stage(sail, tmp_path / "whole", 1 << 30, tasks=1)
    (april,) = (file.bytes for file in whole if file.month == APRIL)
    written = []
    write = Tables.write
    monkeypatch.setattr(Tables, "write", lambda *given: written.append(given) or write(*given))
    parts = _stage(sail, tmp_path / "parts", april // 4, tasks=1, month_files=4)
    assert len(written) == 1
    assert Counter(file.month for file in parts) == {APRIL: 4, MAY: 4}


@pytest.mark.spark
def test_on_spark(spark: Engine, tmp_path: Path) -> None:
    _target_is_met(spark, tmp_path)


def test_a_few_files_more_or_less_stay() -> None:
    def infos(*sizes: int) -> list[FileInfo]:
        return [FileInfo(f"t/year=2018/month=4/{at}", size, "") for at, size in enumerate(sizes)]

    assert parts_by_month(infos(100), 100) == {}
    assert parts_by_month(infos(199), 100) == {}
    assert parts_by_month(infos(201), 100) == {APRIL: 3}
    assert parts_by_month(infos(5, 5, 5, 5), 100) == {}
    assert parts_by_month(infos(5, 5, 5, 5, 5), 100) == {APRIL: 1}
    assert parts_by_month([], 100) == {}
