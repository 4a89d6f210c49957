"""The house: imports go downwards from room to room, never in a circle; no file is too long."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "clicklake"

# From the bottom to the top; what stands on one line may not import each other.
LAYERS = [
    {"errors", "derive", "shown", "compiling"},
    {"schemas", "config", "samples"},
    {"progress", "storage"},
    {"parse"},
    {"rules"},
    {"engines"},
    {"lake"},
    {"buckets"},
    {"logs"},
    {"recommend", "publish", "catalog", "report", "streaming"},
    {"run"},
    {"forget"},
    {"ask"},
    {"cli", "reading", "notebook"},
]

LONGEST = 300  # lines of a file

# What a pure room may know of the outside: nothing that opens files, sockets or processes.
PURE = {"errors", "shown", "derive", "schemas", "parse", "rules", "samples"}
IMPURE = {"boto3", "subprocess", "socket", "requests", "urllib.request", "pysail", "duckdb"}

FILES = sorted(PACKAGE.rglob("*.py"))


def _name(path: Path) -> str:
    """`clicklake.parse.csv` of a file; of a package its own name."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): path for path in FILES}


def _imports(path: Path) -> Iterator[str]:
    """All that a file imports, wherever in it: modules, and what is taken from them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _ours(path: Path) -> set[str]:
    """The modules of ours that a file imports; of a package only its own file counts."""
    found = {name for name in _imports(path) if name in MODULES}
    return {
        name
        for name in found
        # `from clicklake.lake import manifest` reads the package's file as well.
        if name not in ("clicklake", _name(path))
    }


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def _layer(room: str) -> int:
    return next((number for number, rooms in enumerate(LAYERS) if room in rooms), -1)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downwards(path: Path) -> None:
    room = _room(_name(path))
    others = {_room(name) for name in _ours(path)} - {room, ""}
    if room == "aws":
        assert others <= {"config", "errors", "progress"}
        return
    if not room:
        assert not others
        return
    assert _layer(room) >= 0, f"{room} has no place in LAYERS"
    above = {other for other in others if _layer(other) >= _layer(room)}
    if room != "cli":  # the deployer is apart: only the command line knows it
        above |= others & {"aws"}
    assert not above, f"{room} imports {above}, which do not lie below it"


@pytest.mark.slow
def test_no_module_imports_itself_through_others() -> None:
    graph = {name: _ours(path) for name, path in MODULES.items()}
    # A module reads its packages' files first; these may import it.
    for name, known in graph.items():
        graph[name] = {other for other in known if not name.startswith(f"{other}.")}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_is_too_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize("room", sorted(PURE))
def test_pure_rooms_do_not_reach_outside(room: str) -> None:
    files = [path for path in FILES if _room(_name(path)) == room]
    assert files
    for path in files:
        reached = {name for name in _imports(path) for far in IMPURE if name.startswith(far)}
        assert not reached


@pytest.mark.slow
def test_boto3_has_four_users() -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        if any(name.split(".")[0] == "boto3" for name in _imports(path))
    }
    assert users <= {
        "storage/s3.py",
        "catalog/target.py",
        "aws/client.py",
        "streaming/kinesis_client.py",
    }
