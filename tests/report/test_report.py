"""The report of real runs: written beside the metrics, true, private, and good to look at."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date, datetime
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

import browser
import lakes
from clicklake import config, report
from clicklake.lake import RUNS, snapshot
from clicklake.lake.metrics import RunMetrics
from clicklake.report import facts
from clicklake.storage import open_storage
from html_reader import Reader

AS_OF = date(2018, 12, 31)
SAMPLE = config.ROOT / "data" / "sample"


@pytest.fixture(scope="module")
def reported(sample_lake):
    """The lake of the sample and the metrics of its run, reported."""
    place, metrics = sample_lake
    warnings: list[str] = []
    where = report.write(open_storage(str(place)), RunMetrics.from_json(metrics), warnings.append)
    assert warnings == []
    assert where == str(place / RUNS / metrics["run_id"] / "report.html")
    return place, metrics


def page_of(reported) -> Path:
    place, metrics = reported
    return place / RUNS / metrics["run_id"] / "report.html"


def number(text: str) -> int:
    return int(text.replace(",", ""))


def test_traffic_pages_and_campaigns_are_those_of_the_lake(reported):
    place, _ = reported
    html = page_of(reported).read_text()
    events = lakes._rows(place, "clickstream")
    days = Counter((event["time"].date(), event["is_bot"]) for event in events)
    told = {
        datetime.strptime(day, "%d %b %Y").date(): (number(people), number(bots))
        for day, people, bots in re.findall(
            r"<title>([^<]*?): ([\d,]+) by people, ([\d,]+) by bots<", html
        )
    }
    assert sum(people + bots for people, bots in told.values()) == len(events)
    for day, counts in told.items():
        assert counts == (days[day, False], days[day, True])
    shown = Reader(html).text
    pages = Counter(event["path"] for event in events if not event["is_bot"])
    for path, count in pages.most_common(3):
        assert f"{path} {count:,}" in shown
    sessions = lakes._rows(place, "sessions")
    sources = Counter(each["utm_source"] for each in sessions if not each["is_bot"])
    for source, count in sources.items():
        assert f"{source or 'no utm_source: direct, search, links'} {count:,}" in shown


def test_every_reason_has_samples_of_this_run(reported):
    _, metrics = reported
    shown = Reader(page_of(reported).read_text()).text
    for reasons in metrics["reasons"].values():
        for reason, count in reasons.items():
            assert re.search(rf"{reason} [^•]*? {count} ", shown)
    html = page_of(reported).read_text()
    kinds = sum(len(reasons) for reasons in metrics["reasons"].values())
    assert html.count("<details>") == kinds


def test_no_person_of_the_lake_is_in_the_report(reported):
    place, _ = reported
    html = page_of(reported).read_text() + (place / RUNS / "index.html").read_text()
    people = lakes._rows(place, "users")
    assert "@" not in html.replace("•••@•••", "").replace("@media", "")
    names = {person["name"] for person in people if person["name"]}
    assert [name for name in names if name in html] == []
    visitors = {event["anonymous_user_id"] for event in lakes._rows(place, "clickstream")}
    assert [visitor for visitor in visitors if len(visitor) > 3 and visitor in html] == []


def test_only_months_that_the_run_rewrote_are_read(sail, tmp_path):
    source, lake = tmp_path / "in", tmp_path / "lake"
    (source / "Clickstream").mkdir(parents=True)
    header = "anonymous_user_id,url,time,browser,os,screen_resolution\n"

    def bring(name: str, moment: str) -> dict:
        seconds = int(datetime.fromisoformat(moment).timestamp())
        (source / "Clickstream" / name).write_text(f"{header}a,https://x/{name},{seconds},C,L,\n")
        return lakes.run(sail, source, lake, AS_OF)

    bring("march", "2018-03-10T12:00:00+00:00")
    metrics = bring("may", "2018-05-10T12:00:00+00:00")
    report.write(open_storage(str(lake)), RunMetrics.from_json(metrics), pytest.fail)
    shown = Reader((lake / RUNS / metrics["run_id"] / "report.html").read_text()).text
    assert "/may 1" in shown
    assert "/march" not in shown


def test_of_a_large_run_only_the_newest_rows_are_counted(reported, monkeypatch):
    place, metrics = reported
    monkeypatch.setattr(facts, "TOP_ROWS", 1)
    found = facts.gather(snapshot(open_storage(str(place))), RunMetrics.from_json(metrics))
    newest = [
        file
        for table in ("clickstream", "page_views")
        for file in snapshot(open_storage(str(place))).live(table)
        if file.month == (2018, 5)
    ]
    assert len(newest) == 2
    assert found.top_part.rows == sum(file.rows for file in newest) < found.top_part.of
    assert found.traffic_part.rows == found.traffic_part.of
    html = report.page.render(RunMetrics.from_json(metrics), [], found)
    told = f"only the newest {found.top_part.rows:,} of {found.top_part.of:,} rows are counted"
    assert html.count(told) == 1
    assert len(found.samples) > 20


def test_a_report_that_fails_is_a_warning_without_data(reported, monkeypatch):
    place, metrics = reported

    def fail(*_):
        raise ValueError("ann@example.com")

    monkeypatch.setattr(report.facts, "gather", fail)
    warnings: list[str] = []
    assert (
        report.write(open_storage(str(place)), RunMetrics.from_json(metrics), warnings.append)
        is None
    )
    assert warnings == ["the run's report was not written: ValueError"]


@pytest.fixture
def bucket(monkeypatch):
    """A bucket of an emulator of S3; its address."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*server.get_host_and_port()))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    boto3.client("s3").create_bucket(Bucket="logs")
    yield "s3a://logs/lake"
    server.stop()


@pytest.mark.slow
def test_a_lake_on_s3_has_the_same_report(reported, bucket):
    place, metrics = reported
    remote = open_storage(bucket)
    for file in place.rglob("*"):
        if file.is_file() and file.suffix in (".parquet", ".json"):
            remote.write(file.relative_to(place).as_posix(), file.read_bytes())
    where = report.write(remote, RunMetrics.from_json(metrics), pytest.fail)
    assert where == f"{bucket}/{RUNS}/{metrics['run_id']}/report.html"
    assert remote.read(f"{RUNS}/{metrics['run_id']}/report.html") == page_of(reported).read_bytes()
    assert remote.read(f"{RUNS}/index.html") is not None


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser.started(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("name", ["report", "index"])
def test_in_a_browser(reported, tab, name, width, scheme):
    """No complaint, no request beside the page itself, nothing cut off, nothing inaccessible."""
    file = page_of(reported) if name == "report" else reported[0] / RUNS / "index.html"
    tab.open(file, width, scheme)
    assert tab.requests() == [file.as_uri()]
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.evaluate(browser.axe())
    found = tab.evaluate("axe.run().then(result => result.violations)")
    told = [(each["impact"], each["id"], each["nodes"][0]["html"][:200]) for each in found]
    assert told == []
    assert tab.complaints() == []
