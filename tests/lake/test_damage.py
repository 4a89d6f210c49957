"""State files that are missing, empty, cut, altered or of yesterday: put right, or refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from random import Random

import pytest

import hostile
import lakes
import oracle
from clicklake.engines import Engine
from clicklake.errors import ClicklakeError, DamagedError
from clicklake.lake import STAGING, Change, Lake, LedgerFile, LiveFile, Manifest
from clicklake.lake.metrics import committed
from clicklake.storage import LocalStorage

AS_OF = date(2018, 12, 31)


def _commit(place: Path, run: str, removes: tuple[str, ...] = ()) -> None:
    place.mkdir(exist_ok=True)
    lake = Lake(LocalStorage(place))
    lake.open()
    staged, live = f"{STAGING}/{run}/users/x.parquet", f"users/{run}.parquet"
    lake.storage.write(staged, run.encode())
    kept = [file for file in lake.manifest.files("users") if file.path not in removes]
    tables = {"users": (*kept, LiveFile(live, 1, len(run)))}
    read = {f"{run}.csv": LedgerFile(3, "v", ((0, 3, "d"),), True, run)}
    ledger = {"user_updates": {**lake.ledger.get("user_updates", {}), **read}}
    metrics = {"run_id": run, "status": "committed", "engine": "sail", "seq": lake.head + 1}
    documents = {"forgotten": run.encode(), "recommender": b"{}"}
    manifest = Manifest(run, lake.head + 1, {"gap": 30}, tables)
    adds = [(staged, live)]
    lake.commit(Change(manifest, ledger, adds, list(removes), metrics, documents))


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A lake after two commits, and the same after the first of them."""
    folder = tmp_path_factory.mktemp("damage")
    _commit(folder / "lake", "one")
    shutil.copytree(folder / "lake", folder / "older")
    _commit(folder / "lake", "two", ("users/one.parquet",))
    return folder / "lake", folder / "older"


def _seen(place: Path) -> tuple:
    """All that a run knows of a lake when it begins, and all that readers see."""
    lake = Lake(LocalStorage(place))
    lake.open()
    documents = {name: lake.document(name) for name in ("forgotten", "recommender")}
    runs = [run.run_id for run in committed(lake.storage)]
    files = sorted(path.name for path in (place / "users").iterdir())
    return lake.manifest, lake.ledger, documents, runs, files


def _state_files(place: Path) -> list[str]:
    return sorted(
        str(file.relative_to(place))
        for file in (place / "_clicklake").rglob("*")
        if file.is_file() and file.name != "lease"
    )


def _damaged(data: bytes) -> Iterator[bytes]:
    """A file's content cut at any byte, and with any bit of it turned."""
    for end in range(len(data)):
        yield data[:end]
    for at in range(len(data)):
        yield data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]


def test_there_is_state_to_be_damaged(places: tuple[Path, Path]) -> None:
    names = [Path(name).name for name in _state_files(places[0])]
    assert names.count("manifest.json") == 2
    assert {"00000001.json", "00000002.json", "forgotten.json", "metrics.json"} <= set(names)
    assert "ledger-user_updates.json.gz" in names


