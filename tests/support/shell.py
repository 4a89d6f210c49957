"""Commands of the documentation, as a user types them into a shell."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path


def printed(command: str, folder: Path, environment: Mapping[str, str]) -> str:
    """What a command prints, of which every part must succeed; it gets nothing to read."""
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout
