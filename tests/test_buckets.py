"""How the clickstream is shared out, and that its work is the same however that is."""

from __future__ import annotations

import random
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clicklake import buckets, visits
from clicklake.parse.rows import CLICKS
from clicklake.storage import open_storage

GB = 10**9
MICROS = 1_000_000
RULES = visits.Rules(gap_minutes=30, bot_views_per_minute=3)


@pytest.mark.parametrize(
    "text_bytes, rows, cores, exchange, expected",
    [
        (0, 0, 2, False, (1, 1)),
        (GB, 0, 2, False, (20, 2)),  # half a million lines of 100 bytes each
        (0, 10_000_000, 2, False, (20, 2)),
        (10 * GB, 0, 2, False, (80, 2)),  # ten times the work: three times the files at once
        (100 * GB, 0, 16, False, (252, 16)),
        (100 * GB, 0, 64, True, (2000, 64)),
        (1000 * GB, 0, 64, True, (20_000, 625)),
    ],
)
def test_shares(
    text_bytes: int, rows: int, cores: int, exchange: bool, expected: tuple[int, int]
) -> None:
    given = buckets.shares(text_bytes, rows, cores=cores, exchange=exchange)
    assert (given.buckets, given.tasks) == expected


def _event(visitor: str, second: float, url: str = "/", started: float | None = None) -> tuple:
    started_at = None if started is None else int(started * MICROS)
    return (visitor, url, int(second * MICROS), "Firefox", None, "10x20", started_at)


def _visits(events: list[tuple]) -> visits.Visits:
    columns = list(zip(*events, strict=True)) or [[] for _ in visits.EVENTS]
    return visits.Visits(
        pa.table([*map(pa.array, columns, visits.EVENTS.types)], schema=visits.EVENTS), RULES
    )


def _rows(parts: object, *names: str) -> list[tuple]:
    rows = [row for _, part in parts for row in part.to_pylist()]
    return sorted(tuple(row[name] for name in names) for row in rows)


def test_a_session_goes_on_from_another_months_events() -> None:
    """The event of the other month is not made again, its session's start is kept."""
    border = 1525132800  # 2018-05-01
    found = _visits([_event("v", border - 60, started=border - 4000), _event("v", border + 60)])
    name = f"v-{(border - 4000) * MICROS}"
    assert _rows(found.clickstream(), "session_id") == [(name,)]
    assert _rows(found.sessions(), "session_id") == []  # it began before what is looked at


def test_a_pause_of_exactly_the_gap_does_not_end_a_session() -> None:
    begin = 1522540800
    found = _visits([_event("v", begin + n) for n in (0, 1800, 3600.000001, 5400)])
    assert _rows(found.sessions(), "events") == [(2,), (2,)]


def test_an_event_that_repeats_counts_once_for_a_bots_rate() -> None:
    begin = 1522540800
    three = [_event("v", begin + n) for n in (0, 1, 2)]
    assert _rows(_visits(three * 2).clickstream(), "bot_reason") == [(None,)] * 3
    four = [*three, _event("v", begin + 59)]
    assert _rows(_visits(four).clickstream(), "bot_reason") == [("rate",)] * 4


def test_nothing() -> None:
    found = _visits([])
    assert list(found.clickstream()) == list(found.sessions()) == []


def test_any_order_and_any_chunks_of_events_give_the_same() -> None:
    rng = random.Random(1)
    events = [
        (
            f"v{rng.randrange(5)}",
            rng.choice(("/", "/a", "/b", "é", "/b")),
            1522540800 * MICROS + rng.randrange(40) * 300 * MICROS,
            rng.choice(("Firefox", None, "Googlebot")),
            rng.choice((None, "Linux")),
            rng.choice((None, "10x20", "x")),
            None,
        )
        for _ in range(2000)
    ]
    names = visits.CLICKSTREAM.columns
    whole = _visits(events)
    rows = [_as_key(row) for row in _all(whole.clickstream(), names)]
    assert len({row[: len(CLICKS)] for row in rows}) == len(rows)
    for _ in range(5):
        rng.shuffle(events)
        cuts = [0, *sorted(rng.sample(range(2000), 3)), 2000]
        parts = [
            pa.table(
                [
                    pa.array(column, type_)
                    for column, type_ in zip(
                        zip(*events[a:b], strict=True), visits.EVENTS.types, strict=True
                    )
                ],
                schema=visits.EVENTS,
            )
            for a, b in pairwise(cuts)
        ]
        other = visits.Visits(pa.concat_tables(parts), RULES)
        assert sorted(map(_as_key, _all(other.clickstream(), names))) == sorted(rows)
        assert sorted(map(_as_key, _all(other.sessions(), visits.SESSIONS.columns))) == sorted(
            map(_as_key, _all(whole.sessions(), visits.SESSIONS.columns))
        )


def _all(parts: object, names: list[str]) -> list[tuple]:
    return [tuple(row[n] for n in names) for _, part in parts for row in part.to_pylist()]


def _as_key(row: tuple) -> tuple:
    return tuple(map(repr, row))


def test_a_file_that_is_large_enough_ends_with_its_bucket(tmp_path: Path) -> None:
    numbers = random.Random(1)
    storage = open_storage(str(tmp_path))
    written = [
        pa.table({"bucket": [bucket] * 5000, "x": [numbers.random() for _ in range(5000)]})
        for bucket in range(6)
        for _ in range(2)
    ]
    with ExitStack() as stack:
        writers = buckets._Writers(stack, storage, "staged", target_bytes=100_000)
        for number, rows in enumerate(written):
            writers.write("clickstream", (2018, 4), rows)
            if number % 2:
                writers.end_bucket()
    files = [pq.read_table(tmp_path / path, partitioning=None) for path in writers.paths]
    assert [file["bucket"].unique().to_pylist() for file in files] == [[0, 1], [2, 3], [4, 5]]
    assert pa.concat_tables(files).equals(pa.concat_tables(written))


def test_a_batch_for_an_engine_owns_its_memory() -> None:
    """What Arrow has allocated begins at a multiple of 64; memory of NumPy lies elsewhere."""
    import numpy as np

    from clicklake.batches import owned

    batch = pa.record_batch({"n": pa.array(np.arange(1 << 16)[3:]), "t": pa.array(["a"] * 65533)})
    assert batch.column(0).buffers()[1].address % 64
    copy = owned(batch)
    assert copy == batch
    addresses = [buffer.address for column in copy.columns for buffer in column.buffers() if buffer]
    assert all(address % 64 == 0 for address in addresses)
