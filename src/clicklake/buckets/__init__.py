"""Events in buckets: all those of a person in one, each small enough for memory.

Readers or an engine bring the events into buckets. Of the clickstream an engine's tasks then make
the tables of one bucket after the other (`rules.visits`) and write them, each task into files of
its own for every month.
"""

from clicklake.buckets.exchange import staged_buckets, write
from clicklake.buckets.labelling import Labelled, label
from clicklake.buckets.landing import Landing
from clicklake.buckets.partitioning import (
    ALL_USERS,
    BUCKET,
    NO_PERSON,
    Buckets,
    Partitioning,
    Shuffle,
    UserPartition,
    merged,
    partitioning,
)

__all__ = [
    "ALL_USERS",
    "BUCKET",
    "NO_PERSON",
    "Buckets",
    "Labelled",
    "Landing",
    "Partitioning",
    "Shuffle",
    "UserPartition",
    "label",
    "merged",
    "partitioning",
    "staged_buckets",
    "write",
]
