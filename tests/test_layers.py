"""Imports go downwards only: facts, pure transformations, input and output, wiring."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "clicklake"

LAYERS = [
    {"errors", "config", "schemas"},
    {"batches", "parse", "clean", "visits", "page_views", "users", "recommend", "samples"},
    {
        "engine", "sources", "storage", "lease", "lake", "inputs", "tables", "buckets",
        "clickstream", "progress", "sql",
        "query", "reading", "publish", "report", "streaming", "privacy",
    },
    {"pipeline", "verify", "forget", "replay"},
    {"cli"},
]  # fmt: skip

# What a pure module may know of the outside: nothing that opens files, sockets or processes.
IMPURE = {"boto3", "subprocess", "socket", "requests", "urllib.request", "pysail", "duckdb"}


def _layer(module: str) -> int:
    return next((n for n, names in enumerate(LAYERS) if module in names), -1)


def _modules() -> list[tuple[str, Path]]:
    """Every file with the name of the module or package below `clicklake` that it belongs to."""
    return [
        (path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path)
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "__init__.py" or path.parent != PACKAGE
    ]


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _ours(path: Path) -> set[str]:
    inner = {name.split(".")[1] for name in _imports(path) if name.startswith("clicklake.")}
    return {
        name for name in inner if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists()
    }


@pytest.mark.parametrize("module, path", _modules(), ids=lambda value: str(value)[-40:])
def test_imports_go_downwards(module: str, path: Path) -> None:
    if module == "aws":
        assert _ours(path) <= {"aws", "config", "errors", "progress"}
        return
    assert _layer(module) >= 0, f"{module} belongs to no layer"
    above = {name for name in _ours(path) if _layer(name) > _layer(module) or name == "aws"}
    assert not above, f"{module} imports {above}, which lie above it"


@pytest.mark.parametrize("module", sorted(LAYERS[0] | LAYERS[1] - {"recommend"}))
def test_pure_modules_do_not_reach_outside(module: str) -> None:
    files = [path for name, path in _modules() if name == module]
    assert files
    for path in files:
        assert not _imports(path) & IMPURE


def test_boto3_has_three_users() -> None:
    users = {str(path.relative_to(PACKAGE)) for _, path in _modules() if "boto3" in _imports(path)}
    assert users <= {"storage.py", "aws/client.py", "streaming/kinesis.py"}
