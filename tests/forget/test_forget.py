"""A person who was forgotten is nowhere, and stays away; everybody else keeps every row."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tracemalloc
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from random import Random

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

import lakes
from clicklake import config
from clicklake.cli import main as cli
from clicklake.forget import forget
from clicklake.forget.find import kind_of
from clicklake.lake.privacy import Forgotten, Person, addresses
from clicklake.logs.inputs import REPLAYED
from clicklake.progress import Reporter
from clicklake.report import masks
from clicklake.run import job
from people_logs import HEADER, LATER, NAMES, logs, write

AS_OF = date(2018, 12, 31)

# Lines of each source; those that begin with "!" are about Ann: user 7, visitor v-ann-1.


def settings(source: Path, lake: Path) -> config.Config:
    return lakes.configuration(source, lake)


def run(running, source: Path, lake: Path, **changes) -> dict:
    options = job.Options("sail", AS_OF, **changes)
    quiet = Reporter(Console(file=io.StringIO()))
    return job.run(settings(source, lake), options, quiet, running).to_json()


def forget_(source: Path, lake: Path, name: str, kind: str | None = None) -> dict:
    quiet = Reporter(Console(file=io.StringIO()))
    done = forget.run(settings(source, lake), name, kind, quiet, lambda removal: True)
    return done.to_json()


def contents(lake: Path) -> Iterator[tuple[Path, str]]:
    """Every file of the lake, databases, CSV files and reports included, as text."""
    for file in sorted(lake.rglob("*")):
        if not file.is_file():
            continue
        if file.suffix == ".parquet":
            yield file, str(pq.read_table(file, partitioning=None).to_pylist())
        elif file.suffix == ".duckdb":
            with duckdb.connect(str(file), read_only=True) as base:
                names = [
                    name
                    for (name,) in base.execute("select table_name from duckdb_tables()").fetchall()
                ]
                yield file, str([base.execute(f'from "{name}"').fetchall() for name in names])
        elif file.suffix == ".gz":
            yield file, gzip.decompress(file.read_bytes()).decode()
        else:
            yield file, file.read_bytes().decode(errors="replace")


def places_of_ann(lake: Path) -> list[str]:
    return [str(file) for file, text in contents(lake) if any(n in text.lower() for n in NAMES)]


def places_of_ann_by(name: str, lake: Path) -> list[str]:
    return [str(file) for file, text in contents(lake) if name in text.lower()]


def state(lake: Path) -> tuple:
    """All tables; of the quarantine what does not depend on the number of lines before it."""
    refused = sorted((source, reason, raw) for source, _, _, reason, raw in lakes.quarantine(lake))
    return lakes.read(lake), refused


@pytest.fixture(scope="module")
def made(sail, tmp_path_factory):
    """The logs with and without Ann, and a lake of each."""
    place = tmp_path_factory.mktemp("made")
    for name in ("with", "without"):
        source = logs(place / name / "in", with_ann=name == "with")
        run(sail, source, place / name / "lake")
    return place


@pytest.fixture
def both(made, tmp_path):
    """Copies of what was made, to be changed."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "with", tmp_path / "without"


@pytest.mark.parametrize("name", ["7", "ANN@example.com"])
def test_a_person_is_nowhere_and_everybody_else_keeps_every_row(both, name):
    mine, clean = both
    assert places_of_ann(mine / "lake")
    metrics = forget_(mine / "in", mine / "lake", name)
    assert places_of_ann(mine / "lake") == []
    assert state(mine / "lake") == state(clean / "lake")
    assert metrics["forgotten"] == {
        "user_updates": 2,
        "users": 1,
        "page_views": 3,
        "user_page_views": 3,
        "clickstream": 3,
        "sessions": 2,
        "quarantine": 4,
    }


@pytest.mark.slow
def test_a_person_stays_away_from_later_runs_and_rebuilds(both, sail):
    mine, clean = both
    forget_(mine / "in", mine / "lake", "ann@example.com")
    for side in both:
        write(side / "in" / "UserUpdates", "later.csv", LATER, with_ann=side is mine)
    metrics = run(sail, mine / "in", mine / "lake")
    run(sail, clean / "in", clean / "lake")
    assert metrics["books"]["user_updates"] == {
        "read": 3,
        "kept": 1,
        "duplicate": 0,
        "filtered": 2,
        "quarantined": 0,
    }
    assert state(mine / "lake") == state(clean / "lake")
    rebuilt = run(sail, mine / "in", mine / "lake", rebuild=True)
    assert state(mine / "lake") == state(clean / "lake")
    assert places_of_ann(mine / "lake") == []
    for books in rebuilt["books"].values():
        assert books["read"] == sum(books.values()) - books["read"]


