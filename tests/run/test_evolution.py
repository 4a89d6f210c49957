"""Lakes of other releases: opened, asked, brought up to date from themselves alone."""

from __future__ import annotations

import io
import json
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from rich.console import Console

import hostile
import lakes
import oracle
from clicklake import config
from clicklake.ask import verify
from clicklake.engines import Engine
from clicklake.errors import ClicklakeError, DamagedError
from clicklake.lake import open_snapshot, snapshot, sql
from clicklake.progress import Reporter
from clicklake.run import steps
from clicklake.schemas import PAGE_RECOMMENDATIONS, TABLES
from clicklake.storage import open_storage
from clicklake.streaming.folder import FolderSink
from clicklake.streaming.publisher import publish
from clicklake.streaming.state import State
from other_release import altered, empty_input, retyped, unpacked, with_more, without

AS_OF = date(2018, 12, 31)
LATER = b'"2018-05-20 10:00:00","2001","later@example.com","Later","production"\n'
PLAIN = config.Recommend()


def everything(lake: Path) -> dict[str, list]:
    """All tables, rows as sorted dicts, without what names a run."""
    tables = {
        name: lakes._rows(lake, name)
        for name in (*lakes.TABLES, "page_recommendations", "quarantine")
    }
    return {
        name: sorted(json.dumps(row, default=str, sort_keys=True) for row in rows)
        for name, rows in tables.items()
    }


def is_proven(lake: Path) -> bool:
    quiet = Reporter(Console(file=io.StringIO()))
    settings = config.Config(datalake=config.DataLake("unused", str(lake)))
    return verify.main(settings, quiet) == 0


def ask(lake: Path, query: str) -> list[tuple]:
    with sql.connect(snapshot(open_storage(str(lake)))) as connection:
        return connection.execute(query).fetchall()


def as_it_was(lake: Path, original: dict[str, list]) -> bool:
    """Whether the tables and columns that the kept lake has hold what they held.

    But for recommendations, which follow the release's model: these have their columns.
    """
    original = {t: rows for t, rows in original.items() if rows and t != "page_recommendations"}
    names = {t: set().union(*map(json.loads, rows[:1])) for t, rows in original.items()}

    def cut(table: str, row: str) -> str:
        return json.dumps({k: v for k, v in json.loads(row).items() if k in names[table]})

    found = everything(lake)
    assert found["page_recommendations"]
    for row in found["page_recommendations"]:
        assert set(json.loads(row)) == set(PAGE_RECOMMENDATIONS.columns)
    now = {t: sorted(cut(t, row) for row in found[t]) for t in original}
    return now == {t: sorted(cut(t, row) for row in rows) for t, rows in original.items()}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list]:
    return everything(unpacked(tmp_path_factory.mktemp("original")))


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return unpacked(tmp_path)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return empty_input(tmp_path / "in")


def brought_up_to_date(sail: Engine, logs: Path, lake: Path) -> dict:
    return lakes.run(sail, logs, lake, AS_OF, recommend=PLAIN)


def test_a_lake_of_the_first_format_is_asked_and_proven(lake: Path) -> None:
    assert ask(lake, "select count(*), count(utm_source) > 0 from clickstream") == [(17715, True)]
    assert is_proven(lake)


@pytest.mark.slow
def test_a_lake_of_the_first_format_with_nothing_new_stays_as_it_is(
    sail: Engine, lake: Path, logs: Path, original: dict[str, list]
) -> None:
    snapshot_ = snapshot(open_storage(str(lake)))
    if not all(map(snapshot_.is_current, TABLES.values())):  # columns have been added since
        assert brought_up_to_date(sail, logs, lake)["recomputed"]
    before = {file: file.read_bytes() for file in lake.rglob("*.json*")}
    assert brought_up_to_date(sail, logs, lake)["status"] == "nothing_new"
    assert {file: file.read_bytes() for file in lake.rglob("*.json*")} == before
    assert as_it_was(lake, original)


@pytest.mark.slow
def test_a_lake_of_the_first_format_takes_new_logs(sail: Engine, lake: Path, logs: Path) -> None:
    """It becomes the lake that one run of today over all logs makes."""
    (logs / "UserUpdates" / "later.csv").write_bytes(LATER)
    assert brought_up_to_date(sail, logs, lake)["status"] == "committed"
    assert lakes.manifest(lake)["format"] == 3
    assert not (lake / "_clicklake" / "ledger.json.gz").exists()
    sample = Path(__file__).parents[2] / "data" / "sample"
    files = {
        source: {
            file.relative_to(sample / folder).as_posix(): file.read_bytes()
            for file in (sample / folder).rglob("*")
            if file.is_file()
        }
        for source, folder in hostile.FOLDERS.items()
    }
    files["user_updates"]["later.csv"] = LATER
    assert lakes.differences(lake, oracle.compute(files, AS_OF)) == []
    assert is_proven(lake)


def test_people_who_were_forgotten_stay_so_in_the_next_format(
    sail: Engine, lake: Path, logs: Path
) -> None:
    (lake / "_clicklake" / "forgotten.json").write_text(
        json.dumps({"key": "AAAA", "hashes": ["0" * 64]})
    )
    (logs / "UserUpdates" / "later.csv").write_bytes(LATER)
    brought_up_to_date(sail, logs, lake)
    assert not (lake / "_clicklake" / "forgotten.json").exists()
    [document] = (lake / "_clicklake" / "state").glob("*/forgotten.json")
    assert json.loads(document.read_text())["hashes"] == ["0" * 64]


