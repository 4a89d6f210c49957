"""What scoring needs, in one file that all Python workers of a machine share.

The arrays lie in the file as they are in memory and are mapped, not read: however many
workers score, a model is in memory once.
"""

from __future__ import annotations

import mmap
import pickle
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from clicklake.recommend.interactions import Weighting
from clicklake.recommend.models import Model

_ALIGNED = 64


@dataclass(frozen=True)
class Bundle:
    """`keys`: the pages' keys, ascending; `numbers`: the page number of each key.

    `urls`: each page's URL as it is shown.
    """

    model: Model
    weighting: Weighting
    keys: np.ndarray
    numbers: np.ndarray
    urls: pa.Array

    def save(self, path: Path) -> None:
        buffers: list[pickle.PickleBuffer] = []
        head = pickle.dumps(self, protocol=5, buffer_callback=buffers.append)
        parts = [memoryview(head), *(buffer.raw() for buffer in buffers)]
        sizes = [part.nbytes for part in parts]
        with path.open("wb") as file:
            file.write(struct.pack(f"<{len(sizes) + 1}Q", len(sizes), *sizes))
            for part in parts:
                file.write(b"\0" * (-file.tell() % _ALIGNED))
                file.write(part)


@lru_cache(maxsize=1)
def load(path: str) -> Bundle:
    """The bundle that `save` wrote; the one loaded last stays mapped."""
    with Path(path).open("rb") as file:
        mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    (count,) = struct.unpack_from("<Q", mapped)
    parts: list[Any] = []
    at = 8 * (count + 1)
    for size in struct.unpack_from(f"<{count}Q", mapped, 8):
        at += -at % _ALIGNED
        parts.append(mapped[at : at + size])
        at += size
    head, *buffers = parts
    return pickle.loads(head, buffers=buffers)  # noqa: S301 - a file that this run has written
