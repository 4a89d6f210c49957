"""Runs over time: however files are spread over runs, the lake is that of one run over all."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

import hostile
import lakes
import oracle
from clicklake.engines import Engine
from clicklake.errors import ConfigError, InputError
from clicklake.run import context, landing
from days import AS_OF, HEADER, Day, _together, days


def _in_order(made: list[Day]) -> list[Day]:
    return made


def _shuffled(made: list[Day]) -> list[Day]:
    mixed = list(made)
    Random(5).shuffle(mixed)
    return mixed


@pytest.mark.parametrize(
    "order, few_new, bucket_bytes",
    [
        (_in_order, 0, 1 << 29),
        (_shuffled, 1e9, 150),
        pytest.param(_shuffled, 1e9, 1 << 29, marks=pytest.mark.slow),
        pytest.param(_in_order, 1e9, 1 << 29, marks=pytest.mark.slow),
        pytest.param(_shuffled, 0, 150, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("seed, count", [(1, 8), pytest.param(2, 30, marks=pytest.mark.slow)])
def test_daily_runs_make_the_lake_of_one_run(
    sail: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    order: Callable[[list[Day]], list[Day]],
    few_new: float,
    bucket_bytes: int,
    seed: int,
    count: int,
) -> None:
    """`few_new`: whether user_page_views is made for all users, or for those with new rows.

    `bucket_bytes`: of a day's rows, which are worked at in parts.
    """
    monkeypatch.setattr(context, "FEW_NEW", few_new)
    monkeypatch.setattr(landing, "_BUCKET_BYTES", bucket_bytes)
    made = days(seed, count) if count == 30 else days(seed)[10:18]  # around the border
    for day in order(made):
        hostile.write(day, tmp_path / "in")
        lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF)
    expected = oracle.compute(_together(made), AS_OF)
    assert lakes.differences(tmp_path / "lake", expected) == []


@pytest.mark.spark
@pytest.mark.slow
def test_daily_runs_on_spark(spark: Engine, tmp_path: Path) -> None:
    made = _shuffled(days(3)[12:18])
    for day in made:
        hostile.write(day, tmp_path / "in")
        lakes.run(spark, tmp_path / "in", tmp_path / "lake", AS_OF)
    expected = oracle.compute(_together(made), AS_OF)
    assert lakes.differences(tmp_path / "lake", expected) == []


def test_a_second_run_has_nothing_to_do(sail: Engine, tmp_path: Path) -> None:
    hostile.write(_together(days(1)[:3]), tmp_path / "in")
    lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF)
    before = _content(tmp_path / "lake")
    again = lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF)
    assert again["status"] == "nothing_new"
    assert _content(tmp_path / "lake") == before


def _content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "lease"
    }


@pytest.mark.slow
def test_one_more_day_rewrites_only_its_month(sail: Engine, tmp_path: Path) -> None:
    made = days(4)
    hostile.write(_together(made[:25]), tmp_path / "in")  # until the 10th of April
    lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF)
    march = [f for t in lakes.manifest(tmp_path / "lake")["tables"].values() for f in t]
    hostile.write(made[25], tmp_path / "in")
    metrics = lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF)
    assert {month for months in metrics["months"].values() for month in months} == {"2018-04"}
    live = [f["path"] for t in lakes.manifest(tmp_path / "lake")["tables"].values() for f in t]
    assert all(f["path"] in live for f in march if "month=3" in f["path"])


def test_a_grown_file_is_read_again_and_its_bad_rows_are_replaced(
    sail: Engine, tmp_path: Path
) -> None:
    whole = HEADER + "v,/a,1522540800,,,\nbad\nv,/b,1522540860,,,\nworse\n"
    for text in (HEADER + "v,/a,1522540800,,,\nbad\n", whole):
        hostile.write({"clickstream": {"log.csv": text.encode()}}, tmp_path / "in")
        metrics = lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF)
    expected = oracle.compute({"clickstream": {"log.csv": whole.encode()}}, AS_OF)
    assert lakes.differences(tmp_path / "lake", expected) == []
    assert metrics["books"]["clickstream"] == {
        "read": 4, "kept": 1, "duplicate": 1, "filtered": 0, "quarantined": 2
    }  # fmt: skip


def test_a_vanished_file_keeps_its_rows(sail: Engine, tmp_path: Path) -> None:
    made = days(1)
    hostile.write(made[0], tmp_path / "in")
    lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF)
    for path in (tmp_path / "in").rglob("log"):
        path.unlink()
    hostile.write(made[1], tmp_path / "in")
    lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF)
    expected = oracle.compute(_together(made[:2]), AS_OF)
    assert lakes.differences(tmp_path / "lake", expected) == []


@pytest.mark.slow
def test_a_changed_file_rebuilds_its_source(sail: Engine, tmp_path: Path) -> None:
    made = days(1)[:3]
    hostile.write(_together(made), tmp_path / "in")
    lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF)
    [path] = made[1]["clickstream"]
    made[1]["clickstream"][path] = (HEADER + "other,/x,1522540800,,,\n").encode()
    hostile.write(made[1], tmp_path / "in")
    lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF)
    assert lakes.differences(tmp_path / "lake", oracle.compute(_together(made), AS_OF)) == []


@pytest.mark.slow
def test_a_changed_file_beside_a_vanished_one_stops_the_run(sail: Engine, tmp_path: Path) -> None:
    made = days(1)[:3]
    hostile.write(_together(made), tmp_path / "in")
    lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF)
    before = _content(tmp_path / "lake")
    first, second = next(iter(made[0]["clickstream"])), next(iter(made[1]["clickstream"]))
    (tmp_path / "in" / "Clickstream" / first).unlink()
    (tmp_path / "in" / "Clickstream" / second).write_text(HEADER)
    with pytest.raises(InputError, match=r"changed after it was read.*--forget-missing"):
        lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF)
    assert _content(tmp_path / "lake") == before
    with pytest.raises(InputError, match="--forget-missing"):
        lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF, rebuild=True)
    lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF, rebuild=True, forget_missing=True)
    left = oracle.compute(oracle.read_folder(tmp_path / "in"), AS_OF)
    assert lakes.differences(tmp_path / "lake", left) == []


def test_a_touched_file_is_not_read_again(sail: Engine, tmp_path: Path) -> None:
    hostile.write(days(1)[0], tmp_path / "in")
    lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF)
    for path in (tmp_path / "in").rglob("log"):
        os.utime(path, (1, 1))
    assert lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF)["status"] == "nothing_new"


@pytest.mark.slow
def test_other_settings_compute_all_months_anew(sail: Engine, tmp_path: Path) -> None:
    made = _together(days(1))
    hostile.write(made, tmp_path / "in")
    lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF)
    lakes.run(
        sail, tmp_path / "in", tmp_path / "lake", AS_OF,
        session_gap_minutes=9, bot_views_per_minute=1,
    )  # fmt: skip
    expected = oracle.compute(made, AS_OF, gap_minutes=9, bot_views_per_minute=1)
    assert lakes.differences(tmp_path / "lake", expected) == []


def test_logs_at_the_top_and_a_lake_below_them(sail: Engine, tmp_path: Path) -> None:
    made = days(1)[0]
    hostile.write({"page_views": made["page_views"]}, tmp_path)
    (tmp_path / "click.csv").write_bytes(next(iter(made["clickstream"].values())))
    for _ in range(2):
        metrics = lakes.run(sail, tmp_path, tmp_path / "lake", AS_OF, clickstream=".")
    assert metrics["status"] == "nothing_new"
    files = {"page_views": made["page_views"],
             "clickstream": {"click.csv": (tmp_path / "click.csv").read_bytes()}}  # fmt: skip
    assert lakes.differences(tmp_path / "lake", oracle.compute(files, AS_OF)) == []


def test_no_source_says_where_it_looked(sail: Engine, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"(?s)UserUpdates.*PageViews.*Clickstream"):
        lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF)


def test_two_sources_cannot_share_a_folder(sail: Engine, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="each needs a folder of its own"):
        lakes.run(sail, tmp_path, tmp_path / "lake", AS_OF, clickstream="x", page_views="x")


def _click_at(time: str, visitor: str = "v") -> str:
    at = datetime.fromisoformat(time).replace(tzinfo=UTC)
    return f"{visitor},/{time[5:16]},{at.timestamp():.0f},,,\n"


BORDERS = {
    "a session now starts in the month before": (["04-01 00:10"], ["03-31 23:50"]),
    "a session goes on in the month after": (
        ["03-31 23:30", "03-31 23:50", "04-01 00:10"],
        ["03-31 23:40"],
    ),
    "a session of the month before has gained an event": (["03-31 23:50"], ["04-01 00:10"]),
    "the last month is filled in between": (
        ["02-28 23:50", "04-01 00:10"],
        ["03-01 00:05", "03-31 23:55"],
    ),
    "two visits become one": (["03-31 23:20", "04-01 00:15"], ["03-31 23:45"]),
    "nothing meets": (["03-31 22:00", "04-01 02:00"], ["04-01 01:00"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("gap_minutes", [30, 60 * 24 * 40])
@pytest.mark.parametrize("case", BORDERS)
def test_late_rows_at_the_border_of_a_month(
    sail: Engine, tmp_path: Path, case: str, gap_minutes: int
) -> None:
    files: dict[str, bytes] = {}
    for number, times in enumerate(BORDERS[case]):
        rows = [_click_at(f"2018-{time}") for time in times]
        if number == 0:  # so that both months are in the lake before the late rows
            rows += [_click_at("2018-03-10 12:00", "w"), _click_at("2018-04-20 12:00", "w")]
        files[f"{number}.csv"] = (HEADER + "".join(rows)).encode()
        hostile.write({"clickstream": files}, tmp_path / "in")
        lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF, session_gap_minutes=gap_minutes)
    expected = oracle.compute({"clickstream": files}, AS_OF, gap_minutes=gap_minutes)
    assert lakes.differences(tmp_path / "lake", expected) == []
