"""A lake opened for questions gives the same answers on every engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from clicklake import config
from clicklake.ask.reading import open_lake
from clicklake.errors import ConfigError, InputError

ASKED = """
select s.year, s.month, coalesce(s.utm_source, '-') as origin, count(*) as n, sum(s.events) as e,
    cast(max(s.started_at) as date) as last_day, max(s.started_at) as last_start
from sessions s group by s.year, s.month, s.utm_source order by s.year, s.month, origin
""".strip()
REFUSED = "select source, count(*) as bad from quarantine group by source order by source"

CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from clicklake.reading import open_lake
lake = open_lake(sys.argv[2], sys.argv[3])
for text in sys.argv[4:]:
    print(lake.sql(text).astype(str).to_json(orient="split"))
print(lake.tables().rows.sum(), len(lake.sql("select * from page_recommendations")))
lake.close()
"""


@pytest.fixture
def place(sample_lake):
    return str(sample_lake[0])


def test_all_tables_can_be_asked(place):
    lake = open_lake(place)
    for table in lake.tables().itertuples():
        assert lake.sql(f"select count(*) as n from {table.table}").n[0] == table.rows
        assert ", ".join(lake.sql(f"select * from {table.table} limit 1").columns) == table.columns
    sums = lake.sql("select sum(events) as n from sessions")
    assert sums.n.dtype == "int64"
    assert sums.n[0] == lake.snapshot.rows("clickstream")
    lake.close()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sail", "spark"])
def test_every_engine_gives_the_same_answers(place, engine):
    def ask(name: str) -> list[str]:
        command = [sys.executable, "-c", CHILD, str(config.ROOT / "src"), place, name]
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("SPARK_")}
        done = subprocess.run(
            [*command, ASKED, REFUSED], env=inherited, capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()[-3:]

    expected = ask("duckdb")
    assert len(json.loads(expected[0])["data"]) > 3
    assert ask(engine) == expected


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match=r"no lake is there"):
        open_lake(str(tmp_path))
    with pytest.raises(ConfigError, match="duckdb, sail, spark"):
        open_lake(str(tmp_path), engine="hive")
