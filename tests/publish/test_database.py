"""Each kind of database shows a committed run: all of it, or all of the one before."""

from __future__ import annotations

import io
import random
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

import postgres
from clicklake.config import Database
from clicklake.errors import AccessError, ClicklakeError, ConfigError
from clicklake.lake.metrics import NOTHING_NEW, RunMetrics
from clicklake.progress import Reporter
from clicklake.publish import postgresql, publish
from clicklake.run.publication import publish_newest
from clicklake.storage import open_storage
from fake_lake import NOON, commit, write_lake
from publish_support import (
    KINDS,
    Destination,
    Poller,
    environment,
    generation,
    runs,
    seen,
    seen_at_once,
)


def test_user_page_views_has_its_columns_in_this_order(destination, tmp_path):
    snapshot = write_lake(tmp_path / "lake")
    publish(snapshot, destination.config(tmp_path / "lake"), runs(1))
    names = destination.columns("select * from user_page_views limit 1")
    row = destination.ask("select * from user_page_views limit 1")[0]
    assert names == ["user_id", "email", "url", "count", "last_viewed"]
    assert row[:4] == (1, "ann@example.com", "/products/1/", 2)
    assert str(row[4])[:16].replace("T", " ") == "2018-04-01 12:00"


def test_daily_traffic_counts_people_and_bots_apart(destination, tmp_path):
    late = NOON.replace(hour=23, minute=59, second=59)
    clicks = [
        {"anonymous_user_id": "a", "session_id": "a1"},
        {"anonymous_user_id": "a", "session_id": "a1", "url": "https://shop.example/2"},
        {"anonymous_user_id": "a", "session_id": "a2", "time": late},
        {"anonymous_user_id": "b", "session_id": "b1"},
        {"anonymous_user_id": "spider", "session_id": "c1", "is_bot": True, "bot_reason": "agent"},
        {"anonymous_user_id": "a", "session_id": "a2", "time": late + timedelta(seconds=1)},
        {"anonymous_user_id": "a", "session_id": "a1", "host": None},
    ]
    snapshot = write_lake(tmp_path / "lake", clickstream=clicks)
    publish(snapshot, destination.config(tmp_path / "lake"), runs(1))
    rows = destination.ask("select * from daily_traffic")
    assert sorted((str(day), host or "", *counts) for day, host, *counts in rows) == [
        ("2018-04-01", "", 1, 1, 1, 0, 0, 0),
        ("2018-04-01", "shop.example", 4, 2, 3, 1, 1, 1),
        ("2018-04-02", "shop.example", 1, 1, 1, 0, 0, 0),
    ]


def test_runs_adds_up_the_books_of_the_sources(destination, tmp_path):
    books = {
        "page_views": {"read": 9, "kept": 4, "duplicate": 3, "filtered": 2, "quarantined": 0},
        "clickstream": {"read": 1, "kept": 0, "duplicate": 0, "filtered": 0, "quarantined": 1},
    }
    started = "2026-01-02T03:04:05+00:00"
    raw = {"started_at": started, "engine": "sail", "seconds": 1.5, "books": books}
    metrics = [RunMetrics.from_json({"run_id": "run-1", **raw})]
    publish(write_lake(tmp_path / "lake"), destination.config(tmp_path / "lake"), metrics)
    times = destination.ask("select started_at from runs")
    assert str(times[0][0])[:19].replace("T", " ") == "2026-01-02 03:04:05"
    columns = "run_id, engine, seconds, read, kept, duplicate, filtered, quarantined"
    assert destination.ask(f"select {columns} from runs") == [
        ("run-1", "sail", 1.5, 10, 4, 3, 2, 1)
    ]


def test_a_run_that_is_shown_already_is_not_published_again(destination, tmp_path):
    config = destination.config(tmp_path / "lake")
    snapshot = generation(tmp_path / "lake", 1)
    first = publish(snapshot, config, runs(1))["database"]
    when = destination.ask("select published_at from clicklake_publication")
    again = publish(snapshot, config, runs(1))["database"]
    assert first["status"] == "published"
    assert first["rows"] == {
        "user_page_views": 3,
        "page_recommendations": 3,
        "page_follows": 3,
        "users": 3,
        "sessions": 3,
        "daily_traffic": 1,
        "runs": 1,
    }
    assert again["status"] == "current"
    assert destination.ask("select published_at from clicklake_publication") == when


