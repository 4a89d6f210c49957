"""Batch files and windows against counts made apart from the product, killed or not."""

import json
from collections import Counter, defaultdict
from datetime import timedelta
from itertools import count
from pathlib import Path

import duckdb
import pytest

import postgres
from clicklake.errors import AccessError, ConfigError, InputError
from clicklake.lake import open_snapshot
from clicklake.streaming import batches, summarizer
from clicklake.streaming.database import SqliteDatabase, connect
from clicklake.streaming.folder import FolderSink, FolderSource
from clicklake.streaming.messages import event_id
from clicklake.streaming.publisher import publish
from clicklake.streaming.state import State
from clicklake.streaming.statistics import Progress, Statistics
from clicklake.streaming.summarizer import summarize
from stream_support import TestLake, event, key_of, random_events, time_text

RESULTS = ("stream_windows", "stream_tops", "stream_quarantine")


@pytest.fixture(autouse=True)
def no_power_cut(monkeypatch):
    """A killed process loses nothing that it wrote, so its tests need not wait for the disk."""
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.fixture
def stream(tmp_path):
    folder = tmp_path / "stream"
    folder.mkdir()
    return folder


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def put(stream, rows, first=1):
    """Write rows as messages, apart from the publisher; returns the next sequence number."""
    lines = []
    for number, row in enumerate(rows, first):
        fields = {**row, "time": time_text(row["time"])}
        fields |= {"sequence": number, "event_id": event_id(key_of(row))}
        lines.append(json.dumps(fields))
    (stream / f"{first:015d}.jsonl").write_text("".join(line + "\n" for line in lines))
    return first + len(rows)


def in_time(rows):
    return sorted(rows, key=lambda row: row["time"])


def read(stream, out, every=10, url=None, source=FolderSource, lateness=60):
    database = connect(url or f"sqlite:///{out / 'statistics.sqlite'}")
    try:
        progress = Progress("clicks", every, lateness)
        return summarize(source(stream), Statistics(database), out, progress)
    finally:
        database.close()


def tables(out, url=None, names=RESULTS):
    database = connect(url or f"sqlite:///{out / 'statistics.sqlite'}", read_only=True)
    try:
        rows = {name: database.fetch(f"SELECT * FROM {name}") for name in names}
    finally:
        database.close()
    return {
        name: sorted(tuple(map(str_or_number, row)) for row in found)
        for name, found in rows.items()
    }


def str_or_number(value):
    return value if isinstance(value, int) else str(value)


def files(out):
    return {file.name: file.read_bytes() for file in out.glob("*.json")}


def counted(rows, every):
    """The batch files, counted apart."""
    found = {}
    for first in range(0, len(rows), every):
        batch = rows[first : first + every]
        times = [time_text(row["time"]) for row in batch]
        name = f"{first // every + 1}{'' if len(batch) == every else '.partial'}.json"
        found[name] = {
            "min date": min(times),
            "max date": max(times),
            "unique users": len({row["anonymous_user_id"] for row in batch}),
        }
    return found


def parsed(out):
    return {name: json.loads(text) for name, text in files(out).items()}


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 95])
def test_each_file_holds_exactly_so_many_events_and_the_rest_is_marked_partial(stream, out, size):
    rows = random_events(size)
    put(stream, rows)

    assert read(stream, out).events == size
    assert parsed(out) == counted(rows, 10)


def test_more_events_complete_the_partial_file(stream, out):
    rows = random_events(35)
    for first in range(0, 35, 7):
        put(stream, rows[first : first + 7], first + 1)
        read(stream, out)
        assert parsed(out) == counted(rows[: first + 7], 10)


@pytest.mark.slow
@pytest.mark.parametrize("lines", [1, 3, 7, 1000])
def test_files_and_tables_do_not_depend_on_micro_batches(stream, out, monkeypatch, lines, tmp_path):
    put(stream, in_time(random_events(300)) + random_events(50, seed=2))
    monkeypatch.setattr("clicklake.streaming.folder._POLL_LINES", lines)
    monkeypatch.setattr(summarizer, "_COMMIT_EVENTS", lines)
    read(stream, out)
    monkeypatch.undo()
    whole = tmp_path / "whole"
    whole.mkdir()
    read(stream, whole)

    assert files(out) == files(whole)
    assert tables(out) == tables(whole)


LENGTHS = {"minute": 16, "hour": 13, "day": 10}
SPANS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}


