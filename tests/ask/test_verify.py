"""`etl.py verify`: each of its checks finds what it is for."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from rich.console import Console

import hostile
import lakes
from clicklake import config
from clicklake.ask import verify
from clicklake.engines import Engine
from clicklake.lake import snapshot
from clicklake.progress import Reporter
from clicklake.schemas import TABLES
from clicklake.storage import LocalStorage
from days import AS_OF, _together, days
from other_release import altered


@pytest.fixture(scope="module")
def made(sail: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify")
    hostile.write(_together(days(5)[12:16]), folder / "in")
    lakes.run(sail, folder / "in", folder / "lake", AS_OF)
    return folder / "lake"


@pytest.fixture
def lake(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "lake")
    return tmp_path / "lake"


def _failed(lake: Path) -> list[str]:
    """The checks that fail."""
    out = io.StringIO()
    settings = replace(config.Config(), datalake=config.DataLake("unused", str(lake)))
    code = verify.main(settings, Reporter(Console(file=out, width=200)))
    failed = [
        line.removeprefix("FAILED").strip()
        for line in out.getvalue().splitlines()
        if line.startswith("FAILED")
    ]
    assert code == (1 if failed else 0)
    return failed


def _with_value(rows: pa.Table, column: str, value: Callable[[pa.Scalar], object]) -> pa.Table:
    """The rows with another value in their first one."""
    at = rows.schema.get_field_index(column)
    values = rows[column].to_pylist()
    values[0] = value(values[0])
    return rows.set_column(at, rows.schema.field(at), pa.array(values, rows.schema.field(at).type))


@pytest.mark.slow
def test_a_lake_as_it_was_made_holds(lake: Path) -> None:
    assert _failed(lake) == []


ALTERATIONS: dict[str, tuple[str, Callable[[pa.Table], pa.Table], str]] = {
    "a row is lost": (
        "page_views",
        lambda rows: rows.slice(1),
        "every run's books balance",
    ),
    "a user is there twice": (
        "users",
        lambda rows: pa.concat_tables([rows, rows.slice(0, 1)]),
        "users: keys are unique",
    ),
    "a user has another address": (
        "users",
        lambda rows: _with_value(rows, "email", lambda _: "other@example.com"),
        "users agrees with what it comes from",
    ),
    "a page was viewed once more": (
        "user_page_views",
        lambda rows: _with_value(rows, "count", lambda count: count + 1),
        "user_page_views agrees with what it comes from",
    ),
    "a session has an event more": (
        "sessions",
        lambda rows: _with_value(rows, "events", lambda events: events + 1),
        "sessions agrees with what it comes from",
    ),
    "a path is another": (
        "clickstream",
        lambda rows: _with_value(rows, "path", lambda _: "/elsewhere"),
        "clickstream: derived columns follow from their inputs",
    ),
    "an event is in another session": (
        "clickstream",
        lambda rows: _with_value(rows, "session_id", lambda name: f"{name}0"),
        "session ids follow the pauses",
    ),
    "a person is labelled as a bot": (
        "clickstream",
        lambda rows: rows.set_column(
            rows.schema.get_field_index("is_bot"), "is_bot", pc.invert(rows["is_bot"])
        ),
        "bots are labelled by their rate",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", ALTERATIONS)
def test_what_was_altered_is_found(lake: Path, what: str) -> None:
    table, alter, check = ALTERATIONS[what]

    def kept(rows: pa.Table) -> pa.Table:
        return alter(rows).cast(TABLES[table].schema)

    altered(lake, table, kept)
    assert check in _failed(lake)


def test_a_row_in_the_wrong_month_is_found(lake: Path) -> None:
    altered(
        lake, "page_views", lambda rows: _with_value(rows, "ts", lambda ts: ts.replace(year=2017))
    )
    assert "the manifest's files are there, whole and of their tables' schemas" in _failed(lake)


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_file_that_is_not_whole_is_found(lake: Path, damage: str) -> None:
    file = lake / snapshot(LocalStorage(lake)).live("users")[0].path
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1])
    assert _failed(lake) == ["the manifest's files are there, whole and of their tables' schemas"]


def test_a_file_that_nobody_names_is_found(lake: Path) -> None:
    file = lake / snapshot(LocalStorage(lake)).live("users")[0].path
    shutil.copy(file, file.with_name("stray.parquet"))
    assert _failed(lake) == ["no other files lie in the tables' folders"]


def test_a_ledger_that_is_another_is_found(lake: Path) -> None:
    [ledger] = (lake / "_clicklake" / "state").rglob("ledger-clickstream.json.gz")
    ledger.write_bytes(ledger.read_bytes() + b"\0")
    assert _failed(lake) == ["the state's files are as they were written"]
