"""Bytes that are no plain UTF-8: packed files under another ending, and other encodings."""

from __future__ import annotations

from clicklake.logs.diagnosis.cause import Cause
from clicklake.logs.diagnosis.heads import Head
from clicklake.logs.files import COMPRESSION
from clicklake.parse.blocks import is_utf8

# What a file of a format begins with.
_MAGIC = {
    b"\x1f\x8b": ".gz",
    b"BZh": ".bz2",
    b"\x28\xb5\x2f\xfd": ".zst",
    b"PK\x03\x04": "zip",
    b"\xfd7zXZ\x00": "xz",
    b"PAR1": "Parquet",
    b"ORC": "ORC",
    b"Obj\x01": "Avro",
    b"SQLite format 3\x00": "SQLite",
}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_NULS = 0.2  # the share of NULs from which bytes are taken for UTF-16
_PLAIN = "plain text, or text compressed as .gz, .bz2 or .zst and named so"


def compressed(head: Head) -> Cause | None:
    """A compressed or binary file whose ending does not say so, or the other way round."""
    ending = next((end for end in COMPRESSION if head.path.endswith(end)), None)
    magic = _magic(head.stored)
    if magic == ending:
        return _packed_twice(head)
    plain = head.name.removesuffix(ending or "")
    if magic in COMPRESSION:
        found = f"{COMPRESSION[magic]} data under the name {head.name}"
        return Cause(found, _PLAIN, f"rename it to {plain}{magic}")
    if magic in ("zip", "xz"):
        return Cause(f"a {magic} archive", _PLAIN, "unpack it in its folder and take it away")
    if magic:
        kind = "CSV" if head.source.format == "csv" else "JSON lines"
        return Cause(f"a {magic} file", _PLAIN, f"export it as {kind}")
    if ending and _looks_like_text(head.stored[:256]):
        found = f"plain text under the name {head.name}"
        return Cause(found, f"{COMPRESSION[ending]} data", f"rename it to {plain}")
    return None


def _magic(data: bytes) -> str | None:
    return next((name for start, name in _MAGIC.items() if data.startswith(start)), None)


def _packed_twice(head: Head) -> Cause | None:
    """An archive, or compressed data, in compressed data."""
    inner = "tar" if head.text[257:262] == b"ustar" else _magic(head.text)
    if inner is None:
        return None
    found = f"a {inner} archive" if inner in ("tar", "zip", "xz") else f"{inner} data"
    place = f"{found} in {head.name}"
    return Cause(place, _PLAIN, "unpack it in its folder and take it away")


def _looks_like_text(data: bytes) -> bool:
    return is_utf8(data) and not any(byte < 32 and byte not in b"\t\r\n" for byte in data)


def other_encoding(head: Head) -> Cause | None:
    """UTF-16, or an encoding of one byte for each character."""
    if head.text.startswith(_UTF16) or head.text.count(0) > _NULS * len(head.text):
        return _recoded(head, "UTF-16", "UTF-16")
    if is_utf8(head.text):
        return None
    return _recoded(head, "WINDOWS-1252", "Latin-1 or Windows-1252")


def _recoded(head: Head, encoding: str, name: str) -> Cause:
    command = f"iconv -f {encoding} -t UTF-8 {head.name} > NEW"
    return Cause(f"text in {name}", "text in UTF-8", f"write UTF-8, or run: {command}")
