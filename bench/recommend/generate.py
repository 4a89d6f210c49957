"""Interaction files of several shapes: `python -m bench.recommend.generate SHAPE FILE.parquet`.

Every shape is drawn from a fixed seed. In `taste` a few hidden dimensions decide what users
like, as ALS assumes; in `trails` users wander among near pages of a long tail, where walks
from page to page do best; `large` and `huge` are for speed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

DAY = 86_400
START = 1_700_000_000
_BLOCK = 2_000  # users drawn at a time

SCHEMA = pa.schema(
    [("user", pa.int64()), ("page", pa.int64()), ("time", pa.int64()), ("count", pa.int64())]
)

# Draws the pages of a block of users, given how many each views.
Draw = Callable[[np.random.Generator, np.ndarray], list[np.ndarray]]


@dataclass(frozen=True)
class Shape:
    """`mean`: pages of a user in the mean; at least `least`."""

    users: int
    pages: int
    mean: float
    least: int
    draw: Callable[[int, np.random.Generator], Draw]


def taste(pages: int, rng: np.random.Generator) -> Draw:
    """Users and pages are points in 12 dimensions; near pages of any popularity attract."""
    places = rng.standard_normal((pages, 12))
    fame = 0.8 * rng.standard_normal(pages)

    def draw(rng: np.random.Generator, counts: np.ndarray) -> list[np.ndarray]:
        likes = 1.1 * rng.standard_normal((len(counts), 12)) @ places.T + fame
        chances = likes + rng.gumbel(size=likes.shape)
        return [np.argpartition(-row, n)[:n] for row, n in zip(chances, counts, strict=True)]

    return draw


def trails(pages: int, rng: np.random.Generator) -> Draw:
    """Pages lie along a line; a user starts at a few of them and takes short steps."""
    starts = rng.permutation(pages)

    def draw(rng: np.random.Generator, counts: np.ndarray) -> list[np.ndarray]:
        return [_wander(rng, starts, n) for n in counts]

    return draw


def _wander(rng: np.random.Generator, starts: np.ndarray, n: int) -> np.ndarray:
    trails = max(1, n // 6)
    origin = starts[(len(starts) * rng.random(trails) ** 1.5).astype(int)]
    steps = np.cumsum(rng.geometric(0.5, (trails, 8)) * rng.choice([-1, 1], (trails, 1)), axis=1)
    visited = np.unique((origin[:, None] + steps) % len(starts))
    return rng.permutation(visited)[:n]


def groups(pages: int, rng: np.random.Generator) -> Draw:
    """Popularity by Zipf's law; each user keeps to one of many interests, or does not."""
    interest = rng.integers(0, max(pages // 100, 1), pages)
    members = np.argsort(interest, kind="stable")
    bounds = np.searchsorted(interest[members], np.arange(interest.max() + 2))

    def draw(rng: np.random.Generator, counts: np.ndarray) -> list[np.ndarray]:
        total = int(counts.sum())
        anywhere = (pages * rng.random(total) ** 3).astype(int)
        own = np.repeat(rng.integers(0, interest.max() + 1, len(counts)), counts)
        size = bounds[own + 1] - bounds[own]
        near = members[bounds[own] + (size * rng.random(total) ** 2).astype(int)]
        chosen = np.where(rng.random(total) < 0.7, near, anywhere)
        return [np.unique(part) for part in np.split(chosen, np.cumsum(counts)[:-1])]

    return draw


SHAPES = {
    "taste": Shape(8_000, 11_000, 40, 5, taste),
    "trails": Shape(20_000, 30_000, 18, 3, trails),
    "large": Shape(200_000, 50_000, 20.5, 1, groups),
    "huge": Shape(1_000_000, 200_000, 57.5, 1, groups),
}


def batches(shape: Shape, seed: int = 0) -> Iterator[pa.RecordBatch]:
    """Rows of user, page, time (Unix seconds) and count, block of users by block."""
    rng = np.random.default_rng(seed)
    draw = shape.draw(shape.pages, rng)
    for first in range(0, shape.users, _BLOCK):
        users = np.arange(first, min(first + _BLOCK, shape.users))
        # Few users view much: the geometric distribution has the long tail of real logs.
        counts = shape.least + rng.geometric(1 / (shape.mean - shape.least + 1), len(users)) - 1
        pages = draw(rng, np.minimum(counts, shape.pages // 2))
        who = np.repeat(users, [len(seen) for seen in pages])
        times = START + rng.integers(0, 90 * DAY, len(who))
        views = rng.geometric(0.5, len(who))
        yield pa.record_batch([who, np.concatenate(pages), times, views], schema=SCHEMA)


def write(name: str, path: Path) -> int:
    """The number of rows written."""
    rows = 0
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for batch in batches(SHAPES[name]):
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.recommend.generate", description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("file", type=Path)
    given = parser.parse_args()
    print(f"{given.file}: {write(given.shape, given.file):,} rows")


if __name__ == "__main__":
    main()
