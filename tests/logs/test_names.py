"""Files and folders by odd names, or by more than one: named in messages, read once, never lost."""

from __future__ import annotations

import io
import os
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

import lakes
from clicklake.cli import app
from clicklake.engines import Engine
from clicklake.errors import ClicklakeError, ConfigError
from clicklake.logs import inputs
from clicklake.progress import Reporter
from clicklake.shown import harmless, listed
from clicklake.storage import LocalStorage, S3Storage
from clicklake.storage.names import spelled, unspelled

AS_OF = date(2018, 12, 31)
HEADER = "anonymous_user_id,url,time,browser,os,screen_resolution"
GOOD = "v,/a,1522540800,,,\n"
LATIN = b"caf\xe9.csv"


def _write(folder: Path, name: bytes, text: str) -> Path:
    path = folder / "Clickstream" / os.fsdecode(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEADER}\n{text}")
    return path


def _refused(lake: Path) -> list[tuple[str, int]]:
    rows = []
    for file in lakes.manifest(lake)["tables"]["quarantine"]:
        rows += pq.ParquetFile(lake / file["path"]).read().to_pylist()
    return [(row["file"], row["line"]) for row in rows]


@pytest.mark.parametrize(
    "name",
    [LATIN, b"a\\xe9", b"a\\xe9\xff", "é".encode(), b"\\x", b"\\x5cxe9\xe9", b"plain\\n", b"\xff"],
)
def test_every_name_has_one_spelling_that_can_be_written(name: bytes) -> None:
    text = spelled(os.fsdecode(name))
    assert os.fsencode(unspelled(text)) == name
    text.encode()


def test_names_that_are_no_text_are_told_apart() -> None:
    assert spelled(os.fsdecode(LATIN)) == "caf\\xe9.csv"
    assert spelled("caf\\xe9.csv") == "caf\\x5cxe9.csv"


def test_a_file_whose_name_is_no_utf8(sail: Engine, tmp_path: Path) -> None:
    """Its rows come in, the bad one is found under its name, and it may expire."""
    path = _write(tmp_path / "in", LATIN, f"{GOOD}bad\n")
    lake = tmp_path / "lake"
    lakes.run(sail, tmp_path / "in", lake, AS_OF)
    assert _refused(lake) == [("caf\\xe9.csv", 3)]
    assert lakes.run(sail, tmp_path / "in", lake, AS_OF)["status"] == "nothing_new"
    with path.open("a") as file:
        file.write("v,/b,1522540860,,,\nworse\n")
    lakes.run(sail, tmp_path / "in", lake, AS_OF)
    assert _refused(lake) == [("caf\\xe9.csv", 3), ("caf\\xe9.csv", 5)]
    path.unlink()
    _write(tmp_path / "in", b"next.csv", "v,/c,1522540900,,,\n")
    metrics = lakes.run(sail, tmp_path / "in", lake, AS_OF)
    assert metrics["vanished"] == {"clickstream": ["caf\\xe9.csv"]}
    assert metrics["tables"]["clickstream"]["rows"] == 3


def test_a_name_cannot_pass_for_a_message(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    _write(tmp_path / "in", b"a\nerror: all is lost\x1b[2J.csv", "bad\n")
    place = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "lake")]
    assert app.main(["etl", *place, "--as-of", "2018-12-31"]) == 4
    said = capfd.readouterr().err
    assert "\x1b" not in said
    assert "  error: all is lost\\x1b[2J.csv: wrong_field_count 1" in said.splitlines()


def test_column_names_are_shown_as_they_are_and_not_all_of_them(
    sail: Engine, tmp_path: Path
) -> None:
    names = ["a\\[/x]", "[red]", "n" * 500, *(f"c{number}" for number in range(3000))]
    path = tmp_path / "in" / "Clickstream" / "wide.csv"
    path.parent.mkdir(parents=True)
    path.write_text(f"{HEADER},{','.join(names)}\n{GOOD.strip()}{',' * len(names)}\n")
    out = io.StringIO()
    settings = lakes.configuration(tmp_path / "in", tmp_path / "lake")
    from clicklake.run import job

    options = job.Options("sail", AS_OF, publish=False)
    job.run(settings, options, Reporter(Console(file=out, width=10_000)), sail)
    [said] = [line for line in out.getvalue().splitlines() if line.startswith("warning:")]
    assert "a\\[/x]" in said
    assert "[red]" in said
    assert said.endswith("2,993 more")
    assert len(said) < 1000
    report = next((tmp_path / "lake" / "_clicklake" / "runs").rglob("metrics.json"))
    assert report.stat().st_size < 100_000


