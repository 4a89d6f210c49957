"""Steps from page to page: which page people view right after which."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from clicklake.parse import fields
from clicklake.parse.rows import CLICKS
from clicklake.rules.visits import EVENTS, CodedTexts, Rules, Visits, as_table
from clicklake.schemas import PAGE_STEPS

LEAST = 2  # sessions that took a step, below which it is in no table


def counted(visits: Visits) -> Iterator[tuple[tuple[int, int], pa.Table]]:
    """By month: how many sessions of these visitors took each step, columns of PAGE_STEPS.

    Texts are dictionaries. A step's code, and a session's with it, are looked up by hash: a sort
    would take three times as long as all of it.
    """
    months = fields.months(visits.time)
    at = _steps(visits, months)
    if not len(at):
        return
    pages, count = visits.pages, len(visits.pages.values)
    pairs = pa.array(pages.codes[at - 1] * np.int64(count) + pages.codes[at]).dictionary_encode()
    step, known = pairs.indices.to_numpy(), pairs.dictionary.to_numpy()
    session = np.cumsum(visits.is_first)[at]
    for month in np.unique(months[at]).tolist():
        here = months[at] == month
        taken = pc.unique(pa.array(session[here] * len(known) + step[here])).to_numpy()
        sessions = np.bincount(taken % len(known), minlength=len(known))
        held = np.flatnonzero(sessions)
        before, after = np.divmod(known[held], count)
        start = np.datetime64(month, "M").astype("datetime64[us]").astype(np.int64)
        columns = {
            "page": CodedTexts(before, pages.values).to_arrow(),
            "next_page": CodedTexts(after, pages.values).to_arrow(),
            "sessions": pa.array(sessions[held]),
            "month_start": fields.timestamps(np.full(len(held), start)),
        }
        yield fields.year_and_month(month), as_table(PAGE_STEPS, columns)


def of_clicks(clicks: pa.Table, rules: Rules) -> Iterator[tuple[tuple[int, int], pa.Table]]:
    """The same of all clicks that some visitors have, columns CLICKS."""
    unknown = pa.nulls(len(clicks), EVENTS.field("started_at").type)
    columns = [*(clicks[name] for name in CLICKS.names), unknown]
    return counted(Visits(pa.table(columns, schema=EVENTS), rules))


def _steps(visits: Visits, months: np.ndarray) -> np.ndarray:
    """The events that a step leads to, from the event before."""
    counts = visits.own & ~(visits.is_crawler | visits.is_fast)
    pages = visits.pages.codes
    leads = counts[1:] & counts[:-1] & ~visits.is_first[1:]
    leads &= (months[1:] == months[:-1]) & (pages[1:] != pages[:-1])
    return np.flatnonzero(leads) + 1


def merged(counts: DataFrame) -> DataFrame:
    """`page_steps` of the counts of several parts of the visitors."""
    total = counts.groupBy("page", "next_page", "month_start").agg(
        F.sum("sessions").alias("sessions")
    )
    return total.where(F.col("sessions") >= LEAST).select(*PAGE_STEPS.columns)


def without(steps: pa.Table, gone: pa.Table) -> pa.Table:
    """`page_steps` without the counts of some visitors, each step of a month once in both."""
    key = ["page", "next_page", "month_start"]
    both = steps.join(gone.rename_columns([*key[:2], "gone", key[2]]), key, join_type="left outer")
    left = pc.subtract(both["sessions"], pc.fill_null(both["gone"], 0))
    at = both.schema.get_field_index("sessions")
    rows = both.set_column(at, "sessions", left).filter(pc.greater_equal(left, LEAST))
    return rows.select(PAGE_STEPS.columns).cast(PAGE_STEPS.schema)
