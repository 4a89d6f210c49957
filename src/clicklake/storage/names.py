r"""Names of files as text: a folder of this machine may hold names that are no UTF-8.

A byte that is none is written `\xe9`. So that each name has one spelling, a backslash that could
be taken for the begin of such a byte is written `\x5c`.
"""

from __future__ import annotations

import os
import re

_SPELLED = re.compile(r"\\x([0-9a-f]{2})")


def spelled(name: str) -> str:
    r"""A name or path of the operating system as text that can be encoded.

    >>> spelled(os.fsdecode(b"caf\xe9.json"))
    'caf\\xe9.json'
    """
    if name.isascii() and "\\x" not in name:
        return name
    try:
        name.encode()
    except UnicodeEncodeError:
        pass
    else:
        return _SPELLED.sub(r"\\x5cx\1", name)
    raw = os.fsencode(name.replace("\\", "\\x5c"))
    return raw.decode(errors="backslashreplace")


def unspelled(text: str) -> str:
    """The name of the operating system that a spelling means."""
    if "\\x" not in text:
        return text
    raw = re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes([int(found[1], 16)]), text.encode())
    return os.fsdecode(raw)
