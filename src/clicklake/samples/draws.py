"""What is drawn: times with a rhythm, popular things, and texts of them."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clicklake.samples.plan import DAY, Plan

Rows = np.ndarray  # a structured array with at least `time`, milliseconds since the first midnight


_WEEK = np.array([1.0, 1.03, 1.01, 1.06, 0.94, 0.70, 0.82])  # from Monday


_HOURS = np.array(
    [
        *(20, 11, 7, 5, 5, 8, 18, 34, 46, 52, 55, 58),
        *(64, 58, 53, 52, 55, 62, 74, 88, 96, 90, 66, 38),
    ]
)


_HOURS_BEFORE = np.concatenate([[0], np.cumsum(_HOURS)]) / _HOURS.sum()


def daily_rhythm(plan: Plan) -> np.ndarray:
    """Each day's share of usual traffic: the week's rhythm on a slow growth. Mean 1."""
    days = np.arange(plan.days)
    weights = _WEEK[(plan.start.weekday() + days) % 7] * (1 + 0.25 * days / plan.days)
    return weights / weights.mean()


def time_of_day(rng: np.random.Generator, size: int) -> np.ndarray:
    """Milliseconds since midnight: few at night, most in the evening."""
    hours = np.interp(rng.random(size), _HOURS_BEFORE, np.arange(25))
    return (hours * 3_600_000).astype(np.int64)


def hashed(values: np.ndarray, salt: int) -> np.ndarray:
    """A fixed, even scatter of whole numbers (splitmix64)."""
    mixed = values.astype(np.uint64) + np.uint64(salt * 0x9E3779B97F4A7C15 & (2**64 - 1))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def popular(rng: np.random.Generator, size: int, n: int, skew: float = 2.2) -> np.ndarray:
    """Numbers below `n`, the low ones much more often."""
    return (n * rng.random(size) ** skew).astype(np.int64)


def texts(values: list[str]) -> pa.Array:
    return pa.array(values, pa.string())


def joined_texts(*parts: pa.Array | str) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")


_CLOCK = texts([f"{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}" for s in range(86_400)])


_MILLIS = texts([f".{ms:03}" for ms in range(1000)])


def iso_times(times: np.ndarray, start: date, separator: str) -> tuple[pa.Array | str, ...]:
    """The parts of ISO times, to be joined."""
    days = texts(
        [str(start + timedelta(day)) for day in range(int(times.max(initial=0)) // DAY + 1)]
    )
    return (
        days.take(pa.array(times // DAY)),
        separator,
        _CLOCK.take(pa.array(times % DAY // 1000)),
        _MILLIS.take(pa.array(times % 1000)),
    )
