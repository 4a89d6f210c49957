"""How the clickstream is shared out, and that its work is the same however that is."""

from __future__ import annotations

import random
import zlib
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clicklake import buckets
from clicklake.buckets.writers import MonthWriters
from clicklake.engines import Engine
from clicklake.engines.sail import Sail
from clicklake.engines.spark import Spark
from clicklake.lake.tables import Tables
from clicklake.parse import compiled as kernels
from clicklake.parse.rows import CLICKS
from clicklake.parse.sources import SOURCES
from clicklake.parse.texts import TextColumn
from clicklake.rules import visits
from clicklake.storage import open_storage

GB = 10**9
MICROS = 1_000_000
RULES = visits.Rules(gap_minutes=30, bot_views_per_minute=3)


@pytest.mark.parametrize(
    "text_bytes, rows, cores, kind, expected",
    [
        (0, 0, 2, Sail, (1, 1)),
        (GB, 0, 2, Sail, (20, 2)),  # half a million lines of 100 bytes each
        (0, 10_000_000, 2, Sail, (20, 2)),
        (10 * GB, 0, 2, Sail, (80, 2)),  # ten times the work: three times the files at once
        (100 * GB, 0, 16, Sail, (252, 16)),
        (100 * GB, 0, 64, Spark, (2000, 64)),
        (1000 * GB, 0, 64, Spark, (20_000, 625)),
    ],
)
def test_shares(
    text_bytes: int, rows: int, cores: int, kind: type[Engine], expected: tuple[int, int]
) -> None:
    engine = kind.__new__(kind)  # not started
    engine.cores = cores
    given = buckets.partitioning(text_bytes, rows, engine)
    assert (given.buckets, given.tasks) == expected


def test_a_file_that_is_large_enough_ends_with_its_bucket(tmp_path: Path) -> None:
    numbers = random.Random(1)
    storage = open_storage(str(tmp_path))
    written = [
        pa.table({"bucket": [bucket] * 5000, "x": [numbers.random() for _ in range(5000)]})
        for bucket in range(6)
        for _ in range(2)
    ]
    with ExitStack() as stack:
        writers = MonthWriters(stack, storage, "staged", target_bytes=100_000)
        for number, rows in enumerate(written):
            writers.write("clickstream", (2018, 4), rows)
            if number % 2:
                writers.end_bucket()
    files = [pq.read_table(tmp_path / path, partitioning=None) for path in writers.paths]
    assert [file["bucket"].unique().to_pylist() for file in files] == [[0, 1], [2, 3], [4, 5]]
    assert pa.concat_tables(files).equals(pa.concat_tables(written))


