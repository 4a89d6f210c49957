"""Events in buckets: all those of a person in one, each small enough for memory.

Readers or an engine bring the events into buckets. Of the clickstream an engine's tasks then make
the tables of one bucket after the other (`rules.visits`) and write them, each task into files of
its own for every month.
"""

from clicklake.buckets.exchange import found, write
from clicklake.buckets.labelling import label
from clicklake.buckets.landing import Landing
from clicklake.buckets.shares import (
    ALL,
    BUCKET,
    NONE,
    Buckets,
    Gathered,
    Part,
    Shares,
    shares,
    together,
)

__all__ = [
    "ALL",
    "BUCKET",
    "NONE",
    "Buckets",
    "Gathered",
    "Landing",
    "Part",
    "Shares",
    "found",
    "label",
    "shares",
    "together",
    "write",
]