@pytest.mark.slow
def test_files_that_were_replayed_are_rid_of_a_person_and_are_not_read_again(sail, tmp_path):
    source, lake = logs(tmp_path / "in", with_ann=True), tmp_path / "lake"
    kept = lake / REPLAYED / "clickstream" / "repaired.csv.gz"
    kept.parent.mkdir(parents=True)
    rows = "v-ann-1,https://x/1,1522576800,C,L,\nv-bob-1,https://x/2,1522576800,C,L,\n"
    kept.write_bytes(gzip.compress(f"{HEADER}\n{rows}".encode()))
    run(sail, source, lake)
    forget_(source, lake, "v-ann-1")
    assert places_of_ann_by("v-ann", lake) == []
    assert gzip.decompress(kept.read_bytes()).decode().splitlines()[1:] == [rows.splitlines()[1]]
    assert run(sail, source, lake)["status"] == "nothing_new"
    assert run(sail, source, lake, rebuild=True)["books"]["clickstream"]["kept"] == 3


@pytest.mark.slow
def test_a_visitor_is_forgotten_alone(both):
    mine, _ = both
    metrics = forget_(mine / "in", mine / "lake", "v-bob-1")
    assert metrics["forgotten"] == {"clickstream": 2, "sessions": 1, "quarantine": 1}
    assert not any("v-bob" in text for _, text in contents(mine / "lake"))


@pytest.mark.slow
def test_an_address_of_two_users_stays_with_the_other(sail, tmp_path):
    source, lake = tmp_path / "in", tmp_path / "lake"
    shared = "2018-04-01T10:00:00,{},family@example.com,F,production"
    write(source / "UserUpdates", "u.csv", f"{shared.format(1)}\n{shared.format(2)}", with_ann=True)
    run(sail, source, lake)
    forget_(source, lake, "1")
    assert [row["user_id"] for row in lakes._rows(lake, "users")] == [2]
    forget_(source, lake, "Family@example.com")
    assert lakes._rows(lake, "users") == []


def test_nothing_happens_without_consent(both):
    mine, _ = both
    before = sorted((file, text) for file, text in contents(mine / "lake"))
    quiet = Reporter(Console(file=io.StringIO()))
    plans = []
    metrics = forget.run(
        settings(mine / "in", mine / "lake"), "7", None, quiet, plans.append
    ).to_json()
    assert metrics["status"] == "nothing_new"
    assert plans[0].rows["users"] == 1
    assert "ann" not in forget.told(plans[0]).lower()
    assert sorted((file, text) for file, text in contents(mine / "lake")) == before


@pytest.mark.slow
def test_the_command_line_asks_first_and_names_nobody(both, capsys):
    mine, _ = both
    places = ["--input", str(mine / "in"), "--output", str(mine / "lake")]
    assert cli.main(["forget-user", "ann@example.com", *places]) == 2
    assert cli.main(["forget-user", "ann@example.com", "--dry-run", *places]) == 0
    assert places_of_ann(mine / "lake")
    assert cli.main(["forget-user", "ann@example.com", "--yes", "--json", *places]) == 0
    assert places_of_ann(mine / "lake") == []
    shown = capsys.readouterr()
    assert json.loads(shown.out.splitlines()[-1])["forgotten"]["users"] == 1
    assert "user_updates: 2 rows go" in shown.err
    assert "ann@" not in shown.out + shown.err


@pytest.mark.slow
def test_only_keyed_hashes_are_kept(both):
    mine, _ = both
    forget_(mine / "in", mine / "lake", "7")
    [document] = (mine / "lake" / "_clicklake" / "state").glob("*/forgotten.json")
    kept = json.loads(document.read_text())
    assert len(kept["hashes"]) == 4  # a user, two addresses, a visitor
    assert all(len(each) == 64 for each in kept["hashes"])
    again = Forgotten().with_person(Person(users=frozenset([7])))
    assert not again.hashes & set(kept["hashes"])  # another key, other hashes


@pytest.mark.slow
def test_forgetting_twice_changes_nothing(both):
    mine, _ = both
    forget_(mine / "in", mine / "lake", "7")
    assert forget_(mine / "in", mine / "lake", "7")["status"] == "nothing_new"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/invite?to=Ann%40Example.com&x=1", {"ann@example.com"}),
        ("mail <a.b+c@d.org>, e@f.org;", {"a.b+c@d.org", "e@f.org"}),
        ("write to ann@example.com.", {"ann@example.com"}),
        ("ftp://ann@example.com:21/", {"ann@example.com"}),
        ("/?m=o%27brien%2540example.com#x", {"o'brien@example.com"}),
        ('"name":"ann@example.com"}', {"ann@example.com"}),
    ],
)
def test_addresses_are_found_in_any_text(text, found):
    assert found <= set(addresses(text))


@pytest.mark.parametrize("text", ["@ann", "no address at all", "a @ b", "%40"])
def test_what_is_no_address_is_not_taken_for_one(text):
    assert list(addresses(text)) == []