def test_state_that_is_damaged_is_put_right_or_refused(
    places: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file, missing, and cut and altered at every byte (some of them in long ones)."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)  # only so that it is quick
    truth = _seen(places[0])
    refused = healed = 0
    for name in _state_files(places[0]):
        data = (places[0] / name).read_bytes()
        changes: list[bytes | None] = [None, *_damaged(data)]
        if len(changes) > 30:
            changes = [None, b"", *Random(name).sample(changes[2:], 28)]
        for change in changes:
            place = tmp_path / "lake"
            shutil.copytree(places[0], place)
            (place / name).unlink() if change is None else (place / name).write_bytes(change)
            try:
                assert _seen(place) == truth, (name, change)
                healed += 1
            except DamagedError as error:
                assert str(place) in str(error), error
                refused += 1
            shutil.rmtree(place)
    assert refused > 30
    assert healed > 30


@pytest.mark.parametrize("name", ["_clicklake/manifest.json"])
def test_an_older_copy_is_not_taken_for_the_present(
    places: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    truth = _seen(places[0])
    shutil.copytree(places[0], tmp_path / "lake")
    shutil.copy(places[1] / name, tmp_path / "lake" / name)
    assert _seen(tmp_path / "lake") == truth


@pytest.mark.parametrize("name", ["ledger-user_updates.json.gz", "forgotten.json"])
def test_an_older_ledger_or_document_is_refused(
    places: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    shutil.copytree(places[0], tmp_path / "lake")
    older = places[1] / "_clicklake" / "state" / "00000001" / name
    shutil.copy(older, tmp_path / "lake" / "_clicklake" / "state" / "00000002" / name)
    with pytest.raises(DamagedError, match=f"{name}: is damaged"):
        _seen(tmp_path / "lake")


def test_parquet_that_is_missing_or_cut_is_refused(
    places: tuple[Path, Path], tmp_path: Path
) -> None:
    shutil.copytree(places[0], tmp_path / "lake")
    file = tmp_path / "lake" / "users" / "two.parquet"
    file.write_bytes(b"tw")
    with pytest.raises(DamagedError, match=r"two\.parquet: has another size"):
        _seen(tmp_path / "lake")
    (tmp_path / "lake" / "_clicklake" / "data" / "users" / "two.parquet").unlink()
    file.unlink()
    with pytest.raises(DamagedError, match=r"two\.parquet: is missing.*--rebuild"):
        _seen(tmp_path / "lake")


# ------------------------------------------------------------------ the whole job

HEADER = "anonymous_user_id,url,time,browser,os,screen_resolution\n"
FIRST = {
    "clickstream": {"a.csv": f"{HEADER}v,/a,1525000000,,,\nbad\n".encode()},
    "user_updates": {"a.csv": b'"2018-04-01 09:00:00","1","a@b.example","Ann","production"\n'},
}
MORE = {
    "clickstream": {"b.csv": f"{HEADER}v,/b,1525000060,,,\nw,/b,1525000060,,,\nworse\n".encode()},
    "user_updates": {"b.csv": b'"2018-05-01 09:00:00","2","c@d.example","Cid","production"\n'},
}


def _both(one: hostile.Files, other: hostile.Files) -> hostile.Files:
    return {source: {**one[source], **other[source]} for source in one}


@pytest.fixture(scope="module")
def made(sail: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs, and the lake of the first of them."""
    place = tmp_path_factory.mktemp("made")
    hostile.write(FIRST, place / "in")
    lakes.run(sail, place / "in", place / "lake", AS_OF)
    hostile.write(MORE, place / "in")
    return place


def _empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.slow
@pytest.mark.parametrize("damage", [Path.unlink, _empty], ids=["missing", "empty"])
@pytest.mark.parametrize("which", ["manifest.json", "log", "ledger", "copy"])
def test_no_run_ends_well_with_other_rows(
    sail: Engine, made: Path, tmp_path: Path, which: str, damage: Callable[[Path], None]
) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(made / "lake", lake)
    state = lake / "_clicklake"
    [file] = {
        "manifest.json": [state / "manifest.json"],
        "log": list((state / "log").iterdir()),
        "ledger": [next((state / "state").glob("*/ledger-clickstream*"))],
        "copy": list((state / "state").glob("*/manifest.json")),
    }[which]
    damage(file)
    before = sorted(str(path) for path in lake.rglob("*.parquet"))
    try:
        lakes.run(sail, made / "in", lake, AS_OF)
    except ClicklakeError as error:
        assert file.name in str(error)
        assert sorted(str(path) for path in lake.rglob("*.parquet")) == before
    else:
        assert lakes.differences(lake, oracle.compute(_both(FIRST, MORE), AS_OF)) == []


def test_a_lake_whose_state_is_lost_is_made_anew(sail: Engine, made: Path, tmp_path: Path) -> None:
    """By a rebuild alone, and only if it is said that rows of logs that are gone may go."""
    lake = tmp_path / "lake"
    shutil.copytree(made / "lake", lake)
    for file in (lake / "_clicklake").rglob("*.json*"):
        file.unlink()
    with pytest.raises(DamagedError, match="--rebuild"):
        lakes.run(sail, made / "in", lake, AS_OF)
    with pytest.raises(ClicklakeError, match="--forget-missing"):
        lakes.run(sail, made / "in", lake, AS_OF, rebuild=True)
    lakes.run(sail, made / "in", lake, AS_OF, rebuild=True, forget_missing=True)
    assert lakes.differences(lake, oracle.compute(_both(FIRST, MORE), AS_OF)) == []
    on_disk = {str(path.relative_to(lake)) for path in lake.rglob("*.parquet")}
    live = {f["path"] for fs in lakes.manifest(lake)["tables"].values() for f in fs}
    assert on_disk == live | {f"_clicklake/data/{path}" for path in live}
