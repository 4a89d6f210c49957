"""An engine's error in few words."""

from __future__ import annotations

import errno
import re

_FULL = re.compile(r"No space left on device|\bos error 28\b|Disk quota exceeded", re.I)

# What stands behind the last frame of a Python traceback.
_RAISED = re.compile(r'.*\n  File "[^\n]*(?:\n {4}[^\n]*)*\n(\S[^\n]*)', re.DOTALL)


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, of the system, an engine or its workers, says that no disk is left."""
    is_ours = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return is_ours or bool(_FULL.search(str(error)))


def brief(error: Exception) -> str:
    """The first words of an engine's error, without its stack and without addresses of people.

    Of one that was raised by our code in an engine's worker: what was raised there.
    """
    text = str(error).strip()
    raised = _RAISED.search(text)
    words = (raised[1] if raised else text).strip() or type(error).__name__
    return re.sub(r"(?<!\S)\S+@\S+", "…", words.splitlines()[0])[:500]
