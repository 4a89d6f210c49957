"""A folder of JSON lines as a stream: no server, one file a chunk, named by its first event."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import count, islice, repeat
from pathlib import Path

from clicklake.errors import InputError
from clicklake.storage.durable import write_durably
from clicklake.streaming.marks import Mark
from clicklake.streaming.messages import digest_of
from clicklake.streaming.stream import (
    Incoming,
    Outgoing,
    Position,
    incoming,
    is_own,
    marked,
    position_of,
)

_SEGMENT = re.compile(r"\d{15}\.jsonl")
_POLL_LINES = 10_000
_WAIT_SECONDS = 0.5


class FolderSink:
    """Each chunk is one file, renamed into place whole: it is there or it is not."""

    chunk = 50_000

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark: Mark | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def peek(self) -> Position:
        return self.position()

    def position(self) -> Position:
        for file in reversed(_files(self.folder)):
            if _SEGMENT.fullmatch(file.name):
                for line in reversed(file.read_bytes().split(b"\n")):
                    if (found := position_of(line, self.mark)).sequence:
                        return found
        return Position(0)

    def send(self, events: Sequence[Outgoing]) -> None:
        name = f"{events[0].sequence:015d}.jsonl"
        lines = [marked(event, self.mark) + b"\n" for event in events]
        write_durably(self.folder / name, b"".join(lines))

    def redact(self, digests: Collection[str]) -> None:
        """Leave in the place of each event its number alone, so that all others keep theirs."""
        for file in _files(self.folder):
            lines = file.read_bytes().split(b"\n")
            redacted = [_redacted(line, digests) for line in lines]
            if redacted != lines:
                write_durably(file, b"\n".join(redacted))

    def close(self) -> None:
        pass


class FolderSource:
    """The files in the order of their names; a file is a partition, a line (from 1) an offset.

    A file may still be written to, as long as it is the last: lines are read as they come.
    Where the publisher's mark is known, files of others are read beside its own, so that none of
    them is taken for the last.
    """

    horizon = 0

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(f"{folder}: no stream is there. Run scripts/stream.py publish first.")
        self.folder = folder
        self.topic = folder.name
        self.mark: Mark | None = None
        self._current = ""  # the publisher's last file that was begun
        self._read: dict[str, int] = {}  # lines by file
        self._messages: Iterator[list[Incoming]] = iter(())
        self._at_end = False

    def open(self, positions: Mapping[str, str]) -> None:
        self._read = {name: int(lines) for name, lines in positions.items()}
        own = (name for name in positions if self._is_own(self.folder / name))
        self._current = max(own, default="")
        self._messages = self._unread()
        self._at_end = False

    def poll(self) -> list[Incoming]:
        messages = next(self._messages, [])
        if not messages:
            if self._at_end:
                time.sleep(_WAIT_SECONDS)
            self._messages = self._unread()
        self._at_end = not messages
        return messages

    def behind(self) -> Collection[str]:
        return () if self._at_end else (self._current,)

    def can_hold(self, sequence: int, message: Incoming) -> bool:
        """A file is named by the number of its first line."""
        name = Path(message.partition)
        is_segment = bool(_SEGMENT.fullmatch(name.name))
        return is_segment and sequence < int(name.stem) + int(message.offset)

    def hold(self, partitions: Collection[str]) -> None:
        """Nothing: in a folder no event overtakes another."""

    def close(self) -> None:
        pass

    def _unread(self) -> Iterator[list[Incoming]]:
        files = _files(self.folder)
        own = [file for file in files if self._is_own(file)]
        for file in own:
            if file.name >= self._current:
                self._current = file.name
                yield from self._lines(file, may_grow=file == own[-1])
        for file in files:
            if file not in own:
                yield from self._lines(file, may_grow=True)

    def _lines(self, file: Path, may_grow: bool) -> Iterator[list[Incoming]]:
        seen = self._read.get(file.name, 0)
        with file.open("rb") as lines:
            rest = islice(lines, seen, None)
            while read := list(islice(rest, _POLL_LINES)):
                if may_grow and not read[-1].endswith(b"\n"):
                    read.pop()  # still being written
                numbers = map(str, count(seen + 1))
                self._read[file.name] = seen = seen + len(read)
                bodies = map(bytes.rstrip, read, repeat(b"\r\n"))
                fields = zip(
                    repeat(file.name), numbers, bodies, repeat(None), repeat(""), strict=False
                )
                if messages := list(map(incoming, fields)):
                    yield messages

    def _is_own(self, file: Path) -> bool:
        """Whether a file is the publisher's, or might be: its first line has the file's number."""
        if self.mark is None:
            return True
        if not _SEGMENT.fullmatch(file.name) or not file.exists():
            return False
        with file.open("rb") as lines:
            return is_own(lines.readline(), self.mark, int(file.stem))


def _redacted(line: bytes, digests: Collection[str]) -> bytes:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return line
    visitor = message.get("anonymous_user_id") if isinstance(message, dict) else None
    if not isinstance(visitor, str) or digest_of(visitor) not in digests:
        return line
    kept = ("publisher", "publisher_since", "sequence")
    return json.dumps({k: message[k] for k in kept if k in message} | {"retracts": None}).encode()


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*.jsonl") if not file.name.startswith((".", "_")))
