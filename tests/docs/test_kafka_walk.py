"""docs/streaming.md, from Kafka on: done as it stands there, it prints what it shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kafka_broker
import schema_registry
import servers

ROOT = Path(__file__).parents[2]
SECTIONS = re.compile(r"^## Kafka, from nothing\n(.*?)^## Another", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^```\w+ (src/\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WHY_NOT = kafka_broker.why_not() or schema_registry.why_not()
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
def test_the_walk_through_prints_what_the_page_shows(tmp_path: Path) -> None:
    [section] = SECTIONS.findall((ROOT / "docs" / "streaming.md").read_text())
    ports = {str(port): str(servers.free_port()) for port in (9092, 9093, 8081)}
    checkout(tmp_path)
    for name, text in FILE.findall(section):
        (tmp_path / name).write_text(on_ports(text, ports))
    shown = "".join(CONSOLE.findall(section))
    commands = [line.removeprefix("$ ") for line in shown.splitlines() if line.startswith("$ ")]
    script = "".join(f"echo {quoted(f'$ {c}')}\n{c}\n" for c in commands)

    done = subprocess.run(
        ["bash", "-c", on_ports(f"trap 'kill $(jobs -p) 2> /dev/null' EXIT\n{script}", ports)],
        cwd=tmp_path / "src",
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )

    assert done.stdout == on_ports(shown, ports), done.stderr


def checkout(root: Path) -> None:
    for name in ("src", "data/sample"):
        shutil.copytree(ROOT / name, root / name)
    shutil.copy(ROOT / "dl.cfg.template", root)
    (root / ".cache").symlink_to(ROOT / ".cache")


def environment() -> dict[str, str]:
    java = kafka_broker._java()
    assert java
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{Path(java).parent}:{os.environ['PATH']}",
    }


def on_ports(text: str, ports: dict[str, str]) -> str:
    return re.sub("|".join(ports), lambda found: ports[found[0]], text)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
