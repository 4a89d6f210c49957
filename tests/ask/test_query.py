"""query.py: one state of the lake, in every format, with errors that point at the place."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clicklake import lake
from clicklake.ask import query
from clicklake.cli import query as command
from clicklake.config import ROOT, Config
from clicklake.storage import open_storage
from fake_lake import NOON, commit, write_lake


@pytest.fixture
def ask(tmp_path, capfd, monkeypatch):
    """Ask the lake in `tmp_path`; gives exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dl.cfg").write_text("[DATALAKE]\nOUTPUT_DATA = lake\n")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = command.main(arguments)
        return (code, *capfd.readouterr())

    return run


@pytest.fixture
def shop(tmp_path):
    """A lake of three page views, and a file in its folder that the manifest does not list."""
    views = [
        {"user_id": 1},
        {"user_id": 2, "url": "=2+2"},
        {"user_id": 3, "ts": NOON.replace(month=5)},
    ]
    snapshot = write_lake(tmp_path / "lake", page_views=views)
    commit(snapshot)
    stray = Path(snapshot.files("page_views")[0]).with_name("stray.parquet")
    stray.write_bytes(Path(snapshot.files("page_views")[0]).read_bytes())
    return snapshot


def test_a_table_for_people(ask, shop):
    code, out, _ = ask("select user_id, url, ts from page_views order by user_id")
    lines = [line.split() for line in out.splitlines() if line.strip()]
    assert code == 0
    assert lines[0] == ["user_id", "url", "ts"]
    assert lines[2:] == [
        ["1", "/products/1/", "2018-04-01", "12:00:00Z"],
        ["2", "=2+2", "2018-04-01", "12:00:00Z"],
        ["3", "/products/1/", "2018-05-01", "12:00:00Z"],
        ["(3", "rows)"],
    ]


def test_a_table_ends_at_the_limit_and_says_so(ask, shop):
    assert "(the first 2 rows; --limit 0" in ask("from page_views", "--limit", "2")[1]
    assert "(3 rows)" in ask("from page_views", "--limit", "0")[1]


def test_csv_json_and_parquet(ask, shop, tmp_path):
    question = "select user_id, url, null as nothing, ts from page_views order by user_id limit 2"
    rows = list(csv.reader(io.StringIO(ask(question, "--format", "csv")[1], newline="")))
    assert rows == [
        ["user_id", "url", "nothing", "ts"],
        ["1", "/products/1/", "", "2018-04-01T12:00:00.000000Z"],
        ["2", "'=2+2", "", "2018-04-01T12:00:00.000000Z"],
    ]
    assert json.loads(ask(question, "--format", "json")[1]) == [
        {"user_id": 1, "url": "/products/1/", "nothing": None, "ts": "2018-04-01T12:00:00Z"},
        {"user_id": 2, "url": "=2+2", "nothing": None, "ts": "2018-04-01T12:00:00Z"},
    ]
    assert ask(question, "--to", "answer.parquet")[:2] == (0, "")
    assert pq.read_table(tmp_path / "answer.parquet").column("ts").to_pylist() == [NOON, NOON]


def test_odd_types_and_an_empty_answer(ask, shop):
    question = (
        "select u.user_id, v.user_id, [1, null] as l, {'k': 'v'} as s, 'nan'::double as f, "
        "1.5::decimal(4, 2) as d, sum(3) as n from users u cross join users v group by all"
    )
    code, out, _ = ask(question, "--format", "json")
    answer = {"user_id": 1, "l": [1, None], "s": {"k": "v"}, "f": None, "d": 1.5, "n": 3}
    assert (code, json.loads(out)) == (0, [answer | {"user_id_2": 1}])
    assert ask("select 1 as a where false", "--format", "json")[1] == "[]\n"
    assert ask("select 1 as a where false", "--format", "csv")[1] == "a\r\n"
    assert ask("select [1, 2] as a", "--format", "csv")[1] == 'a\r\n"[1, 2]"\r\n'


