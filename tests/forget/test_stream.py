"""forget-user where the lake's clickstream was published to a stream and summarized."""

import io
from dataclasses import replace
from datetime import date

import duckdb
import pytest
from rich.console import Console

import lakes
from clicklake.config import Stream
from clicklake.errors import AccessError
from clicklake.forget import forget
from clicklake.progress import Reporter
from clicklake.run import job
from clicklake.storage import LocalStorage
from clicklake.streaming import commands
from people_logs import NAMES, logs


def places_of_ann(folder):
    texts = {
        file: file.read_bytes().decode(errors="replace").lower()
        for file in folder.rglob("*")
        if file.is_file()
    }
    return [str(file) for file, text in texts.items() if any(name in text for name in NAMES)]


@pytest.mark.slow
def test_the_person_leaves_stream_and_statistics_too(sail, tmp_path, monkeypatch):
    source = logs(tmp_path / "in", with_ann=True)
    stream = Stream(
        stream=str(tmp_path / "events"),
        state=str(tmp_path / "state"),
        summaries=str(tmp_path / "out"),
        database=f"duckdb:///{tmp_path}/out/statistics.duckdb",
    )
    configuration = replace(lakes.configuration(source, tmp_path / "lake"), stream=stream)
    printed = io.StringIO()
    quiet = Reporter(Console(file=printed, width=1000))
    job.run(configuration, job.Options("sail", date(2018, 12, 31)), quiet, sail)
    assert commands.publish(configuration).events == 5
    summarize(configuration)
    (tmp_path / "events" / "junk.jsonl").write_text('{"url": "/?Ann%40Example.com"}\n')
    summarize(configuration)
    assert places_of_ann(tmp_path / "events")
    assert "ann" in held_of(tmp_path, "stream_quarantine")
    assert "v-ann" in held_of(tmp_path, "stream_open_windows")

    def refuse(_):
        raise AccessError("s3a://lake: AccessDenied.")

    monkeypatch.setattr(LocalStorage, "delete_old_versions", refuse)
    forget.run(configuration, "ann@example.com", None, quiet, lambda removal: True)

    assert "Old versions of the lake's objects" in printed.getvalue()
    (tmp_path / "events" / "junk.jsonl").unlink()  # somebody else's file: told in the docs
    assert places_of_ann(tmp_path / "events") == []
    for table in ("stream_quarantine", "stream_open_windows", "stream_state"):
        assert "ann" not in held_of(tmp_path, table)
    assert commands.publish(configuration).events == 0
    assert summarize(configuration).missing == 0


def summarize(configuration):
    return commands.summarize(configuration, until_end=True, stopped=lambda: False)


def held_of(folder, table):
    with duckdb.connect(str(folder / "out" / "statistics.duckdb"), read_only=True) as base:
        return str(base.execute(f"from {table}").fetchall()).lower()