def windows_counted_apart(rows, lateness_minutes):
    """{(period, start): (events, bot events, visitors, sessions, late, closed)}, event by event."""
    inside, late = defaultdict(list), Counter()
    latest = None
    ends = {}
    for row in rows:
        for period, length in LENGTHS.items():
            name = time_text(row["time"])[:length]
            cut = {"minute": {"second": 0}, "hour": {"minute": 0}, "day": {"hour": 0}}
            start = row["time"].replace(microsecond=0, second=0)
            start = (
                start.replace(**cut[period]) if period != "day" else start.replace(hour=0, minute=0)
            )
            ends[period, name] = start + SPANS[period] + timedelta(minutes=lateness_minutes)
            if latest is not None and latest >= ends[period, name]:
                late[period, name] += 1
            else:
                inside[period, name].append(row)
        latest = row["time"] if latest is None else max(latest, row["time"])
    return {
        key: (
            len(inside[key]),
            sum(row["is_bot"] for row in inside[key]),
            len({row["anonymous_user_id"] for row in inside[key]}),
            len({row["session_id"] for row in inside[key]}),
            late[key],
            latest >= ends[key],
        )
        for key in ends
    }


@pytest.mark.parametrize("lateness", [0, 30, 10_000])
def test_windows_are_those_of_a_count_apart_late_events_too(stream, out, lateness):
    in_order = in_time(random_events(200, hours=30))
    disturbed = random_events(60, seed=9, hours=40)
    rows = in_order + disturbed
    put(stream, rows)

    read(stream, out, lateness=lateness)

    found = {
        (period, start[: LENGTHS[period]].replace(" ", "T")): (*numbers, bool(closed))
        for period, start, *numbers, closed in tables(out)["stream_windows"]
    }
    assert found == windows_counted_apart(rows, lateness)
    assert bool(sum(numbers[4] for numbers in found.values())) == (lateness < 10_000)


@pytest.mark.parametrize("seconds_before, late", [(1, 0), (0, 1)])
def test_a_window_closes_when_the_watermark_reaches_its_end(stream, out, seconds_before, late):
    end_and_lateness = 1 + 30
    last = event(url="/last", at=end_and_lateness - seconds_before / 60)
    put(stream, [event(url="/first", at=0), last, event(url="/late", at=0.5)])

    read(stream, out, lateness=30)

    first_minute = next(row for row in tables(out)["stream_windows"] if row[0] == "minute")
    assert first_minute[2:] == (2 - late, 0, 1, 1, late, late)


def test_top_paths_and_sources_are_ranked_and_no_source_has_a_name(stream, out):
    rows = [
        event(at=n, url=f"/{n}", path=path, utm_source=source)
        for n, (path, source) in enumerate(
            [("/b", "mail"), ("/a", None), ("/b", None), ("/c", None), ("/a", "mail")]
        )
    ]
    put(stream, rows)

    read(stream, out)

    day = [row[2:] for row in tables(out)["stream_tops"] if row[0] == "day"]
    assert day == [
        ("path", 1, "/a", 2),
        ("path", 2, "/b", 2),
        ("path", 3, "/c", 1),
        ("source", 1, "(none)", 3),
        ("source", 2, "mail", 2),
    ]


def test_a_window_keeps_ten_names(stream, out):
    put(stream, [event(at=0, url=f"/{n}", path=f"/{n:02d}") for n in range(15)])

    read(stream, out)

    day = [row[4] for row in tables(out)["stream_tops"] if row[0] == "day" and row[2] == "path"]
    assert day == [f"/{n:02d}" for n in range(10)]


def test_bad_messages_go_to_quarantine_with_their_place_and_the_stream_goes_on(stream, out):
    put(stream, random_events(5))
    (stream / "000000000000003.5.jsonl").write_bytes(b'{"x": 1}\nno json \xff\x00\n')
    put(stream, random_events(5, seed=2), first=6)

    assert read(stream, out).quarantined == 2
    assert read(stream, out).quarantined == 0
    assert tables(out)["stream_quarantine"] == [
        ("stream", "000000000000003.5.jsonl", "1", "invalid_sequence", '{"x": 1}'),
        ("stream", "000000000000003.5.jsonl", "2", "invalid_utf8", "no json \\xff\x00"),
    ]
    assert parsed(out) == counted(random_events(5) + random_events(5, seed=2), 10)


def test_a_doubled_event_counts_once_and_a_deleted_file_is_missed(stream, out):
    rows = random_events(30)
    put(stream, rows[:10], 1)
    put(stream, rows[20:], 21)
    double = (stream / "000000000000001.jsonl").read_bytes()
    (stream / "000000000000002.jsonl").write_bytes(double)

    summary = read(stream, out)

    assert (summary.events, summary.missing, summary.waiting) == (20, 10, 0)
    assert parsed(out) == counted(rows[:10] + rows[20:], 10)


def test_a_line_that_is_still_being_written_is_left(stream, out):
    put(stream, random_events(20))
    file = stream / "000000000000001.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole[:-30])
    assert read(stream, out).events == 19

    file.write_bytes(whole)
    assert read(stream, out).events == 1
    assert parsed(out) == counted(random_events(20), 10)


