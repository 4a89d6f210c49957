"""`etl.py` as a user runs it: exit codes, messages, standard output for programs, S3."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

import hostile
import lakes
import oracle
import servers
from clicklake.cli import main as cli
from clicklake.errors import AccessError
from clicklake.run import job
from days import AS_OF, _together, days

ROOT = Path(__file__).parents[2]
HEADER = b"anonymous_user_id,url,time,browser,os,screen_resolution\n"
CANARY = "canarysecretkey0123456789"


def etl(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script from `src`, as the README says."""
    # Sail in the tests' own process leaves its mark there, which keeps Spark from starting.
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SPARK_")}
    return subprocess.run(
        [sys.executable, "scripts/etl.py", *arguments],
        cwd=ROOT / "src",
        env={**clean, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    hostile.write(_together(days(1)[:2]), tmp_path / "in")
    return tmp_path


def places(folder: Path) -> list[str]:
    as_of = f"--as-of={AS_OF.isoformat()}"
    return ["--input", str(folder / "in"), "--output", str(folder / "lake"), as_of]


def write_config(folder: Path, text: str) -> Path:
    file = folder / "dl.cfg"
    file.write_text(text)
    file.chmod(0o600)
    return file


@pytest.mark.slow
def test_a_run_tells_people_and_programs(logs: Path) -> None:
    config = write_config(logs, f"[JOB]\nMAX_BAD_RATIO = 1\n[AWS]\nAWS_ACCESS_KEY_ID = {CANARY}\n"
                                f"AWS_SECRET_ACCESS_KEY = {CANARY}\n")  # fmt: skip
    done = etl(*places(logs), "--json", "--config", str(config))
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout.splitlines()[-1])
    expected = oracle.compute(_together(days(1)[:2]), AS_OF)
    assert metrics["books"] == expected.books
    assert metrics["status"] == "committed"
    kept = json.loads((logs / f"lake/_clicklake/runs/{metrics['run_id']}/metrics.json").read_text())
    assert {name: kept[name] for name in ("run_id", "books", "tables", "months")} == {
        name: metrics[name] for name in ("run_id", "books", "tables", "months")
    }
    assert "read clickstream" in done.stderr
    assert lakes.differences(logs / "lake", expected) == []
    everything = done.stdout + done.stderr
    texts = [p.read_bytes() for p in logs.rglob("*") if p.is_file() and p.name != "dl.cfg"]
    assert CANARY not in everything
    assert not any(CANARY.encode() in text for text in texts)

    again = etl(*places(logs), "--json", "--config", str(config))
    assert again.returncode == 0
    assert json.loads(again.stdout.splitlines()[-1])["status"] == "nothing_new"
    assert "nothing new" in again.stderr

    verified = etl("verify", "--output", str(logs / "lake"))
    assert verified.returncode == 0, verified.stderr
    live = next((logs / "lake" / "sessions").rglob("*.parquet"))
    live.unlink()
    broken = etl("verify", "--output", str(logs / "lake"))
    assert broken.returncode == 1
    assert f"{live.name}: missing" in broken.stderr


@pytest.mark.slow
def test_all_problems_of_a_configuration_at_once(tmp_path: Path) -> None:
    config = write_config(
        tmp_path,
        "[JOB]\nMAX_BAD_RATIO = much\nSESSION_GAP = 5\n[DATA]\nX = 1\n[SOURCES]\nCSV_MULTILINE=2\n",
    )
    done = etl("--config", str(config))
    assert done.returncode == 2
    assert '[JOB] MAX_BAD_RATIO is "much"; it must be a number from 0 to 1.' in done.stderr
    assert "[JOB] SESSION_GAP is no key of this section; did you mean SESSION_GAP" in done.stderr
    assert "[DATA] is no section; did you mean DATALAKE" in done.stderr
    assert '[SOURCES] CSV_MULTILINE is "2"; it must be true or false.' in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--engine", "duck"], ["--as-of", "yesterday"], ["--nope"]])
def test_wrong_usage(arguments: list[str]) -> None:
    done = etl(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_bad_rows_in_plenty_publish_nothing(tmp_path: Path) -> None:
    rows = HEADER + b"v,/a,1522540800,,,\n" + b"bad\n" * 3
    hostile.write({"clickstream": {"2018/log.csv": rows}}, tmp_path / "in")
    done = etl(*places(tmp_path))
    assert done.returncode == 4
    assert "3 of 4 rows (75.0%) are bad" in done.stderr
    assert "2018/log.csv: wrong_field_count 3" in done.stderr
    assert not (tmp_path / "lake" / "clickstream").exists()


@pytest.mark.slow
def test_refused_files_are_named_all_at_once(tmp_path: Path) -> None:
    good = HEADER + b"v,/a,1522540800,,,\n"
    files = {"good.csv": good, "a.csv": b"url,time\n", "b.csv.gz": b"\x1f\x8bnonsense"}
    hostile.write({"clickstream": files}, tmp_path / "in")
    done = etl(*places(tmp_path))
    assert done.returncode == 4
    assert "a.csv: its header lacks anonymous_user_id, browser, os, screen_res" in done.stderr
    assert "b.csv.gz: its gzip data is damaged or cut short" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "lake" / "clickstream").exists()


@pytest.mark.slow
def test_unknown_columns_draw_one_warning(tmp_path: Path) -> None:
    rows = HEADER.replace(b"url", b"url,campaign") + b"v,/a,x,1522540800,,,\n"
    hostile.write({"clickstream": {"1.csv": rows, "2.csv": rows}}, tmp_path / "in")
    done = etl(*places(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("unknown columns are ignored: campaign") == 1


@pytest.mark.slow
def test_no_lake_to_verify(tmp_path: Path) -> None:
    done = etl("verify", "--output", str(tmp_path))
    assert done.returncode == 4
    assert "no lake is there" in done.stderr


@pytest.mark.slow
def test_a_config_with_keys_that_others_can_read_draws_a_warning(logs: Path) -> None:
    config = write_config(logs, "[AWS]\nAWS_SECRET_ACCESS_KEY = x\n[JOB]\nMAX_BAD_RATIO = 1\n")
    config.chmod(0o644)
    done = etl(*places(logs), "--config", str(config))
    assert "others can read it" in done.stderr


def _upload(client: object, bucket: str, folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            key = f"raw/{path.relative_to(folder).as_posix()}"
            client.upload_file(str(path), bucket, key)  # type: ignore[attr-defined]


def _download(client: object, bucket: str, folder: Path) -> None:
    pages = client.get_paginator("list_objects_v2")  # type: ignore[attr-defined]
    for page in pages.paginate(Bucket=bucket, Prefix="out/lake/"):
        for item in page.get("Contents", []):
            target = folder / item["Key"].removeprefix("out/")
            target.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(bucket, item["Key"], str(target))  # type: ignore[attr-defined]


def _has_versitygw() -> bool:
    return servers.versitygw() is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        "moto",
        pytest.param(
            "versitygw",
            marks=pytest.mark.skipif(not _has_versitygw(), reason="needs versitygw (Go)"),
        ),
    ],
)
@pytest.mark.parametrize(
    "engine",
    ["sail", pytest.param("spark", marks=[pytest.mark.spark, pytest.mark.slow])],
)
def test_input_and_lake_on_s3(tmp_path: Path, kind: str, engine: str) -> None:
    made = days(1)
    hostile.write(_together(made[:15]), tmp_path / "in")
    with servers.server(kind) as url:
        environment = servers.environment(url)
        client = servers.client(url)
        client.create_bucket(Bucket="clicks")
        for day in (None, made[15]):
            if day:
                hostile.write(day, tmp_path / "in")
            _upload(client, "clicks", tmp_path / "in")
            done = etl(
                "--input=s3a://clicks/raw", "--output=s3://clicks/out/lake",
                f"--as-of={AS_OF}", f"--engine={engine}", "--json", **environment,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout.splitlines()[-1])["status"] == "committed"
        verified = etl("verify", "--output=s3://clicks/out/lake", **environment)
        assert verified.returncode == 0, verified.stderr
        _download(client, "clicks", tmp_path)
    expected = oracle.compute(_together(made[:16]), AS_OF)
    assert lakes.differences(tmp_path / "lake", expected) == []


@pytest.mark.slow
def test_wrong_keys_for_s3(tmp_path: Path) -> None:
    with servers.server("moto") as url:
        environment = servers.environment(url) | {"AWS_ACCESS_KEY_ID": ""}
        environment["AWS_SECRET_ACCESS_KEY"] = ""
        done = etl("--input=s3a://clicks/raw", "--output=s3a://clicks/lake", **environment)
    assert done.returncode == 3, done.stderr
    assert "credentials" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("raised", "code", "told"),
    [
        (AccessError("s3://b/k: no entry."), 3, "error: s3://b/k: no entry."),
        (OSError(28, "No space left on device"), 1, "OSError: [Errno 28] No space left on device"),
    ],
)
def test_what_an_engine_s_worker_raises_is_told(
    sail, tmp_path, monkeypatch, capsys, raised, code, told
):
    def fail(_: object) -> Iterator[pa.RecordBatch]:
        raise raised
        yield

    def run(*_: object) -> None:
        sail.session.range(1).mapInArrow(fail, "id long").collect()

    monkeypatch.setattr(job, "run", run)
    assert cli.main(["--input", str(tmp_path)]) == code
    said = capsys.readouterr().err
    assert told in said
    assert "Traceback" not in said
