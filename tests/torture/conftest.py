"""What all torture tests share: a forge, servers, and two states of one lake.

Environment: TORTURE_SEED seeds everything that is random; TORTURE_COUNT is the number of random
moments at which a run is killed, and scales the other random tests with it. Without a count the
short form runs, a few of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

import forge as forges
import places
import proxy as proxies
import servers
from scene import SEED, SERVERS, Scene, _inputs, _light, _made, _numbered, _on_s3


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs that are killed take long: they are left to `make test-all` and `make torture`."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> Random:
    return Random(f"{SEED} {request.node.name}")


@pytest.fixture(scope="session")
def forge() -> Iterator[forges.Forge]:
    with forges.forge() as started:
        yield started


# Nothing beside the lake, and no model, so that a run is short. `published` has it all.


@pytest.fixture(scope="session")
def local(forge: forges.Forge, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("local")
    first, second, one, two = _inputs(folder)
    place = places.place(str(folder / "before"))
    scene = Scene(forge, first, second, place, {}, {}, _numbered(str(folder)), {}, _light(folder))
    return _made(scene, one, two, lambda lake: Path(lake.uri))


@pytest.fixture(scope="session")
def published(local: Scene, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """As `local`, with everything that a run does if nothing is set: the model, DuckDB, CSV."""
    config = tmp_path_factory.mktemp("published") / "default.cfg"
    config.write_text("")
    scene = replace(local, config=config)
    lake = scene.fresh()
    assert scene.run(lake).code == 0
    scene.after = places.by_manifest(lake)
    return scene


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """As `local`, on the quicker of the S3 servers at hand, behind a proxy."""
    with servers.server(SERVERS[-1]) as url, proxies.proxy(url) as proxy:
        yield from _on_s3(url, proxy, tmp_path_factory.mktemp("s3"))


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with servers.server("moto") as url, proxies.proxy(url) as proxy:
        yield from _on_s3(url, proxy, tmp_path_factory.mktemp("moto"))