def test_a_batch_for_an_engine_owns_its_memory() -> None:
    """What Arrow has allocated begins at a multiple of 64; memory of NumPy lies elsewhere."""
    from clicklake.engines.batches import owned

    batch = pa.record_batch({"n": pa.array(np.arange(1 << 16)[3:]), "t": pa.array(["a"] * 65533)})
    assert batch.column(0).buffers()[1].address % 64
    copy = owned(batch)
    assert copy == batch
    addresses = [buffer.address for column in copy.columns for buffer in column.buffers() if buffer]
    assert all(address % 64 == 0 for address in addresses)


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [1, 700, 1 << 20])
def test_readers_put_clicks_into_buckets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Plain texts and codes, in any order, some at once or all; nulls stay null."""
    monkeypatch.setattr("clicklake.buckets.landing._AT_ONCE", at_once)
    clicks = _clicks(5000)
    storage = open_storage(str(tmp_path))
    for _ in range(2):  # the second takes the place of the first
        with ExitStack() as stack:
            source = SOURCES["clickstream"]
            landing = buckets.Landing(stack, storage, source, "landed", 7, task=3)
            for number, batch in enumerate(clicks.to_batches(max_chunksize=900)):
                landing.add(_coded(batch, landing) if number % 3 else batch)
            landing.flush()
    files = storage.list("landed")
    assert {info.path for info in files} == {f"landed/_bucket={at}/3.parquet" for at in range(7)}
    found = [pq.read_table(tmp_path / info.path, partitioning=None) for info in files]
    assert pa.concat_tables(found).sort_by("time").equals(clicks.sort_by("time"))
    for at, rows in enumerate(found):
        visitors = rows["anonymous_user_id"].unique().to_pylist()
        assert {zlib.crc32(name.encode()) % 7 for name in visitors} == {at}


def test_engine_and_readers_agree_on_buckets(sail: Engine, tmp_path: Path) -> None:
    _agree_on_buckets(sail, tmp_path)


@pytest.mark.slow
@pytest.mark.spark
def test_spark_and_readers_agree_on_buckets(spark: Engine, tmp_path: Path) -> None:
    _agree_on_buckets(spark, tmp_path)


def test_users_are_in_one_part_each(sail: Engine, tmp_path: Path) -> None:
    """Readers and the engine put a user into the same one, negative ids too."""
    views = pa.table(
        [[0] * 200, range(-100, 100), ["/"] * 200], schema=SOURCES["page_views"].schema
    )
    storage = open_storage(str(tmp_path))
    with ExitStack() as stack:
        landing = buckets.Landing(stack, storage, SOURCES["page_views"], "landed", 3, task=0)
        for batch in views.to_batches():
            landing.add(batch)
        landing.flush()
    rows = sail.session.createDataFrame(views)
    for number in range(3):
        path = tmp_path / f"landed/_bucket={number}/0.parquet"
        landed = pq.read_table(path, partitioning=None)["user_id"].to_pylist()
        within = [row["user_id"] for row in buckets.UserPartition(number, 3).within(rows).collect()]
        assert sorted(landed) == sorted(within)
        assert len(landed) > 60
    assert buckets.ALL_USERS.within(rows).count() == 200


def _agree_on_buckets(engine: Engine, place: Path) -> None:
    tables = Tables(engine.session, open_storage(str(place)), "run")
    rows = engine.session.createDataFrame(_clicks(500))
    shares = buckets.Partitioning(5, 2)
    for number, infos in buckets.write(tables, rows, "known", shares, engine.shuffled).items():
        found = [pq.read_table(place / info.path, partitioning=None) for info in infos]
        visitors = pa.concat_tables(found)["anonymous_user_id"].unique().to_pylist()
        assert {zlib.crc32(name.encode()) % 5 for name in visitors} == {number}


def _clicks(count: int) -> pa.Table:
    """Events of many visitors, each at another time."""
    rng = random.Random(count)
    events = [
        (
            rng.choice(("\u00fc", "v", "a long name of a visitor ")) + str(rng.randrange(count)),
            f"/{rng.randrange(99)}" * rng.randrange(1, 9),
            at,
            rng.choice(("Firefox", "Chrome 65", None)),
            None,
            rng.choice(("1x2", "1920x1080", None)),
        )
        for at in range(count)
    ]
    columns = list(zip(*events, strict=True))
    return pa.table([*map(pa.array, columns, CLICKS.types)], schema=CLICKS)


def _coded(batch: pa.RecordBatch, landing: buckets.Landing) -> pa.RecordBatch:
    """The same events, their texts as a reader encodes them."""

    def encoded(name: str) -> pa.DictionaryArray:
        values = [(value or "").encode() for value in batch[name].to_pylist()]
        edges = np.cumsum([0, *map(len, values)], dtype=np.int32)
        texts = TextColumn(b"".join(values), edges[:-1], edges[1:], kernels)
        return landing.interners[name].encode(texts, np.arange(len(values)))

    columns = [encoded(name) if name in landing.interners else batch[name] for name in CLICKS.names]
    return pa.RecordBatch.from_arrays(columns, names=CLICKS.names)


@pytest.mark.parametrize("codes", [[], [-1], [3], [2, -1, 2, 0], [4, 4, 1, 0, 3, 2, -1]])
@pytest.mark.parametrize("compiled", [None, kernels], ids=["Python", "compiled"])
def test_a_column_has_the_texts_alone_that_it_holds(
    monkeypatch: pytest.MonkeyPatch, compiled: ModuleType | None, codes: list[int]
) -> None:
    monkeypatch.setattr(visits, "kernels", lambda: compiled)
    column = visits.CodedTexts(np.array(codes, np.int32), pa.array(list("abcde"))).to_arrow()
    assert column.to_pylist() == [None if code < 0 else "abcde"[code] for code in codes]
    assert sorted(column.dictionary.to_pylist()) == sorted(
        {"abcde"[code] for code in codes if code >= 0}
    )