def test_the_tables_with_columns_and_rows(ask, shop):
    tables = {row["table"]: row for row in json.loads(ask("--tables", "--format", "json")[1])}
    named = "bad_files clickstream daily_traffic page_follows page_recommendations page_steps "
    named += "page_views quarantine runs sessions "
    assert " ".join(sorted(tables)) == named + "user_page_views user_updates users"
    assert tables["page_views"] == {
        "table": "page_views",
        "rows": 3,
        "columns": "ts timestamp with time zone, user_id bigint, url varchar, "
        "year bigint, month bigint",
    }
    assert (tables["runs"]["rows"], tables["daily_traffic"]["rows"]) == (1, None)


def test_a_table_s_columns_are_described(ask, shop):
    found = json.loads(ask("--describe", "page_views", "--format", "json")[1])
    assert [row["column"] for row in found] == ["ts", "user_id", "url", "year", "month"]
    assert found[1] == {"column": "user_id", "type": "bigint", "meaning": "the user's number"}
    assert all(row["meaning"] for row in found)
    code, _, told = ask("--describe", "page_view")
    assert code == 2
    assert "page_view: no such table. There are bad_files, clickstream, daily_traffic" in told


def test_a_table_that_the_lake_lacks_is_empty(ask, tmp_path):
    commit(write_lake(tmp_path / "lake", page_recommendations=[]))
    assert (
        ask("select count(*) as n from page_recommendations", "--format", "csv")[1] == "n\r\n0\r\n"
    )


@pytest.mark.parametrize(
    ("question", "message", "place"),
    [
        ("select userid from users", "userid", "userid"),
        ("select *\nfrom user", "does not exist", "user"),
        ("select count(* from users", "syntax error", "from"),
        ("select cast(url as int) from page_views", "/products/1/", "cast(url as int)"),
    ],
)
def test_an_error_points_at_the_place(ask, shop, question, message, place):
    code, out, err = ask(question)
    assert (code, out) == (2, "")
    assert message in err
    line, carets = err.splitlines()[-2:]
    assert line[carets.index("^") :][: carets.count("^")] == place


def test_other_mistakes(ask, shop, tmp_path):
    assert ask()[0] == 2
    assert ask("from users", "--to", "x.xls")[0] == 2
    code, _, err = ask("from users", "--output", str(tmp_path / "nowhere"))
    assert (code, "no lake is there" in err) == (4, True)


def test_what_a_terminal_would_obey_is_escaped(ask, shop):
    out = ask(r"select e'\x1b[31mred\x07' as x")[1]
    assert r"\x1b[31mred\x07" in out
    assert "\x1b" not in out


def test_a_question_from_standard_input(ask, shop, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("select 42 as n"))
    assert ask("-", "--format", "csv")[1] == "n\r\n42\r\n"


def test_a_lake_that_changes_meanwhile_is_asked_again(shop, tmp_path):
    calls = []

    def use(answer: pa.RecordBatchReader) -> list:
        calls.append(answer)
        if len(calls) == 1:  # a run replaces the files before they are read
            commit(write_lake(Path(shop.storage.root), 2, page_views=[{"url": "/new"}]))
            for file in shop.files("page_views"):
                Path(file).unlink()
            raise FileNotFoundError
        return answer.read_all().to_pylist()

    storage = open_storage(str(shop.storage.root))
    assert query.ask(query.Target(storage, Config()), "select url from page_views", use) == [
        {"url": "/new"}
    ]
    assert len(calls) == 2


@pytest.mark.slow
def test_the_script_runs_from_src(shop):
    call = [
        sys.executable,
        "scripts/query.py",
        "--output",
        str(shop.storage.root),
        "select 6 * 7 as n",
    ]
    done = subprocess.run(call, cwd=ROOT / "src", capture_output=True, text=True, check=True)
    assert "42" in done.stdout


def test_it_reads_what_the_job_writes(shop):
    """The snapshot of the lake is the one that queries and publications expect."""
    snapshot = lake.snapshot(open_storage(str(shop.storage.root)))
    assert (snapshot.run_id, snapshot.seq, snapshot.rows("page_views")) == ("run-1", 1, 3)
    assert sorted(snapshot.files("page_views")) == sorted(shop.files("page_views"))
