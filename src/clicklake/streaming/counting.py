"""Events counted in windows, many windows at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

KINDS = ("visitor", "session", "path", "source")
TOP_KINDS = ("path", "source")
NO_SOURCE = "(none)"


@dataclass(frozen=True)
class Coded:
    """Events as numbers: microseconds since 1970, and of each kind of name its place in `names`."""

    times: np.ndarray
    is_bot: np.ndarray
    codes: dict[str, np.ndarray]
    names: dict[str, pa.Array]

    @classmethod
    def of(cls, events: pa.Table) -> Coded:
        """Those of `EVENTS`, without retractions."""
        columns = {kind: events[kind].combine_chunks() for kind in KINDS}
        columns["source"] = columns["source"].fill_null(NO_SOURCE)
        coded = {kind: column.dictionary_encode() for kind, column in columns.items()}
        return cls(
            events["time"].to_numpy(),
            events["is_bot"].to_numpy(),
            {kind: column.indices.to_numpy().astype(np.int64) for kind, column in coded.items()},
            {kind: column.dictionary for kind, column in coded.items()},
        )

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, which: np.ndarray | slice) -> Coded:
        """Some of the events, with all the names."""
        codes = {kind: codes[which] for kind, codes in self.codes.items()}
        return Coded(self.times[which], self.is_bot[which], codes, self.names)

    def visits(self) -> Iterator[tuple[str, str, str, str, bool]]:
        """Visitor, session, path, source and whether it is a bot, of each event."""
        columns = (self.names[kind].take(pa.array(self.codes[kind])).to_pylist() for kind in KINDS)
        return zip(*columns, self.is_bot.tolist(), strict=True)


class Pairs(NamedTuple):
    """How often a name occurs in a window: by window and then by name, each pair once."""

    window: np.ndarray
    name: np.ndarray
    events: np.ndarray

    @classmethod
    def of(cls, windows: np.ndarray, names: np.ndarray, most: int) -> Pairs:
        """`names` are below `most`."""
        pairs, events = np.unique(windows * most + names, return_counts=True)
        return cls(*np.divmod(pairs, most), events)

    def top(self, names: pa.Array, size: int) -> tuple[Pairs, np.ndarray]:
        """The names with most events in each window, equal ones by name, and their ranks."""
        by_name = pc.sort_indices(names).to_numpy().astype(np.int64)
        place = np.empty_like(by_name)
        place[by_name] = np.arange(len(by_name))
        most = int(self.events.max(initial=0))
        order = (self.window * (most + 1) + most - self.events) * len(names) + place[self.name]
        order.sort()
        rest, places = np.divmod(order, len(names))
        windows, fewer = np.divmod(rest, most + 1)
        ranks = np.arange(len(order)) - np.searchsorted(windows, windows)
        kept = ranks < size
        pairs = Pairs(windows[kept], by_name[places[kept]], most - fewer[kept])
        return pairs, ranks[kept] + 1
