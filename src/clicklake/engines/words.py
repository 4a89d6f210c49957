"""An engine's error in few words."""

from __future__ import annotations

import re

# What stands behind the last frame of a Python traceback.
_RAISED = re.compile(r'.*\n  File "[^\n]*(?:\n {4}[^\n]*)*\n(\S[^\n]*)', re.DOTALL)


def brief(error: Exception) -> str:
    """The first words of an engine's error, without its stack and without addresses of people.

    Of one that was raised by our code in an engine's worker: what was raised there.
    """
    text = str(error).strip()
    raised = _RAISED.search(text)
    words = (raised[1] if raised else text).strip() or type(error).__name__
    return re.sub(r"(?<!\S)\S+@\S+", "…", words.splitlines()[0])[:500]
