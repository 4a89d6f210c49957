"""Earlier states: they can be read, gone back to and removed; the bare folders hold the present."""

from __future__ import annotations

import io
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from rich.console import Console

import hostile
import lakes
import oracle
from clicklake import config
from clicklake.ask import verify
from clicklake.ask.query import Target, ask
from clicklake.cli import app
from clicklake.engines import Engine
from clicklake.errors import ClicklakeError, InputError
from clicklake.forget import forget
from clicklake.lake import snapshot
from clicklake.lake.manifest import Past
from clicklake.lake.retention import Retention
from clicklake.progress import Reporter
from clicklake.run import states
from clicklake.storage import LocalStorage, open_storage
from days import AS_OF, Day, _together, days

HOUR = timedelta(hours=1)
NOON = datetime(2018, 4, 1, 12, tzinfo=UTC)


def _quiet() -> Reporter:
    return Reporter(Console(file=io.StringIO()))


def _settings(lake: Path, **retain: int) -> config.Config:
    nothing = {"csv": config.Csv(enabled=False), "database": config.Database("")}
    place = config.DataLake("unused", str(lake), **retain)
    return config.Config(datalake=place, **nothing)


@pytest.fixture(scope="module")
def made() -> list[Day]:
    return days(7)[12:16]  # over the border of months


@pytest.fixture
def lake(sail: Engine, tmp_path: Path, made: list[Day]) -> Path:
    """A lake after three runs, each with another day."""
    for day in made[:3]:
        hostile.write(day, tmp_path / "in")
        lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF)
    return tmp_path / "lake"


def _expected(parts: list[Day]) -> oracle.Result:
    return oracle.compute(_together(parts), AS_OF)


def _bare(lake: Path, table: str) -> int:
    """Rows of a table's folder, as any reader of Parquet finds them."""
    query = f"select count(*) from read_parquet('{lake}/{table}/**/*.parquet')"
    return duckdb.sql(query).fetchall()[0][0]


def _asked(lake: Path, run_id: str | None = None, as_of: datetime | None = None) -> list[int]:
    target = Target(open_storage(str(lake)), _settings(lake), run_id, as_of)
    return [
        ask(target, f"select count(*) as n from {table}", lambda a: a.read_all())["n"][0].as_py()
        for table in lakes.TABLES
    ]


def _counts(expected: oracle.Result) -> list[int]:
    return [len(expected.tables[table]) for table in lakes.TABLES]


@pytest.mark.slow
def test_every_state_can_be_asked_by_run_and_by_time(lake: Path, made: list[Day]) -> None:
    found = states.history(_settings(lake))
    assert [state.seq for state in found] == [3, 2, 1]
    for state, parts in zip(found, (made[:3], made[:2], made[:1]), strict=True):
        expected = _counts(_expected(parts))
        assert _asked(lake, run_id=state.run_id) == expected
        assert _asked(lake, as_of=state.committed_at) == expected
    with pytest.raises(InputError, match="no longer kept; the earliest"):
        _asked(lake, as_of=found[-1].committed_at - HOUR)
    with pytest.raises(InputError, match='no earlier state "nosuch"'):
        _asked(lake, run_id="nosuch")


@pytest.mark.slow
def test_the_folders_hold_the_present_state_alone(lake: Path, made: list[Day]) -> None:
    expected = _expected(made[:3])
    for table in lakes.TABLES:
        assert _bare(lake, table) == len(expected.tables[table])
    kept = len(list((lake / "_clicklake" / "data").rglob("*.parquet")))
    assert kept > len(snapshot(LocalStorage(lake)).manifest.all_files)


@pytest.mark.slow
def test_a_rollback_is_the_earlier_state_and_the_next_run_reads_what_came_since(
    lake: Path, made: list[Day], sail: Engine
) -> None:
    first = states.history(_settings(lake))[-1]
    metrics = states.rollback(_settings(lake), first.run_id, _quiet())
    assert lakes.differences(lake, _expected(made[:1])) == []
    for table, count in zip(lakes.TABLES, _counts(_expected(made[:1])), strict=True):
        assert _bare(lake, table) == count
    assert metrics.rolled_back_to == 1
    assert verify.main(_settings(lake), _quiet()) == 0
    hostile.write(made[3], lake.parent / "in")
    lakes.run(sail, lake.parent / "in", lake, AS_OF)
    assert lakes.differences(lake, _expected(made)) == []
    assert verify.main(_settings(lake), _quiet()) == 0


@pytest.mark.slow
@pytest.mark.parametrize("method", ["move", "link", "delete", "create"])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_rollback_that_was_cut_off_is_there_or_not(
    lake: Path, made: list[Day], monkeypatch: pytest.MonkeyPatch, method: str, call: int
) -> None:
    first = states.history(_settings(lake))[-1]
    real, count = getattr(LocalStorage, method), iter(range(1, 100))

    def dies(self: LocalStorage, *given: object) -> object:
        if next(count) == call:
            raise KeyboardInterrupt
        return real(self, *given)

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(LocalStorage, method, dies)
        states.rollback(_settings(lake), first.run_id, _quiet())
    states.vacuum(_settings(lake), _quiet(), everything=False, dry_run=True)  # opens and heals
    parts = made[:1] if snapshot(LocalStorage(lake)).seq > 3 else made[:3]
    assert lakes.differences(lake, _expected(parts)) == []
    for table, count_ in zip(lakes.TABLES, _counts(_expected(parts)), strict=True):
        assert _bare(lake, table) == count_