@pytest.mark.slow
def test_a_reader_with_an_open_transaction_stays_with_its_run(destination, tmp_path, monkeypatch):
    monkeypatch.setattr(postgresql, "PATIENCE_SECONDS", 0)
    config = destination.config(tmp_path / "lake")
    publish(generation(tmp_path / "lake", 1), config, runs(1))
    with destination.reader() as query:
        assert query("select count(*) from runs") == [(1,)]
        publish(generation(tmp_path / "lake", 2), config, runs(2))
        assert seen(query) == {1}
    assert seen_anew(destination) == {2}


def seen_anew(destination: Destination) -> set[int | None]:
    with destination.reader() as query:
        return seen(query)


@pytest.mark.slow
def test_a_polling_reader_sees_one_run_at_a_time(destination, tmp_path):
    lake = tmp_path / "lake"
    publish(generation(lake, 1), destination.config(lake), runs(1))
    with Poller(destination) as poller:
        for number in range(2, 5):
            publish(generation(lake, number, rows=500), destination.config(lake), runs(number))
    assert set(poller.observed) <= {f"[{number}]" for number in range(1, 5)}
    assert len(set(poller.observed)) > 1


PUBLISH_AND_STALL = """
import sys, time
from pathlib import Path
from publish_support import Destination, generation, runs
from clicklake.lake import Snapshot
from clicklake.publish import publish

class Stalling(Snapshot):
    def files(self, table):
        if table == "sessions":
            print("half way", flush=True)
            time.sleep(60)
        return super().files(table)

kind, url, schema, lake = sys.argv[1:]
whole = generation(Path(lake), 2)
half = Stalling(whole.storage, whole.manifest)
publish(half, Destination(kind, url, schema).config(Path(lake)), runs(2))
"""