@pytest.mark.slow
@pytest.mark.parametrize("piece", ["x", "1", "@", "x@", "=", "&x=", " ", "%40", "x%40x&"])
def test_a_long_text_takes_no_long_time(piece):
    """Quadratic work on a quarter of a mebibyte would take many minutes."""
    long = piece * ((1 << 18) // len(piece))
    forgotten = Forgotten().with_person(Person(emails=frozenset(["ann@example.com"])))
    assert forgotten.in_raw("page_views", f"{long} ann@example.com")
    assert not forgotten.in_raw("user_updates", long)
    assert masks.hide_addresses(long)


@pytest.mark.slow
def test_a_long_text_full_of_addresses_takes_little_memory():
    """Of a mebibyte there may be a million, of some hundred characters each."""
    rng = Random(1)
    text = "".join("".join(rng.choices("/=ab", k=255)) + "@" for _ in range(1 << 12))
    forgotten = Forgotten().with_person(Person(emails=frozenset(["ann@example.com"])))
    tracemalloc.start()
    assert not forgotten.in_raw("page_views", text)
    assert tracemalloc.get_traced_memory()[1] < 100 << 20
    tracemalloc.stop()


def test_a_number_too_long_for_an_id_is_nobody():
    forgotten = Forgotten().with_person(Person(users=frozenset([7])))
    assert not forgotten.in_raw("page_views", "9" * 5000)
    assert forgotten.in_raw("page_views", "007, 9")


@pytest.mark.slow
def test_the_books_balance_after_a_person_is_forgotten(both, capsys):
    mine, _ = both
    places = ["--input", str(mine / "in"), "--output", str(mine / "lake")]
    assert cli.main(["verify", *places]) == 0
    assert cli.main(["forget-user", "ann@example.com", "--yes", *places]) == 0
    assert cli.main(["verify", *places]) == 0
    assert "all" in capsys.readouterr().err


@pytest.mark.slow
def test_nobody_is_told_apart_from_somebody(both, capsys):
    mine, _ = both
    places = ["--input", str(mine / "in"), "--output", str(mine / "lake")]
    assert cli.main(["forget-user", "nobody@example.com", "--yes", *places]) == 0
    shown = capsys.readouterr().err
    assert "Nobody was found" in shown
    assert "is out of the lake" not in shown


@pytest.mark.slow
def test_an_order_is_taken_back(sail, both, capsys):
    mine, _ = both
    places = ["--input", str(mine / "in"), "--output", str(mine / "lake")]
    before = contents_of(mine / "lake")
    forget_(mine / "in", mine / "lake", "v-bob-1")
    assert contents_of(mine / "lake") != before
    assert cli.main(["forget-user", "--undo", "v-bob-1", *places]) == 0
    run(sail, mine / "in", mine / "lake", rebuild=True)
    assert contents_of(mine / "lake") == before
    assert cli.main(["forget-user", "--undo", "v-bob-1", *places]) == 4
    assert "nobody of that name" in capsys.readouterr().err


def contents_of(lake):
    return {tuple(row.values()) for row in lakes._rows(lake, "clickstream")}


@pytest.mark.parametrize("name", ["+-5", "--5", "5-", "\u0665"])
def test_what_is_no_number_is_no_user(name):
    assert kind_of(name) == "visitor"


@pytest.mark.parametrize(
    "column", ["url", "name", "recommended_url", "because_url", "landing_path", "exit_path"]
)
def test_an_address_is_found_in_every_column_of_texts(column):
    forgotten = Forgotten().with_person(Person(emails=frozenset(["ann@example.com"])))
    rows = pa.table({column: ["/?to=Ann%40Example.com", "/?to=bob@example.com", None]})
    assert forgotten.in_rows(rows).to_pylist() == [True, False, False]


RAW = {
    "clickstream": (
        "v-1,/a,never", "1522584000;'v-1';/a", "v-1\t/a", "/a|v-1", "\x01v-1\x01",
        '{"id":"v-1","t":1}',
        '{"client": {"id": "v-1"}}',
    ),
    "page_views": ('{"user_id":7,"url":"/a"}', '{"user": {"id": "7"}}', "7;/a", "never\t7"),
}  # fmt: skip


@pytest.mark.parametrize("source", RAW)
def test_a_person_is_found_in_records_of_any_shape(source: str) -> None:
    forgotten = Forgotten().with_person(Person(frozenset({7}), frozenset(), frozenset({"v-1"})))
    assert [raw for raw in RAW[source] if not forgotten.in_raw(source, raw)] == []
    others = (raw.replace("v-1", "v-12").replace("7", "71") for raw in RAW[source])
    assert [raw for raw in others if forgotten.in_raw(source, raw)] == []
