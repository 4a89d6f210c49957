"""The sample data: what the generator promises, seen by the oracle."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

import hostile
import oracle
from clicklake import samples
from clicklake.cli import generate

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "sample"
AS_OF = date(2018, 6, 30)
VIRAL = "/blog/the-octopus-that-dreams/"


@pytest.fixture(scope="module")
def files():
    return oracle.read_folder(SAMPLE)


@pytest.fixture(scope="module")
def result(files):
    return oracle.compute(files, AS_OF)


@pytest.fixture(scope="module")
def texts(files):
    """{source: {path: text as bytes}}"""
    return plain(files)


def plain(files):
    return {
        source: {path: oracle._decompressed(path, data) for path, data in contents.items()}
        for source, contents in files.items()
    }


def moment(micros: int) -> datetime:
    return datetime(1970, 1, 1) + timedelta(microseconds=micros)


def made(plan: samples.Plan, folder: Path) -> dict[str, dict[str, bytes]]:
    list(samples.write(plan, folder))
    return oracle.read_folder(folder)


# ------------------------------------------------------------------ the generator


def test_the_repository_carries_what_the_generator_makes(texts, tmp_path):
    # Compressed bytes may differ between versions of the compressors; the texts may not.
    assert plain(made(samples.small(), tmp_path)) == texts


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    plan = replace(samples.of_size(2_000_000, days=5), rows_per_file=3000)
    first = made(plan, tmp_path / "first")
    assert made(plan, tmp_path / "again") == first
    other = made(replace(plan, seed=8), tmp_path / "other")
    assert other.keys() == first.keys()
    assert all(other[source] != first[source] for source in first)


@pytest.mark.parametrize("days", [1, 30])
def test_a_size_is_kept_and_shared_among_the_sources(days, tmp_path):
    files = plain(made(samples.of_size(20_000_000, days=days), tmp_path))
    bytes_of = {source: sum(map(len, contents.values())) for source, contents in files.items()}
    # Each log has one record of a mebibyte, to be refused.
    long = 1 << 20
    assert bytes_of["clickstream"] - long == pytest.approx(11_000_000, rel=0.1)
    assert bytes_of["page_views"] - long == pytest.approx(8_000_000, rel=0.1)
    assert bytes_of["user_updates"] - long == pytest.approx(1_000_000, rel=0.15)
    for contents in files.values():
        folders = {path.rpartition("/")[0] for path in contents}
        assert len(folders) == days
        assert all(folder.startswith("2018/") for folder in folders)


def test_a_large_day_is_split_into_files(tmp_path):
    plan = replace(samples.of_size(2_000_000, days=2), rows_per_file=2000)
    files = plain(made(plan, tmp_path))
    assert len(files["clickstream"]) > 2 * 2
    for contents in files.values():
        assert max(text.count(b"\n") for text in contents.values()) < 2000 * 1.3


def test_a_year_is_the_year_2018():
    assert samples.of_size(10**9, days=365).start == date(2018, 1, 1)


@pytest.mark.slow
def test_the_script_writes_once(tmp_path):
    script = str(ROOT / "src" / "scripts" / "generate.py")
    command = [sys.executable, script, "--output", str(tmp_path / "a"), "--days=2", "--seed=3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    expected = made(samples.small(seed=3, days=2), tmp_path / "b")
    assert oracle.read_folder(tmp_path / "a") == expected
    again = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert again.returncode == 2
    assert "not empty" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--size", "1TB"), "no size"),
        (("--size", "0GB"), "no size"),
        (("--days", "366"), "from 1 to 365"),
        (("--seed", "-1"), "no whole number"),
        (("--size", "1GB", "--sample"), "not allowed with"),
    ],
)
def test_the_script_says_what_is_wrong(arguments, message, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as left:
        run_script(monkeypatch, "--output", str(tmp_path / "a"), *arguments)
    assert left.value.code == 2
    assert message in capsys.readouterr().err


def test_the_script_cannot_write(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    below = str(tmp_path / "file" / "below")
    assert run_script(monkeypatch, "--output", below, "--days", "1") == 1
    assert below in capsys.readouterr().err


def run_script(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["generate.py"])
    return generate.main(arguments)


# ------------------------------------------------------------------ the sample: every rule


def test_it_is_small():
    assert sum(path.stat().st_size for path in SAMPLE.rglob("*") if path.is_file()) < 2_000_000


@pytest.mark.slow
def test_it_reaches_every_fate_and_reason(result):
    assert {source: set(found) for source, found in result.reasons.items()} == hostile.REASONS
    for source, books in result.books.items():
        nothing = {fate for fate, rows in books.items() if not rows}
        assert nothing == ({"filtered"} if source == "clickstream" else set())
    assert result.refused == []


@pytest.mark.slow
def test_few_rows_are_quarantined_in_all_and_on_any_day(files, result):
    for source, books in result.books.items():
        assert 0 < books["quarantined"] / books["read"] < 0.02
        by_day: dict[str, dict[str, bytes]] = defaultdict(dict)
        for path, data in files[source].items():
            by_day[path.rpartition("/")[0]][path] = data
        for contents in by_day.values():
            day = oracle.compute({source: contents}, AS_OF).books[source]
            assert day["quarantined"] / day["read"] <= 0.05


def test_its_files_lie_in_folders_of_dates_and_some_are_compressed(files):
    for contents in files.values():
        days = {path.rpartition("/")[0] for path in contents}
        assert all(re.fullmatch(r"2018/0[345]/\d\d", day) for day in days)
        assert len(days) == 56
        assert {Path(path).suffix for path in contents} > {".gz", ".bz2", ".zst"}
    assert len(files["clickstream"]) > 56


def test_duplicates_lie_in_different_files(texts):
    for contents in texts.values():
        places: dict[bytes, set[str]] = defaultdict(set)
        for path, text in contents.items():
            for line in text.splitlines()[1:]:
                places[line].add(path)
        assert sum(len(paths) > 1 for paths in places.values()) >= 40


@pytest.mark.slow
def test_rows_come_late_and_over_the_border_of_a_month(files):
    for source, contents in files.items():
        delays = Counter()
        borders = 0
        for path, data in contents.items():
            arrived = datetime.strptime(path.rpartition("/")[0], "%Y/%m/%d").date()
            rows = oracle.compute({source: {path: data}}, AS_OF).tables[source]
            for row in rows:
                day = moment(row[2] if source == "clickstream" else row[0]).date()
                delays[(arrived - day).days] += 1
                borders += arrived.month != day.month
        assert min(delays) == 0
        assert {1, 2, 9} <= set(delays)
        assert borders
        assert delays[0] > 0.9 * delays.total()


def test_people(result):
    emails = defaultdict(set)
    for _, user_id, email, *_ in result.tables["user_updates"]:
        emails[user_id].add(email)
    assert sum(len(known) > 1 for known in emails.values()) >= 10
    viewers = {row[0]: row[1] for row in result.tables["user_page_views"]}
    without = sum(email is None for email in viewers.values())
    assert 5 <= without < 0.2 * len(viewers)
    assert any(name is None for *_, name in [row[:4] for row in result.tables["user_updates"]])


def test_text_that_is_not_ascii(result):
    assert any(not row.name.isascii() for row in result.tables["user_updates"] if row.name)
    assert any(not row.url.isascii() for row in result.tables["page_views"])
    assert any(not row.url.isascii() for row in result.tables["clickstream"])


def test_addresses_are_nobodys(texts):
    for contents in texts.values():
        for text in contents.values():
            domains = set(re.findall(rb"@([\w.-]+)", text))
            assert domains <= {b"example.com", b"new.example.org", b"example.org"}


def test_visits_cross_midnight_and_the_end_of_a_month(result):
    spans = [(moment(row.started_at), moment(row.ended_at)) for row in result.tables["sessions"]]
    assert sum(start.date() != end.date() for start, end in spans) >= 50
    crossed = {start.month for start, end in spans if start.month != end.month}
    assert crossed == {3, 4}


# ------------------------------------------------------------------ the sample: its story


def per_day(rows, column: int) -> Counter[date]:
    return Counter(moment(row[column]).date() for row in rows)


def human_clicks(result):
    return [row for row in result.tables["clickstream"] if not row.is_bot]


def test_the_week_and_the_day_have_a_rhythm(result):
    for rows, column in ((result.tables["page_views"], 0), (human_clicks(result), 2)):
        week = Counter(moment(row[column]).weekday() for row in rows)
        assert max(week[5], week[6]) < min(week[day] for day in range(5))
        hours = Counter(moment(row[column]).hour for row in rows)
        night, evening = sum(hours[h] for h in range(1, 6)), sum(hours[h] for h in range(17, 22))
        assert evening > 5 * night


def test_two_campaigns_bring_visits_and_fade(result):
    for campaign, begin in (
        ("spring_sale", date(2018, 4, 2)),
        ("fête de la musique", date(2018, 4, 30)),
    ):
        visits = [row for row in result.tables["sessions"] if row.utm_campaign == campaign]
        week = [row for row in visits if 0 <= (moment(row.started_at).date() - begin).days < 7]
        assert len(visits) > 100
        assert len(week) > 0.4 * len(visits)
    sessions = result.tables["sessions"]
    channels = {(row.utm_source, row.utm_medium, row.utm_campaign) for row in sessions}
    assert ("newsletter", "email", "spring_sale") in channels
    assert ("google", "cpc", "spring_sale") in channels


def test_a_page_goes_viral(result):
    days = per_day([row for row in result.tables["clickstream"] if row.path == VIRAL], 2)
    peak, _ = days.most_common(1)[0]
    assert peak == date(2018, 4, 17)
    ordered = [days[peak + timedelta(n)] for n in range(4)]
    assert ordered[0] > 100
    assert all(later < earlier for earlier, later in pairwise(ordered))
    assert not any(days[day] for day in days if day < peak)


def test_crawlers_come_in_a_burst(result):
    reasons = Counter(row.bot_reason for row in result.tables["clickstream"])
    assert min(reasons["agent"], reasons["rate"]) > 300
    bots = per_day([row for row in result.tables["clickstream"] if row.is_bot], 2)
    assert bots.most_common(1)[0][0] == date(2018, 4, 12)
