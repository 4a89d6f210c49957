"""What the publisher has sent to one topic, what is under way, and what it said of each event.

A publication has three steps, each safe to repeat:
1. Its rows are written, in order, to `outbox.parquet`. From the rename of that file on, it is
   decided: later runs of the lake do not change it.
2. The publisher sends the outbox; the stream itself says how far it got.
3. `finish` files what was said of each event, and replaces `state.json`.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from clicklake.lake import Snapshot
from clicklake.storage.durable import replace_durably, write_durably
from clicklake.streaming.marks import Mark
from clicklake.streaming.outbox import Outbox, Published, write_outbox


class Journal(ABC):
    """The publisher's own folder for one topic."""

    _kind: type[Outbox] = Outbox

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outbox = folder / "outbox.parquet"
        self._state = folder / "state.json"
        self._stream = folder / "stream.json"

    def published(self) -> Published:
        if not self._state.exists():
            return Published()
        return Published(**json.loads(self._state.read_text()))

    def stream(self) -> dict[str, str]:
        """`identity` and `address` of the stream that this is the state of; {} if not known."""
        return json.loads(self._stream.read_text()) if self._stream.exists() else {}

    def note_stream(self, identity: str, address: str) -> None:
        now = {"identity": identity, "address": address}
        if self.stream() != now:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_durably(self._stream, json.dumps(now).encode())

    @abstractmethod
    def mark(self) -> Mark | None:
        """The mark of this publisher's messages; None before `begin`."""

    @abstractmethod
    def begin(self) -> Mark:
        """Choose the publisher's mark, once."""

    def pending(self) -> Outbox | None:
        """The publication under way, if there is one."""
        return self._kind(self.outbox) if self.outbox.exists() else None

    @abstractmethod
    def prepare(self, snapshot: Snapshot) -> Outbox | None:
        """Decide the next publication. None if the snapshot has nothing that is new."""

    def finish(self, outbox: Outbox) -> None:
        """File what the outbox says, and make its publication the last one."""
        self._file(outbox)
        self._write(replace(outbox.after, last_id=outbox.event_id(outbox.after.sequence)))
        self.outbox.unlink()

    @abstractmethod
    def _file(self, outbox: Outbox) -> None:
        """File what the outbox says of each event; safe to repeat."""

    def _decide(
        self, rows: Iterator[pa.RecordBatch], after: Callable[[int], Published]
    ) -> Outbox | None:
        """Write the outbox of these rows; `after`: what is published with so many. None if none."""
        part = self.outbox.with_suffix(".tmp")
        if count := write_outbox(part, rows, after):
            replace_durably(part, self.outbox)
            return self._kind(self.outbox)
        part.unlink(missing_ok=True)
        self._write(after(count))
        return None

    def _write(self, published: Published) -> None:
        write_durably(self._state, json.dumps(vars(published)).encode())