# For each table: a column that this release has and the lake has not, and one of another type.
LACKING = {
    "user_updates": None,
    "users": "name",
    "page_views": None,
    "user_page_views": "last_viewed",
    "clickstream": "utm_campaign",
    "sessions": "exit_path",
    "page_recommendations": "because_url",
    "quarantine": None,
}
RETYPED = {
    "user_updates": ("user_id", pa.string()),
    "users": ("user_id", pa.string()),
    "page_views": ("user_id", pa.string()),
    "user_page_views": ("count", pa.int32()),
    "clickstream": ("screen_width", pa.string()),
    "sessions": ("events", pa.int32()),
    "page_recommendations": ("rank", pa.int64()),
    "quarantine": ("line", pa.int32()),
}
CHANGES = [
    *((table, "lacks", without(name)) for table, name in LACKING.items() if name),
    *((table, "has more", with_more) for table in RETYPED),
    *((table, "other type", retyped(*how)) for table, how in RETYPED.items()),
]


QUICK = ("clickstream", "sessions", "quarantine")  # nothing is recommended anew for them


@pytest.mark.slow
@pytest.mark.parametrize(
    "table, alter",
    [
        pytest.param(
            table,
            alter,
            id=f"{table}: {how}",
            marks=() if table in QUICK or how == "lacks" else pytest.mark.slow,
        )
        for table, how, alter in CHANGES
    ],
)
def test_a_table_of_other_columns_is_computed_anew_from_the_lake(
    sail: Engine, lake: Path, logs: Path, original: dict[str, list], table: str, alter: object
) -> None:
    altered(lake, table, alter)
    assert ask(lake, f"select count(*) from (select * from {table})") == [(len(original[table]),)]
    metrics = brought_up_to_date(sail, logs, lake)
    assert metrics["status"] == "committed"
    assert table in metrics["recomputed"]
    assert as_it_was(lake, original)
    assert is_proven(lake)
    assert brought_up_to_date(sail, logs, lake)["status"] == "nothing_new"


@pytest.mark.slow
def test_a_table_of_other_rules_is_computed_anew(
    sail: Engine, lake: Path, logs: Path, original: dict[str, list]
) -> None:
    """The columns are the same, what is in them is not."""

    def wrong(rows: pa.Table) -> pa.Table:
        at = rows.schema.get_field_index("host")
        return rows.set_column(at, rows.schema.field(at), pa.array(["wrong"] * len(rows)))

    altered(lake, "clickstream", wrong, rules=0)
    assert "clickstream" in brought_up_to_date(sail, logs, lake)["recomputed"]
    assert as_it_was(lake, original)


@pytest.mark.slow
def test_a_column_of_the_logs_that_the_lake_lacks_is_null(
    sail: Engine, lake: Path, logs: Path, original: dict[str, list]
) -> None:
    altered(lake, "user_updates", without("name"))
    brought_up_to_date(sail, logs, lake)
    names = {json.loads(row)["name"] for row in everything(lake)["user_updates"]}
    assert names == {None}
    assert is_proven(lake)


@pytest.mark.parametrize(
    "table, name", [("user_updates", "email"), ("page_views", "url"), ("clickstream", "time")]
)
def test_a_column_that_nothing_tells_is_asked_for(
    sail: Engine, lake: Path, logs: Path, table: str, name: str
) -> None:
    altered(lake, table, without(name))
    before = {file for file in lake.rglob("*") if file.is_file()}
    with pytest.raises(DamagedError, match=f"{table}: the lake's files have no {name}.*--rebuild"):
        brought_up_to_date(sail, logs, lake)
    assert {file for file in lake.rglob("*") if file.is_file()} == before


def test_readers_see_the_old_state_if_the_upgrade_fails(
    sail: Engine, lake: Path, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    altered(lake, "clickstream", without("utm_campaign"))
    seen = lakes.manifest(lake)

    def fails(context: object) -> None:
        raise ClicklakeError("no")

    monkeypatch.setattr(steps, "compute", fails)
    with pytest.raises(ClicklakeError):
        brought_up_to_date(sail, logs, lake)
    assert lakes.manifest(lake) == seen
    assert ask(lake, "select count(*) from clickstream") == [(17715,)]


def test_a_lake_of_a_newer_format_is_refused_in_words(sail: Engine, lake: Path, logs: Path) -> None:
    manifest = lakes.manifest(lake) | {"format": 99}
    (lake / "_clicklake" / "manifest.json").write_text(json.dumps(manifest))
    for rebuild in (False, True):
        with pytest.raises(ClicklakeError, match=r"newer clicklake \(format 99.*Update clicklake"):
            lakes.run(sail, logs, lake, AS_OF, rebuild=rebuild, forget_missing=True)


@pytest.mark.parametrize("alter", [without("utm_campaign"), with_more], ids=["lacks", "has more"])
def test_the_stream_takes_events_of_other_columns(
    lake: Path, tmp_path: Path, alter: object
) -> None:
    """What is not in the lake's files yet is null on the stream."""
    altered(lake, "clickstream", alter)
    folder = tmp_path / "stream"
    (folder / "_publisher").mkdir(parents=True)
    sent = publish(
        lambda: open_snapshot(str(lake)), State(folder / "_publisher"), FolderSink(folder)
    )
    assert sent.events == 17715
    [first, *_] = sorted(folder.glob("*.jsonl"))[0].read_text().splitlines()
    assert "utm_campaign" in json.loads(first)
    assert "more" not in json.loads(first)
