"""The mapping that is proposed for logs of another shape, and that a run with it reads them."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path
from random import Random

import pytest

import oracle
import respelt
from clicklake import config
from clicklake.cli import main as cli
from clicklake.logs.diagnosis import parsed, proposed, section
from clicklake.parse import fields
from clicklake.parse.sources import SOURCES, shaped

EXAMPLE = Path(__file__).parents[2] / "data" / "mapping"
RANGE = fields.time_range(date(2018, 6, 30))
NOON = 1_522_584_000_000_000
COLUMNS = {"user_updates": "updated_at", "page_views": "ts", "clickstream": "time"}
# What others call the fields.
NAMED = {
    "user_updates": {"updated_at": "modified", "user_id": "uid", "email": "e-mail",
                     "name": "Full_Name", "environment": "env"},
    "page_views": {"ts": "event_time", "url": "page_location", "user_id": "userId",
                   "environment": "stage"},
    "clickstream": {"anonymous_user_id": "visitor_id", "url": "page", "time": "timestamp",
                    "browser": "user_agent", "os": "platform", "screen_resolution": "screen"},
}  # fmt: skip
PATHS = {
    "clickstream": {
        "anonymous_user_id": "anonymousId",
        "url": "context.page.url",
        "time": "timestamp",
        "browser": "context.userAgent",
    }
}


def records(source: str, words: dict[str, str]) -> list[dict[str, str | None]]:
    rng = Random(4)
    default = "unix_s" if source == "clickstream" else "iso"
    return [
        {
            COLUMNS[source]: respelt.time(NOON + number * 61_000_000, words, default),
            "user_id": str(rng.randrange(90)),
            "anonymous_user_id": f"v-{rng.randrange(9)}",
            "url": rng.choice(("https://h/a", "/b?x=1")),
            "email": f"a{number}@b",
            "name": rng.choice(("Ann", "Zo\u00eb", None)),
            "environment": rng.choice(("prod", "prod", "prod", "test")),
            "browser": "Firefox",
            "os": "Linux",
            "screen_resolution": "1x1",
        }
        for number in range(30)
    ]


def proposal(source: str, words: dict[str, str]) -> config.Shape | None:
    """What is proposed for a file in a shape; by it, all of its rows are read."""
    data = respelt.written(source, records(source, words), words)
    head = parsed(SOURCES[source], "f", data, data, RANGE)
    found = proposed(head)
    if found:
        seen = parsed(shaped(source, found), "f", data, data, RANGE)
        assert (seen.read, seen.rejects) == (30, ())
    return found


@pytest.mark.parametrize("source", oracle.SOURCES)
@pytest.mark.parametrize("form", ["iso", "unix_s", "unix_ms", "unix_us"])
@pytest.mark.parametrize(
    "how",
    [{"delimiter": ";", "quote": "'"}, {"delimiter": "\t"}, {"delimiter": "|"}, {"format": "json"}],
)
def test_columns_by_other_names(source: str, form: str, how: dict[str, str]) -> None:
    words = {"format": "csv", "header": "yes", **how, "time_format": form, **NAMED[source]}
    found = proposal(source, words)
    assert found is not None
    assert found.places == NAMED[source]
    assert (found.time_format, found.format) == (form, words["format"])
    if found.format == "csv":
        assert (found.delimiter, found.header) == (words["delimiter"], True)
    assert found.environment_kept == (None if source == "clickstream" else "prod")


def test_objects_within_each_other() -> None:
    words = {"format": "json", "time_format": "unix_ms", "os": "", "screen_resolution": ""}
    found = proposal("clickstream", {**words, **PATHS["clickstream"]})
    assert found is not None
    assert found.places == PATHS["clickstream"]


def test_columns_without_names() -> None:
    words = {"header": "no", "delimiter": "|", "time_format": "unix_ms", "columns": "4",
             "time": "1", "anonymous_user_id": "3", "url": "4", "browser": "", "os": "",
             "screen_resolution": ""}  # fmt: skip
    found = proposal("clickstream", words)
    assert found is not None
    assert found.places == {"time": "1", "anonymous_user_id": "3", "url": "4"}
    assert (found.header, found.columns, found.time_format) == (False, 4, "unix_ms")


@pytest.mark.parametrize("text", ["", "a\n", "a,b\n1,2\n", "{}\n", "[1]\n", '{"a": 1}\n', "\0\n"])
def test_nothing_is_proposed_for_what_is_no_log(text: str) -> None:
    for source in SOURCES.values():
        assert proposed(parsed(source, "f", text.encode(), text.encode(), RANGE)) is None


def test_a_section_says_what_the_shape_is(tmp_path: Path) -> None:
    words = {"delimiter": "\t", "header": "no", "columns": "9", "os": "", "time": "2"}
    shape = respelt.shape("clickstream", {**words, "url": "7"})
    (tmp_path / "dl.cfg").write_text(section("clickstream", shape))
    assert config.load(tmp_path / "dl.cfg").clickstream == shape


def test_check_writes_what_it_proposes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "news")
    place = (tmp_path / "news" / "news.cfg").rename(tmp_path / "news" / "dl.cfg")
    whole = place.read_text()
    place.write_text(whole.partition("[USER_UPDATES]")[0] + "# my own words")
    given = ["check", "--config", str(place), "--as-of", "2024-04-01"]
    assert cli.main(given) == 4
    shown = capsys.readouterr().err
    assert "URL = context.page.url" in shown
    assert "# my own words" in place.read_text()
    assert "[PAGE_VIEWS]" not in place.read_text()
    assert cli.main([*given, "--write"]) == 4
    assert "# my own words\n" in place.read_text()
    capsys.readouterr()
    assert cli.main(given) == 0
    assert "A run would take these logs." in capsys.readouterr().err
    made, by_hand = config.load(place), (tmp_path / "by_hand.cfg")
    by_hand.write_text(whole)
    expected = config.load(by_hand)
    assert made.page_views == expected.page_views
    assert made.user_updates.places == expected.user_updates.places
    assert made.clickstream.time == expected.clickstream.time == "1"
    assert cli.main([*given, "--write"]) == 0  # nothing more to propose