@pytest.mark.slow
def test_vacuum_shows_and_removes(lake: Path, made: list[Day]) -> None:
    def removed(**how: bool) -> states.Swept:
        return states.vacuum(_settings(lake), _quiet(), **how)

    assert removed(everything=False, dry_run=False).files == 0
    shown = removed(everything=True, dry_run=True)
    assert len(shown.states) == 2
    assert shown.bytes > 0
    assert len(states.history(_settings(lake))) == 3
    assert removed(everything=True, dry_run=False) == shown
    assert [state.seq for state in states.history(_settings(lake))] == [3]
    data = sorted((lake / "_clicklake" / "data").rglob("*.parquet"))
    assert len(data) == len(snapshot(LocalStorage(lake)).manifest.all_files)
    with pytest.raises(InputError, match="kept no longer"):
        _asked(lake, run_id=shown.states[0])
    assert lakes.differences(lake, _expected(made[:3])) == []


@pytest.mark.slow
def test_a_run_removes_what_is_kept_no_longer(
    lake: Path, made: list[Day], sail: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hours and runs both: of three earlier states the newest alone stays."""
    real = config.DataLake
    monkeypatch.setattr(config, "DataLake", lambda *given: real(*given, retain_hours=0))
    hostile.write(made[3], lake.parent / "in")
    lakes.run(sail, lake.parent / "in", lake, AS_OF)
    assert [state.seq for state in states.history(_settings(lake))] == [4, 3]
    needed = {file for seq in (3, 4) for file in _names(lake, seq)}
    data = lake / "_clicklake" / "data"
    assert {str(path.relative_to(data)) for path in data.rglob("*.parquet")} == needed


def _names(lake: Path, seq: int) -> list[str]:
    run = next(state.run_id for state in states.history(_settings(lake)) if state.seq == seq)
    return [file.path for file in snapshot(LocalStorage(lake), run).manifest.all_files]


@pytest.mark.slow
def test_a_file_that_lost_one_of_its_names_gets_it_back(lake: Path, made: list[Day]) -> None:
    files = snapshot(LocalStorage(lake)).manifest.all_files
    (lake / files[0].path).unlink()
    (lake / "_clicklake" / "data" / files[1].path).unlink()
    states.vacuum(_settings(lake), _quiet(), everything=False, dry_run=True)
    assert lakes.differences(lake, _expected(made[:3])) == []
    assert _asked(lake) == _counts(_expected(made[:3]))
    (lake / files[0].path).unlink()
    (lake / "_clicklake" / "data" / files[0].path).unlink()
    with pytest.raises(ClicklakeError, match="is missing"):
        states.vacuum(_settings(lake), _quiet(), everything=False, dry_run=True)


@pytest.mark.slow
def test_who_is_forgotten_is_in_no_earlier_state(lake: Path) -> None:
    forget.run(_settings(lake), "1", "user", _quiet(), lambda _: True)
    assert len(states.history(_settings(lake))) == 1
    data = lake / "_clicklake" / "data"
    paths = {str(path.relative_to(data)) for path in data.rglob("*.parquet")}
    assert paths == {file.path for file in snapshot(LocalStorage(lake)).manifest.all_files}


@pytest.mark.slow
def test_the_command_line_lists_goes_back_and_asks(
    lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ("--output", str(lake))
    first = states.history(_settings(lake))[-1]
    assert app.main(["etl", "history", *place]) == 0
    assert first.run_id in capsys.readouterr().err
    question = "select count(*) as n from clickstream"
    call = ["query", *place, question, "--format", "csv", "--run", first.run_id]
    assert app.main(call) == 0
    assert capsys.readouterr().out.split() == ["n", str(first.rows["clickstream"])]
    assert app.main(["query", *place, question, "--as-of", "1999-01-01"]) == 4
    with pytest.raises(SystemExit, match="2"):
        app.main(["query", *place, question, "--as-of", "yesterday"])
    assert app.main(["etl", "rollback", "nosuch", *place]) == 4
    said = capsys.readouterr().err
    assert "no longer kept" in said
    assert "'yesterday' is no time" in said
    assert 'no earlier state "nosuch"' in said


@pytest.mark.parametrize(
    "hours, runs, kept",
    [(0, 0, []), (0, 2, [3, 4]), (2.5, 0, [3, 4]), (2.5, 3, [2, 3, 4]), (100, 0, [1, 2, 3, 4])],
)
def test_states_stay_by_their_age_or_their_number(hours: float, runs: int, kept: list) -> None:
    """Four states; the last became an earlier one one hour ago, the others an hour before each."""
    history = [
        Past(seq, f"r{seq}", NOON - (6 - seq) * HOUR, NOON - (5 - seq) * HOUR)
        for seq in range(1, 5)
    ]
    assert [past.seq for past in Retention(hours, runs).kept(history, NOON)] == kept