@pytest.mark.parametrize("change", [{"every": 20}, {"lateness": 5}])
def test_another_batch_size_or_lateness_on_the_same_statistics_is_refused(stream, out, change):
    put(stream, random_events(5))
    read(stream, out)

    with pytest.raises(ConfigError, match="begun with"):
        read(stream, out, **change)


def test_no_stream_is_an_error_that_says_what_to_do(out, tmp_path):
    with pytest.raises(InputError, match=r"stream\.py publish"):
        read(tmp_path / "absent", out)


def test_a_database_that_is_none_is_an_error_without_a_traceback(stream, out):
    (out / "statistics.sqlite").write_text("no database at all" * 100)

    with pytest.raises(AccessError, match="not a database"):
        read(stream, out)


class KilledError(BaseException):
    pass


def killing(monkeypatch, at):
    """End the summarizer at its n-th change of a file or of the database, before it or after."""
    left = [at]

    def wrap(owner, name):
        act = getattr(owner, name)

        def acting(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                raise KilledError
            result = act(*args, **kwargs)
            left[0] -= 1
            if left[0] == 0:
                raise KilledError
            return result

        monkeypatch.setattr(owner, name, acting)

    wrap(batches, "write_durably")
    wrap(Path, "unlink")
    wrap(SqliteDatabase, "insert")
    wrap(SqliteDatabase, "upsert")
    wrap(SqliteDatabase, "commit")


def test_killed_at_any_step_the_results_are_those_of_an_undisturbed_run(
    stream, out, tmp_path, monkeypatch
):
    monkeypatch.setattr("clicklake.streaming.folder._POLL_LINES", 7)
    monkeypatch.setattr(summarizer, "_COMMIT_EVENTS", 14)
    rows = in_time(random_events(17, hours=30)) + random_events(9, seed=2)
    halves = (rows[:18], rows[18:])

    def both(folder, read_):
        for file in stream.glob("*"):
            file.unlink()
        first = 1
        for half in halves:
            first = put(stream, half, first)
            read_(folder)
        return files(folder), tables(folder)

    expected = both(out, lambda folder: read(stream, folder))
    kills = {0: 1}
    for at in count(1):
        kills[at] = 0

        def restarting(folder, at=at):
            with pytest.MonkeyPatch.context() as patch:
                killing(patch, at)
                try:
                    read(stream, folder)
                except KilledError:
                    kills[at] += 1
            read(stream, folder)

        folder = tmp_path / f"killed{at}"
        folder.mkdir()
        assert both(folder, restarting) == expected, at
        if not kills[at]:
            break
    assert sum(kills.values()) > 20


@pytest.fixture(scope="module")
def postgres_url():
    with pytest.MonkeyPatch.context() as patch, postgres.server() as url:
        patch.setenv("PGPASSWORD", postgres.PASSWORD)
        yield url


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["duckdb", "postgresql"])
def test_the_databases_hold_the_same(stream, out, tmp_path, kind, postgres_url):
    url = postgres_url if kind == "postgresql" else f"duckdb:///{tmp_path / 's.duckdb'}"
    rows = in_time(random_events(200, hours=30)) + random_events(30, seed=3)
    first = put(stream, rows[:150])
    for _ in range(2):
        read(stream, out)
        read(stream, tmp_path, url=url)
        put(stream, rows[150:], first)
        (stream / "999999999999999.jsonl").write_bytes(b"\xff\n")

    read(stream, out)
    read(stream, tmp_path, url=url)

    everything = (*RESULTS, "stream_positions", "stream_open_windows")
    assert tables(tmp_path, url, everything) == tables(out, names=everything)


def test_a_connection_that_fails_is_told_without_a_password_or_a_row(monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "canary")
    with pytest.raises(AccessError) as failure:
        connect("postgresql://somebody@127.0.0.1:1/none")
    assert "canary" not in str(failure.value)


@pytest.mark.slow
def test_stream_and_daily_batch_agree_on_each_day(tmp_path, out):
    lake = TestLake(tmp_path / "lake")
    lake.commit(random_events(900, hours=70))
    state = State(tmp_path / "stream" / "_publisher")
    state.folder.mkdir(parents=True)
    publish(lambda: open_snapshot(str(lake.root)), state, FolderSink(tmp_path / "stream"))

    read(tmp_path / "stream", out)

    daily = duckdb.sql(f"""
        SELECT make_timestamp(epoch_us(time))::DATE || ' 00:00:00', count(*),
               count(*) FILTER (is_bot), count(DISTINCT anonymous_user_id),
               count(DISTINCT session_id)
        FROM read_parquet('{lake.root}/clickstream/*/*/*.parquet') GROUP BY 1 ORDER BY 1
    """).fetchall()
    found = [row[1:6] for row in tables(out)["stream_windows"] if row[0] == "day"]
    assert found == daily
    assert len(daily) == 4
