"""The live page: what it says, to whom, and that nothing in the data becomes markup."""

import http.client
import json
import re
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path

import pytest

import browser
from clicklake import config
from clicklake.streaming.watch import render_page, server
from stream_support import TestLake, event, random_events

SCRIPT = config.ROOT / "src" / "scripts" / "stream.py"


@pytest.fixture
def settings(tmp_path):
    file = tmp_path / "dl.cfg"
    file.write_text(
        "[DATALAKE]\nOUTPUT_DATA = lake\n[STREAM]\nSTREAM = stream\nSUMMARIES = out\nEVERY = 10\n"
    )
    return file


@pytest.fixture
def lake(tmp_path):
    return TestLake(tmp_path / "lake")


def stream(settings, *arguments):
    command = [sys.executable, str(SCRIPT), arguments[0], "--config", str(settings)]
    return subprocess.run([*command, *arguments[1:]], capture_output=True, text=True, check=False)


def data_of(page):
    inside = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(inside[1])


@pytest.mark.slow
def test_publish_summarize_and_the_page_for_cron(settings, lake, tmp_path):
    lake.commit(random_events(25))
    assert stream(settings, "publish").stdout.startswith("25 events published")
    assert json.loads(stream(settings, "summarize", "--json").stdout)["files"] == 2

    written = stream(settings, "watch", "--once")

    data = data_of((tmp_path / "out" / "watch.html").read_text())
    assert written.stdout.strip() == str(tmp_path / "out" / "watch.html")
    assert (data["events"], data["files"], data["every"]) == (25, 2, 10)
    assert sum(window["events"] for window in data["windows"]["day"]) == 25
    assert (
        sum(n for _, n in data["windows"]["day"][0]["tops"]["source"])
        == (data["windows"]["day"][0]["events"])
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments, code, says",
    [
        (["watch", "--once"], 4, "stream.py summarize"),
        (["summarize"], 4, "stream.py publish"),
        (["publish"], 4, "etl.py"),
        (["publish", "--stream", "ftp://x"], 2, "kafka://host:port/topic"),
        (["summarize", "--every", "0"], 2, "1 or more"),
    ],
)
def test_a_users_mistake_is_one_message_and_an_exit_code(settings, arguments, code, says):
    done = stream(settings, *arguments)

    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@contextmanager
def served(shown):
    with server(lambda: shown, 0) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield "http://{}:{}/".format(*running.server_address)
        running.shutdown()


@pytest.fixture
def page():
    shown = {"events": 1}
    with served(shown) as url:
        yield int(url.rpartition(":")[2].rstrip("/")), shown


def ask(port, path, host=None):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", path, headers={"Host": host or f"127.0.0.1:{port}"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_the_server_listens_on_this_machine_alone(page):
    with server(dict, 0) as running:
        assert running.server_address[0] == "127.0.0.1"


def test_the_server_gives_the_page_the_data_and_nothing_else(page):
    port, shown = page
    assert json.loads(ask(port, "/data.json")[1]) == shown
    assert data_of(ask(port, "/")[1].decode())["events"] == 1
    assert ask(port, "/../dl.cfg")[0] == 404


def test_a_page_of_another_site_cannot_ask_through_a_name_that_points_here(page):
    assert ask(page[0], "/data.json", host="shop.example")[0] == 403


class Scripts(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))


def test_a_hostile_path_stays_text():
    hostile = "</script><script>alert(1)</script><!--<script>"
    page = render_page({"windows": {"day": [hostile]}}).decode()

    parser = Scripts()
    parser.feed(page)
    assert [tag for tag, _ in parser.tags].count("script") == 2
    assert data_of(page)["windows"]["day"] == [hostile]


def test_the_page_asks_nothing_of_another_machine():
    page = render_page({}).decode()

    assert not re.search(r"""(src|href)=["'](?!data:)|https?://|@import|url\(""", page)
    assert "default-src 'none'" in page
    assert "innerHTML" not in page


@pytest.mark.slow
def test_the_page_shows_what_a_follower_has_just_read(settings, lake):
    lake.commit(random_events(15))
    stream(settings, "publish")
    command = [sys.executable, str(SCRIPT)]
    more = ["--config", str(settings)]
    follower = subprocess.Popen([*command, "summarize", "--follow", *more])
    watcher = subprocess.Popen(
        [*command, "watch", "--port", "0", *more], stderr=subprocess.PIPE, text=True
    )
    try:
        url = re.search(r"http://\S+", watcher.stderr.readline())[0]
        until(lambda: seen(url) == 15)
        lake.commit([event("new", at=1000 + n) for n in range(10)])
        stream(settings, "publish")
        until(lambda: seen(url) == 25)
        follower.terminate()
        assert follower.wait(20) == 0
    finally:
        for process in (follower, watcher):
            process.kill()
            process.wait()
        watcher.stderr.close()


def seen(url):
    with urllib.request.urlopen(url + "data.json") as answer:
        return json.load(answer).get("events")


def until(is_so):
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.1)


@pytest.mark.slow
def test_in_a_browser_the_page_is_whole_accessible_and_stays_on_this_machine(
    settings, lake, tmp_path
):
    lake.commit(random_events(500, hours=50))
    stream(settings, "publish")
    stream(settings, "summarize")
    file = Path(stream(settings, "watch", "--once").stdout.strip())
    shown = data_of(file.read_text())
    with browser.started(tmp_path / "browser") as tab, served(shown) as url:
        for scheme, width in (("light", 1200), ("dark", 1200), ("light", 320), ("dark", 320)):
            for address in (file, AsUri(url)):
                tab.open(address, width=width, scheme=scheme)
                assert tab.evaluate("document.querySelector('.tiles dd').textContent") == "500"
                assert tab.evaluate("document.documentElement.scrollWidth") <= width
                assert tab.evaluate("document.querySelectorAll('.bar').length") == 48
                tab.evaluate(browser.axe())
                found = tab.evaluate("axe.run().then(r => r.violations.map(v => v.id))")
                assert found == []
                assert tab.complaints() == []
                asked = [r for r in tab.requests() if not r.startswith("data:")]
                assert all(r == file.as_uri() or r.startswith(url) for r in asked)
        until(lambda: tab.evaluate("document.getElementById('state').textContent") == "live")


class AsUri(str):
    def as_uri(self):
        return str(self)
