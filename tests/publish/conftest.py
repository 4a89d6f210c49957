"""A database of each kind to publish to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import postgres
from publish_support import KINDS, Destination


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    os.environ["PGPASSWORD"] = postgres.PASSWORD
    with postgres.server("fsync=off") as url:
        yield url
    del os.environ["PGPASSWORD"]


@pytest.fixture
def make_destination(request: pytest.FixtureRequest, tmp_path: Path) -> Callable:
    def make(kind: str, name: str = "main") -> Destination:
        if kind == "postgresql":
            schema = f"s{abs(hash((request.node.nodeid, name)))}"  # one for each test
            return Destination(kind, request.getfixturevalue("postgres_url"), schema)
        return Destination(kind, f"{kind}:///{tmp_path}/{name}.{kind}", "public")

    return make


@pytest.fixture(params=KINDS)
def destination(request: pytest.FixtureRequest, make_destination: Callable) -> Destination:
    return make_destination(request.param)
