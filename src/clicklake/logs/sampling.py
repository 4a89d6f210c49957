"""The beginnings of files, read to be judged."""

from __future__ import annotations

from clicklake.logs.diagnosis import Head, parsed
from clicklake.logs.files import RefusedError, Tap, compression, decompressed
from clicklake.parse.rows import Source, TimeRange
from clicklake.storage import FileInfo, Storage

TEXT = 256 << 10  # bytes of text that are looked at
_COMPRESSED = 4 << 20  # bytes of a compressed file in which that much text is looked for
_STEP = 64 << 10
_OF_LONGER_CHARACTERS = bytes(range(0x80, 0x100))  # one that is cut is no other encoding


def head_of(
    storage: Storage,
    info: FileInfo,
    source: Source,
    time_range: TimeRange,
    *,
    multiline: bool = False,
) -> Head:
    """The beginning of a file through the parser. Raises AccessError, InputError."""
    end = min(info.size, _COMPRESSED if compression(info.path) else TEXT)
    start = next(storage.chunks(info, 0, min(end, _STEP)), b"")
    text, fault = b"", None
    try:
        for piece in decompressed(Tap(storage.chunks(info, 0, end)), info.path, _STEP):
            text += piece
            if len(text) >= TEXT:
                break
    except RefusedError as error:
        fault = str(error) if end == info.size else None  # else it is this sample's own end
    if len(text) < info.size:
        text = text[: text.rfind(b"\n") + 1] or text.rstrip(_OF_LONGER_CHARACTERS)
    return parsed(source, info.path, start, text, time_range, multiline=multiline, fault=fault)
