"""What somebody drops or empties in a database comes back with the next run, new data or not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from clicklake.errors import ConfigError
from clicklake.publish import publish
from fake_lake import write_lake
from publish_support import Destination, generation, runs, seen

TABLES = (
    "user_page_views",
    "page_recommendations",
    "page_follows",
    "users",
    "sessions",
    "daily_traffic",
    "runs",
    "clicklake_publication",
)


def drop(destination: Destination, table: str) -> str:
    is_view = destination.kind == "postgresql" and table != "clicklake_publication"
    cascade = " cascade" if destination.kind == "postgresql" else ""
    return f"drop {'view' if is_view else 'table'} {destination.named(table)}{cascade}"


def empty(destination: Destination, table: str) -> str:
    rows = table
    if destination.kind == "postgresql" and table != "clicklake_publication":
        rows = f"clicklake_{table}"  # the view cannot be written to
    return f"delete from {destination.named(rows)}"


def thin(destination: Destination, table: str) -> str:
    rows = f"clicklake_{table}" if destination.kind == "postgresql" else table
    return f"delete from {destination.named(rows)} where user_id = 1"


def seen_anew(destination: Destination) -> set[int | None]:
    with destination.reader() as query:
        return seen(query)


@pytest.mark.slow
@pytest.mark.parametrize("how", [drop, empty], ids=["dropped", "emptied"])
def test_it_comes_back(destination, tmp_path, how: Callable):
    lake = tmp_path / "lake"
    config, snapshot = destination.config(lake), generation(lake, 1)
    publish(snapshot, config, runs(1))
    for table in TABLES:
        destination.change(how(destination, table))
        assert publish(snapshot, config, runs(1))["database"]["status"] == "published", table
        assert seen_anew(destination) == {1}, table
    assert publish(snapshot, config, runs(1))["database"]["status"] == "current"


@pytest.mark.slow
@pytest.mark.parametrize("table", ["users", "clicklake_publication"])
def test_it_comes_back_with_new_data(destination, tmp_path, table):
    lake = tmp_path / "lake"
    config = destination.config(lake)
    publish(generation(lake, 1), config, runs(1))
    destination.change(drop(destination, table))
    publish(generation(lake, 2), config, runs(2))
    assert seen_anew(destination) == {2}


def test_a_single_row_comes_back(destination, tmp_path):
    lake, table = tmp_path / "lake", "users"
    config = destination.config(lake)
    publish(generation(lake, 1), config, runs(1))
    before = destination.ask(f"select * from {table} order by user_id")
    destination.change(thin(destination, table))
    publish(generation(lake, 1), config, runs(1))
    assert destination.ask(f"select * from {table} order by user_id") == before


@pytest.mark.slow
def test_all_is_dropped(destination, tmp_path):
    lake = tmp_path / "lake"
    config = destination.config(lake)
    publish(generation(lake, 1), config, runs(1))
    destination.change(*(drop(destination, table) for table in TABLES[:-1]))
    publish(generation(lake, 1), config, runs(1))
    assert seen_anew(destination) == {1}


def test_staging_comes_back(make_destination, destination, tmp_path):
    lake = tmp_path / "lake"
    main = make_destination("sqlite", "readers")
    config = destination.config(lake, staging_url=destination.url, url=main.url)
    publish(write_lake(lake), config, runs(1))
    destination.change(drop(destination, "page_views"))
    publish(write_lake(lake), config, runs(1))
    assert destination.ask("select user_id, url from page_views") == [(1, "/products/1/")]


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_a_table_that_somebody_put_in_its_place_is_not_touched(make_destination, tmp_path, kind):
    destination, lake = make_destination(kind), tmp_path / "lake"
    publish(generation(lake, 1), destination.config(lake), runs(1))
    destination.change(
        drop(destination, "users"), "create table users as select 'precious' as what"
    )
    with pytest.raises(ConfigError, match="users"):
        publish(generation(lake, 2), destination.config(lake), runs(2))
    assert destination.ask("select what from users") == [("precious",)]


class TestPostgreSQL:
    @pytest.fixture
    def destination(self, make_destination):
        return make_destination("postgresql")

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "damage",
        [
            "drop table {}.clicklake_users cascade",
            "drop table {}.clicklake_users_1",
            "alter table {0}.clicklake_users detach partition {0}.clicklake_users_1",
            "drop index {}.clicklake_users_1_email_idx",
            "update {}.clicklake_publication set version = 5",
            "drop table {}.clicklake_tables",
            "delete from {}.clicklake_tables",
        ],
    )
    def test_what_lies_below_the_views_comes_back(self, destination, tmp_path, damage):
        lake = tmp_path / "lake"
        config = destination.config(lake)
        publish(generation(lake, 1), config, runs(1))
        destination.change(damage.format(destination.schema))
        assert publish(generation(lake, 1), config, runs(1))["database"]["status"] == "published"
        assert seen_anew(destination) == {1}
        indexes = destination.ask(
            "select count(*) from pg_indexes where tablename like 'clicklake_users_%' "
            f"and schemaname = '{destination.schema}' and tablename <> 'clicklake_users_1'"
        )
        assert indexes == [(2,)]
        assert publish(generation(lake, 1), config, runs(1))["database"]["status"] == "current"


def test_an_index_of_sqlite_comes_back(make_destination, tmp_path):
    destination, lake = make_destination("sqlite"), tmp_path / "lake"
    publish(generation(lake, 1), destination.config(lake), runs(1))
    destination.change("drop index users_email")
    publish(generation(lake, 1), destination.config(lake), runs(1))
    assert destination.ask("select name from sqlite_master where name = 'users_email'")


@pytest.mark.parametrize("view", ["clickstream", "page_views"])
def test_a_view_of_duckdb_comes_back(make_destination, tmp_path, view):
    destination, lake = make_destination("duckdb"), tmp_path / "lake"
    publish(generation(lake, 1), destination.config(lake), runs(1))
    before = destination.ask(f"select * from {view}")
    destination.change(f"drop view {view}")
    publish(generation(lake, 1), destination.config(lake), runs(1))
    assert destination.ask(f"select * from {view}") == before


@pytest.mark.parametrize("state", [b"", b"{", b"[]", b"{}", b'{"run_id": "run-1"}', b"\xff"])
def test_the_record_of_exports_is_made_anew(tmp_path, state):
    lake = tmp_path / "lake"
    config = Destination("duckdb", "none").config(lake, exports=True)
    publish(generation(lake, 1), config, runs(1))
    record = lake / "csv" / "_publication.json"
    before = record.read_bytes()
    record.write_bytes(state)
    publish(generation(lake, 1), config, runs(1))
    assert record.read_bytes() == before


def test_an_export_that_was_cut_comes_back(tmp_path):
    lake = tmp_path / "lake"
    config = Destination("duckdb", "none").config(lake, exports=True)
    publish(generation(lake, 1), config, runs(1))
    file = lake / "csv" / "user_page_views.csv"
    before = file.read_bytes()
    file.write_bytes(before[:-7])
    publish(generation(lake, 1), config, runs(1))
    assert file.read_bytes() == before