@pytest.mark.slow
def test_a_killed_publication_changes_nothing_and_the_next_one_completes_it(destination, tmp_path):
    lake = tmp_path / "lake"
    publish(generation(lake, 1), destination.config(lake), runs(1))
    arguments = (destination.kind, destination.url, destination.schema, str(lake))
    with subprocess.Popen(
        [sys.executable, "-c", PUBLISH_AND_STALL, *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"half way\n"
        process.kill()
    assert seen_anew(destination) == {1}

    publish(generation(lake, 2), destination.config(lake), runs(2))
    assert seen_anew(destination) == {2}
    files = {file.name for file in tmp_path.iterdir()}
    assert files <= {"lake", "main.duckdb", "main.sqlite", "main.sqlite-wal", "main.sqlite-shm"}


def test_recommendations_are_absent_where_the_lake_has_none(destination, tmp_path):
    lake = tmp_path / "lake"
    publish(write_lake(lake, 1, page_recommendations=[]), destination.config(lake), runs(1))
    with pytest.raises(Exception, match="page_recommendations"):
        destination.ask("select * from page_recommendations")


@pytest.mark.slow
def test_what_left_the_lake_leaves_the_database(destination, tmp_path):
    lake, secret = tmp_path / "lake", "forget.me@example.com"
    people = [{"user_id": 1}, {"user_id": 2, "email": secret}]
    tables = dict.fromkeys(("users", "user_page_views", "page_recommendations"), people)
    publish(write_lake(lake, 1, **tables), destination.config(lake), runs(1))
    assert destination.ask(f"select user_id from users where email = '{secret}'") == [(2,)]

    tables = dict.fromkeys(("users", "user_page_views"), people[:1])
    left = write_lake(lake, 2, **tables, page_recommendations=[])
    publish(left, destination.config(lake), runs(2))
    assert destination.ask("select distinct email from user_page_views") == [("ann@example.com",)]
    if destination.kind == "postgresql":
        parts = destination.ask(
            f"select relname from pg_class where relname like 'clicklake%\\_1' "
            f"and relnamespace = '{destination.schema}'::regnamespace"
        )
        assert (parts, destination.ask("select * from page_recommendations")) == ([], [])
    else:
        files = Path(destination.path).parent.glob("main.*")
        assert not [file for file in files if secret.encode() in file.read_bytes()]
        with pytest.raises(Exception, match="page_recommendations"):
            destination.ask("select * from page_recommendations")


@pytest.mark.slow
def test_staging_holds_the_cleaned_inputs(make_destination, tmp_path):
    for kind in KINDS:
        main, staging = make_destination("duckdb", kind), make_destination(kind, "staging")
        lake = tmp_path / "lake"
        config = staging.config(lake, staging_url=staging.url, url=main.url)
        report = publish(write_lake(lake), config, runs(1))
        assert report["staging"]["rows"] == {"page_views": 1, "user_updates": 1}
        assert staging.ask("select user_id, url from page_views") == [(1, "/products/1/")]
        assert staging.ask("select user_id, name from user_updates") == [(1, "Ann")]


def test_staging_must_be_a_database_of_its_own(destination, tmp_path):
    config = destination.config(tmp_path / "lake", staging_url=destination.url)
    with pytest.raises(ConfigError, match="STAGING_URL"):
        publish(write_lake(tmp_path / "lake"), config, runs(1))


def test_a_table_of_somebody_else_is_not_replaced(destination, tmp_path):
    if destination.kind == "postgresql":
        destination.change(f"create schema {destination.schema}")
    prefix = f"{destination.schema}." if destination.kind == "postgresql" else ""
    destination.change(f"create table {prefix}users as select 'precious' as what")
    with pytest.raises(ConfigError, match="users"):
        publish(write_lake(tmp_path / "lake"), destination.config(tmp_path / "lake"), runs(1))
    assert destination.ask("select what from users") == [("precious",)]


def test_rows_that_the_manifest_does_not_know_stop_the_publication(destination, tmp_path):
    lake = tmp_path / "lake"
    publish(generation(lake, 1), destination.config(lake), runs(1))
    damaged = generation(lake, 2)
    (file,) = damaged.manifest.files("sessions")
    damaged.manifest.tables["sessions"] = (replace(file, rows=file.rows + 1),)
    with pytest.raises(ClicklakeError, match="sessions: the lake's manifest says 4 rows"):
        publish(damaged, destination.config(lake), runs(2))
    assert seen_anew(destination) == {1}


@pytest.mark.slow
def test_text_arrives_unchanged(destination, tmp_path):
    urls = ["=1+1", "/ä€😀?q='\"\\,;\t\r\n", "/" + "long" * 5000]
    if destination.kind != "postgresql":
        urls.append("/a\0b")
    rows = [{"user_id": i, "url": url} for i, url in enumerate(urls)]
    lake = tmp_path / "lake"
    publish(write_lake(lake, user_page_views=rows), destination.config(lake), runs(1))
    assert destination.ask("select url from user_page_views order by user_id") == [
        (url,) for url in urls
    ]


COMMENTS = {
    "duckdb": (
        "select comment from duckdb_tables() where table_name = 'users' "
        "union all select comment from duckdb_views() where view_name = 'clickstream' "
        "union all select comment from duckdb_columns() where column_name = 'last_viewed' "
        "union all select comment from duckdb_columns() where column_name = 'bot_reason'"
    ),
    "postgresql": (
        "select obj_description('users'::regclass) union all "
        "select col_description('user_page_views'::regclass, 5)"
    ),
}


@pytest.mark.parametrize("kind", COMMENTS)
def test_tables_and_columns_say_what_they_mean(make_destination, tmp_path, kind):
    destination, lake = make_destination(kind), tmp_path / "lake"
    publish(write_lake(lake), destination.config(lake), runs(1))
    said = {text for (text,) in destination.ask(COMMENTS[kind])}
    expected = {
        "Published by clicklake: a user with the latest e-mail and name",
        "when the user viewed it last",
    }
    if kind == "duckdb":
        expected |= {
            "Published by clicklake: a click with URL parts, campaign, bot label, session",
            "agent or rate; null for people",
        }
    assert said == expected


class TestPostgreSQL:
    @pytest.fixture
    def destination(self, make_destination):
        return make_destination("postgresql")

    @pytest.fixture
    def proxy(self, postgres_url):
        proxy = postgres.CuttingProxy(int(postgres_url.rpartition(":")[2].partition("/")[0]))
        yield proxy
        proxy.close()

    @pytest.mark.slow
    def test_a_cut_connection_changes_nothing_and_the_next_run_completes_it(
        self, destination, proxy, tmp_path
    ):
        cuts, rows = 50, 10_000
        lake = tmp_path / "lake"
        config = destination.config(lake)
        through = destination.config(
            lake, url=f"postgresql://clicklake@127.0.0.1:{proxy.port}/postgres"
        )
        publish(generation(lake, 1, rows), through, runs(1))
        bytes_of_a_publication, choose = proxy.passed, random.Random(7)
        failed = 0
        with Poller(destination) as poller:
            for number in range(2, cuts + 2):
                snapshot = generation(lake, number, rows)
                proxy.limit = choose.randrange(bytes_of_a_publication)
                try:
                    publish(snapshot, through, runs(number))
                except AccessError as error:
                    failed += 1
                    assert "run again" in str(error)
                publish(snapshot, config, runs(number))
                assert seen_anew(destination) == {number}
        assert set(poller.observed) <= {f"[{number}]" for number in range(1, cuts + 2)}
        assert failed > cuts / 2

    @pytest.mark.slow
    def test_a_snapshot_taken_before_the_switch_keeps_its_rows(
        self, destination, tmp_path, monkeypatch
    ):
        """Also where the reader touches the tables for the first time after it."""
        monkeypatch.setattr(postgresql, "PATIENCE_SECONDS", 0.2)
        lake = tmp_path / "lake"
        publish(generation(lake, 1), destination.config(lake), runs(1))
        with destination.reader() as query:
            query("select 1")
            report = publish(generation(lake, 2), destination.config(lake), runs(2))["database"]
            assert "reads the version before" in report["warnings"][0]
            assert seen_at_once(query) == {1}
        assert self.versions(destination) == [1, 2]
        publish(generation(lake, 2), destination.config(lake), runs(2))
        assert self.versions(destination) == [2]

    @staticmethod
    def versions(destination: Destination) -> list[int]:
        return [
            int(number)
            for (number,) in destination.ask(
                "select distinct substring(relname from '_([0-9]+)$') from pg_class where "
                f"relkind = 'r' and relnamespace = '{destination.schema}'::regnamespace "
                "and relname not in ('clicklake_publication', 'clicklake_tables') order by 1"
            )
        ]

    @pytest.mark.slow
    def test_grants_and_views_of_users_stay(self, destination, tmp_path):
        lake, schema = tmp_path / "lake", destination.schema
        publish(generation(lake, 1), destination.config(lake), runs(1))
        destination.change(
            f"grant select on {schema}.users to pg_monitor",
            f"create view {schema}.mine as select max(count) as top from {schema}.user_page_views",
        )
        publish(generation(lake, 2), destination.config(lake), runs(2))
        assert destination.ask("select top from mine") == [(2,)]
        assert destination.ask(
            f"select has_table_privilege('pg_monitor', '{schema}.users', 'select')"
        ) == [(True,)]

    def test_what_people_look_up_is_indexed(self, destination, tmp_path):
        lake = tmp_path / "lake"
        rows = [{"user_id": 1, "url": "/"}, {"user_id": 2, "email": "long" * 1000 + "@example.com"}]
        publish(write_lake(lake, user_page_views=rows), destination.config(lake), runs(1))
        indexes = destination.ask(
            "select substring(indexdef from 'USING (.*)') from pg_indexes where "
            f"schemaname = '{destination.schema}' and tablename = 'clicklake_user_page_views_1'"
        )
        expected = {"btree (user_id)", 'btree ("left"(email, 500))', "btree (url)"}
        assert {index for (index,) in indexes} == expected

    @pytest.mark.slow
    def test_a_nul_character_is_replaced_and_reported(self, destination, tmp_path):
        lake = tmp_path / "lake"
        commit(write_lake(lake, user_page_views=[{"url": "/a\0b"}, {"url": "/c"}]))
        console = Console(file=io.StringIO(), width=1000)
        done = RunMetrics("run-1", NOTHING_NEW, "sail", 0.0)
        config, reporter = destination.config(lake), Reporter(console)
        storage = open_storage(str(lake))
        report = publish_newest(config, storage, done, reporter, began=0.0).published
        urls = destination.ask("select url from user_page_views order by url")
        assert urls == [("/a\ufffdb",), ("/c",)]
        told = (
            "user_page_views: 1 texts hold a NUL character, which PostgreSQL cannot store; "
            "there it is U+FFFD."
        )
        assert report["database"]["warnings"] == [told]
        assert told in console.file.getvalue()

    @pytest.mark.slow
    def test_a_table_of_another_shape_is_made_anew(self, destination, tmp_path):
        lake, schema = tmp_path / "lake", destination.schema
        publish(generation(lake, 1), destination.config(lake), runs(1))
        destination.change(
            f"drop view {schema}.users",
            f"alter table {schema}.clicklake_users drop column name",
            f"create view {schema}.users as select user_id from {schema}.clicklake_users",
            f"comment on view {schema}.users is 'Published by clicklake'",
        )
        publish(generation(lake, 2), destination.config(lake), runs(2))
        assert seen_anew(destination) == {2}

    def test_a_failure_names_the_server_and_no_secret(self, destination, tmp_path, monkeypatch):
        monkeypatch.setenv("PGPASSWORD", "a wrong secret")
        lake = tmp_path / "lake"
        with pytest.raises(AccessError) as failure:
            publish(generation(lake, 1), destination.config(lake), runs(1))
        assert 'authentication failed for user "clicklake"' in str(failure.value)
        assert "a wrong secret" not in str(failure.value)


class TestDuckDB:
    @pytest.fixture
    def destination(self, make_destination):
        return make_destination("duckdb")

    @pytest.mark.slow
    @pytest.mark.parametrize("read_only", [True, False])
    def test_another_process_may_have_the_file_open(self, destination, tmp_path, read_only):
        lake = tmp_path / "lake"
        publish(generation(lake, 1), destination.config(lake), runs(1))
        holder = (
            f"import duckdb; connection = duckdb.connect({destination.path!r}, {read_only}); "
            "count = 'select max(count) from user_page_views'; "
            "print(connection.sql(count).fetchall(), flush=True); input(); "
            "print(connection.sql(count).fetchall())"
        )
        with subprocess.Popen(
            [sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout.readline() == b"[(1,)]\n"
            publish(generation(lake, 2), destination.config(lake), runs(2))
            assert process.communicate(b"\n")[0] == b"[(1,)]\n"
        assert seen_anew(destination) == {2}

    @pytest.mark.slow
    def test_the_views_show_the_files_of_the_manifest_only(self, destination, tmp_path):
        lake = tmp_path / "lake [x] it's"
        first = write_lake(lake, 1, page_views=[{"url": "/old"}])
        publish(first, destination.config(lake), runs(1))
        second = write_lake(lake, 2, page_views=[{"url": "/new"}, {"url": "/newer"}])
        urls = "select url, year, month from page_views order by url"
        assert destination.ask(urls) == [("/old", 2018, 4)]
        publish(second, destination.config(lake), runs(2))
        assert destination.ask(urls) == [("/new", 2018, 4), ("/newer", 2018, 4)]
        assert destination.ask("select host, year from clickstream") == [("shop.example", 2018)]

    def test_a_view_over_a_file_that_is_gone_fails_rather_than_mix(self, destination, tmp_path):
        lake = tmp_path / "lake"
        snapshot = write_lake(lake, 1, page_views=[{"url": "/april"}, {"ts": NOON + timedelta(31)}])
        publish(snapshot, destination.config(lake), runs(1))
        Path(snapshot.files("page_views")[0]).unlink()
        with pytest.raises(Exception, match=r"No files found|Cannot open"):
            destination.ask("select count(url) from page_views")

    def test_the_default_file_is_beside_the_lake(self, destination, tmp_path):
        config = replace(destination.config(tmp_path / "lake"), database=Database())
        publish(generation(tmp_path / "lake", 1), config, runs(1))
        assert seen_anew(Destination("duckdb", f"duckdb:///{tmp_path}/lake.duckdb")) == {1}

    def test_a_file_of_another_kind_is_left_alone(self, destination, tmp_path):
        lake = tmp_path / "lake"
        Path(destination.path).write_text("my notes")
        with pytest.raises(ConfigError, match="not a DuckDB file"):
            publish(generation(lake, 1), destination.config(lake), runs(1))
        assert Path(destination.path).read_text() == "my notes"
