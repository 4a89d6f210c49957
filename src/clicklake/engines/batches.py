"""Arrow batches that Python gives to an engine."""

from __future__ import annotations

import pyarrow as pa


def owned(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A copy that holds no memory of NumPy or of `bytes`.

    Such memory can only be freed under Python's lock. Sail frees a batch in a thread of its own,
    while another one that has the lock may wait for that thread: both would wait for ever.
    """
    return batch.copy_to(pa.default_cpu_memory_manager())
