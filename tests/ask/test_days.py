"""Days as people have them: by a time zone, right on the two days a year when clocks change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import hostile
import lakes
from clicklake import config
from clicklake.ask.reading import open_lake
from clicklake.config import Database, DataLake, Report
from clicklake.engines import Engine
from clicklake.errors import ConfigError
from clicklake.lake import snapshot, sql
from clicklake.lake.metrics import RunMetrics
from clicklake.publish import publish
from clicklake.report import facts
from clicklake.storage import open_storage

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]
HEADER = "anonymous_user_id,url,time,browser,os,screen_resolution\n"
# An event every half hour around the changes of 2018 in Europe and America, and at a year's end.
TIMES = [
    start + timedelta(minutes=30 * step)
    for start in (
        datetime(2018, 3, 10, 12, tzinfo=UTC),
        datetime(2018, 3, 24, 12, tzinfo=UTC),
        datetime(2018, 10, 27, 12, tzinfo=UTC),
        datetime(2018, 11, 3, 12, tzinfo=UTC),
        datetime(2018, 12, 31, 0, tzinfo=UTC),
    )
    for step in range(96)
]
ASKED = """
select cast(time as date) as day, count(*) as n, min(year) as y, min(month) as m
from clickstream group by cast(time as date) order by day
"""
CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from clicklake.reading import open_lake
lake = open_lake(sys.argv[2], sys.argv[3], sys.argv[4])
print(lake.sql(sys.argv[5]).astype(str).to_json(orient="split"))
lake.close()
"""


@pytest.fixture(scope="module")
def lake(sail: Engine, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    place = tmp_path_factory.mktemp("days")
    rows = "".join(f"v{n},/,{int(time.timestamp())},,,\n" for n, time in enumerate(TIMES))
    hostile.write({"clickstream": {"a.csv": (HEADER + rows).encode()}}, place / "in")
    return place / "lake", lakes.run(sail, place / "in", place / "lake", date(2019, 6, 1))


def expected(zone: str) -> Counter[date]:
    return Counter(time.astimezone(ZoneInfo(zone)).date() for time in TIMES)


def test_the_days_that_are_shorter_and_longer_are_among_them() -> None:
    berlin = expected("Europe/Berlin")
    assert (berlin[date(2018, 3, 25)], berlin[date(2018, 10, 28)]) == (46, 50)


@pytest.mark.parametrize("zone", ZONES)
def test_daily_traffic(lake, zone: str) -> None:
    with sql.connect(snapshot(open_storage(str(lake[0]))), time_zone=zone) as connection:
        assert dict(connection.sql("select day, views from daily_traffic").fetchall()) == expected(
            zone
        )


@pytest.mark.parametrize("zone", ZONES)
def test_the_report(lake, zone: str) -> None:
    found = facts.gather(
        snapshot(open_storage(str(lake[0]))), RunMetrics.from_json(lake[1]), time_zone=zone
    )
    assert found.people == expected(zone)
    assert found.visitors.sessions == expected(zone)  # each event is a visit of its own
    assert found.time_zone == zone


@pytest.mark.parametrize("zone", ZONES)
def test_the_notebook(lake, zone: str) -> None:
    opened = open_lake(str(lake[0]), time_zone=zone)
    rows = opened.sql(ASKED)
    opened.close()
    assert dict(zip((day.date() for day in rows.day), rows.n, strict=True)) == expected(zone)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sail", "spark"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
def test_the_notebook_on_other_engines(lake, zone: str, engine: str) -> None:
    def ask(name: str) -> list:
        source = str(config.ROOT / "src")
        command = [sys.executable, "-c", CHILD, source, str(lake[0]), name, zone, ASKED]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("SPARK_")}
        done = subprocess.run(command, env=clean, capture_output=True, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])["data"]

    assert ask(engine) == ask("duckdb")


@pytest.mark.slow
def test_another_zone_is_published(lake, tmp_path: Path) -> None:
    state = snapshot(open_storage(str(lake[0])))

    def published(zone: str) -> tuple[str, dict]:
        settings = config.Config(
            datalake=DataLake(str(tmp_path), str(lake[0])),
            database=Database(f"duckdb:///{tmp_path}/out.duckdb"),
            csv=config.Csv(enabled=False),
            report=Report(zone),
        )
        status = publish(state, settings, [])["database"]["status"]
        import duckdb

        with duckdb.connect(f"{tmp_path}/out.duckdb", read_only=True) as connection:
            return status, dict(connection.sql("select day, views from daily_traffic").fetchall())

    assert published("UTC") == ("published", expected("UTC"))
    assert published("Europe/Berlin") == ("published", expected("Europe/Berlin"))
    assert published("Europe/Berlin") == ("current", expected("Europe/Berlin"))


def test_a_zone_that_there_is_not_is_refused(tmp_path: Path) -> None:
    for wrong in ("Berlin", "../etc/passwd", "UTC'; drop table x"):
        (tmp_path / "dl.cfg").write_text(f"[REPORT]\nTIME_ZONE = {wrong}\n")
        with pytest.raises(ConfigError, match=r"TIME_ZONE is .* the name of a time zone, such as"):
            config.load(tmp_path / "dl.cfg")
