"""A folder of JSON lines as a stream: no server, one file a chunk, named by its first event."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from clicklake.errors import InputError
from clicklake.storage.durable import write_durably
from clicklake.streaming.messages import numbered_id
from clicklake.streaming.stream import Incoming, Outgoing, Position

_SEGMENT = re.compile(r"\d{15}\.jsonl")
_POLL_LINES = 10_000
_WAIT_SECONDS = 0.5


class FolderSink:
    """Each chunk is one file, renamed into place whole: it is there or it is not."""

    chunk = 50_000

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def position(self) -> Position:
        segments = [file for file in _files(self.folder) if _SEGMENT.fullmatch(file.name)]
        if not segments:
            return Position(0)
        lines = segments[-1].read_bytes().splitlines()
        last = lines[-1] if lines else b""
        return Position(int(segments[-1].stem) - 1 + len(lines), numbered_id(last)[1])

    def send(self, events: Sequence[Outgoing]) -> None:
        name = f"{events[0].sequence:015d}.jsonl"
        write_durably(self.folder / name, b"".join(event.body + b"\n" for event in events))

    def close(self) -> None:
        pass


class FolderSource:
    """The files in the order of their names; a file is a partition, a line (from 1) an offset.

    A file may still be written to, as long as it is the last: lines are read as they come.
    """

    horizon = 0

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(f"{folder}: no stream is there. Run scripts/stream.py publish first.")
        self.folder = folder
        self.topic = folder.name
        self._current = ""
        self._lines = 0
        self._messages: Iterator[Incoming] = iter(())
        self._at_end = False

    def open(self, positions: Mapping[str, str]) -> None:
        self._current = max(positions, default="")
        self._lines = int(positions.get(self._current, "0"))
        self._messages = self._unread()

    def poll(self) -> list[Incoming]:
        messages = list(islice(self._messages, _POLL_LINES))
        if messages:
            self._current, self._lines = messages[-1].partition, int(messages[-1].offset)
        else:
            if self._at_end:
                time.sleep(_WAIT_SECONDS)
            self._messages = self._unread()
        self._at_end = not messages
        return messages

    def behind(self) -> Collection[str]:
        return () if self._at_end else (self._current,)

    def hold(self, partitions: Collection[str]) -> None:
        """Nothing: in a folder no event overtakes another."""

    def close(self) -> None:
        pass

    def _unread(self) -> Iterator[Incoming]:
        done, skip = self._current, self._lines
        files = [file for file in _files(self.folder) if file.name >= done]
        for file in files:
            seen = skip if file.name == done else 0
            with file.open("rb") as lines:
                for number, line in enumerate(islice(lines, seen, None), seen + 1):
                    if not line.endswith(b"\n") and file == files[-1]:
                        return  # still being written
                    yield Incoming(file.name, str(number), line.rstrip(b"\r\n"))


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*.jsonl") if not file.name.startswith((".", "_")))