def test_harmless_text() -> None:
    assert harmless("a\x1b[2J\r\nb\n  c\u2028") == "a\\x1b[2J\\x0d\n  b\n    c\\u2028"
    assert listed(["b", "a"]) == "a, b"
    assert listed([str(n) for n in range(10, 30)], 500).endswith(", 19 and 490 more")


# ------------------------------------------------------------------ one place, two names


def _folders(source: str, lake: Path | str, **sources: str) -> list[inputs.Folder]:
    settings = lakes.configuration(source, lake, **sources)
    return inputs.folders(settings)


@pytest.mark.parametrize("alias", ["dots", "link", "link inside"])
def test_a_lake_within_its_input_is_never_read(
    sail: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alias: str
) -> None:
    _write(tmp_path / "data", b"../x.csv", GOOD)
    (tmp_path / "elsewhere").mkdir()
    lake = {
        "dots": "../data/lake",
        "link": str(tmp_path / "link"),
        "link inside": str(tmp_path / "elsewhere" / "lake"),
    }[alias]
    if alias == "link":
        (tmp_path / "link").symlink_to(tmp_path / "data" / "lake")
        (tmp_path / "data" / "lake").mkdir()
    if alias == "link inside":
        (tmp_path / "data" / "deep").symlink_to(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path / "elsewhere")
    how = {"clickstream": "."}
    lakes.run(sail, tmp_path / "data", lake, AS_OF, **how)
    [found] = _folders(str(tmp_path / "data"), lake, **how)
    assert [info.path for info in found.files] == ["x.csv"]
    assert lakes.run(sail, tmp_path / "data", lake, AS_OF, **how)["status"] == "nothing_new"


def test_one_folder_for_two_sources_is_refused_by_any_name(tmp_path: Path) -> None:
    _write(tmp_path, b"x.csv", GOOD)
    (tmp_path / "other").symlink_to(tmp_path / "Clickstream")
    with pytest.raises(ConfigError, match="folder of both"):
        _folders(str(tmp_path), tmp_path / "lake", page_views="other")
    with pytest.raises(ConfigError, match="OUTPUT_DATA"):
        _folders(str(tmp_path), tmp_path / "other")


def test_places_on_s3_by_other_spellings() -> None:
    one = S3Storage("shop", "logs//raw")
    assert one.resolved() == S3Storage("shop", "logs/raw").resolved()
    assert one.resolved("a") == S3Storage("shop", "logs").resolved("raw/a")
    assert one.resolved() != S3Storage("shop", "logs/raw2").resolved()


def test_a_link_that_leads_nowhere_does_not_stop_a_run(tmp_path: Path) -> None:
    _write(tmp_path, b"x.csv", GOOD)
    (tmp_path / "Clickstream" / "loop.csv").symlink_to("loop.csv")
    (tmp_path / "Clickstream" / "gone.csv").symlink_to("nowhere.csv")
    [info] = LocalStorage(tmp_path / "Clickstream").list()
    assert info.path == "x.csv"


# ------------------------------------------------------------------ what else was asked for wrongly


@pytest.mark.parametrize("day", ["9999-12-30", "0001-01-01", "2018-02-30"])
def test_a_day_that_cannot_be_is_a_mistake(day: str, capfd: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="2"):
        app.main(["etl", "--as-of", day])
    assert day in capfd.readouterr().err


def test_a_full_disk_is_named(
    sail: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever an engine says of it; what was staged is gone."""
    _write(tmp_path / "in", b"x.csv", GOOD)

    def fails(*given: object) -> None:
        raise RuntimeError("IO error: No space left on device (os error 28)")

    monkeypatch.setattr("clicklake.run.steps.compute", fails)
    with pytest.raises(ClicklakeError, match=rf"No space left.*{tmp_path}/lake.*vacuum"):
        lakes.run(sail, tmp_path / "in", tmp_path / "lake", AS_OF)
    assert list((tmp_path / "lake" / "_clicklake").rglob("*.parquet")) == []
