"""Names and fields that want to be more than data, and keys that want to be seen."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from random import Random

import adbc_driver_postgresql.dbapi as pg
import pytest

import hostile
import lakes
import oracle
import places
import postgres
from days import AS_OF
from forge import ROOT
from scene import FULL, Scene

NAMES = (
    *("..%2f..%2fescape", "%2e%2e", "...", "a'b", 'a"b', "a\nb", "a\rb", "a\\b", "a;b", "a b", "~"),
    *("year=2018", "year=2018/month=4/x", "month=..", "source=x", "$(touch x)", "`touch x`", "|x"),
    *("*", "?", "[a]", "{a,b}", "<x>", "&amp;", "#x", "%", "%00", "%0a", "ünï", "\u202egpj", "-rf"),
    *(
        "--config",
        "C:\\x",
        "s3a:x",
        "file:x",
        "x.parquet",
        "manifest.json",
        "x" * 200,
        "\x7f\x1b[2J",
    ),
)
SEEDS = (
    *("'; drop table users; --", '"; drop table users; --', "' or '1'='1", "1; attach 'x' as y;"),
    *("'); copy (select 1) to '{here}/sql'; --", "read_text('/etc/passwd')", "$$; select 1; $$"),
    *("$(touch {here}/sh)", "`touch {here}/sh`", "; touch {here}/sh", "| touch {here}/sh", "\\"),
    *("../../../../{here}/up", "..\\..\\up", "%2e%2e%2fup", "/etc/passwd", "file:///etc/passwd"),
    *(
        "year=9999/month=1",
        "a/year=2018",
        "${jndi:ldap://127.0.0.1/x}",
        "{{7*7}}",
        "#{7*7}",
        "%s%n",
    ),
    *("=cmd|' /C calc'!A0", "+1+1", "-1+1", "@SUM(1)", "\t=1", "<script>alert(1)</script>", "null"),
    *("__import__('os').system('touch {here}/py')", "\u202e", "\x00", "\ufeff", "[red]x[/red]"),
)


def payloads(here: Path, rng: Random) -> list[str]:
    """500 payloads: the seeds, alone and in pairs."""
    seeds = [seed.replace("{here}", str(here)) for seed in SEEDS]
    while len(seeds) < 500:
        seeds.append(rng.choice(("", " ", "%")).join(rng.sample(seeds[: len(SEEDS)], 2)))
    return seeds


def _files(texts: list[str]) -> hostile.Files:
    """Every payload in every text field, and names of files that are payloads themselves."""
    quoted = ['"' + text.replace('"', '""') + '"' for text in texts]
    views = [
        f'{{"ts":"2018-04-01T12:00:00Z","url":{json.dumps(text)},"environment":"production",'
        f'"user_id":{number},{json.dumps(text)}:1}}\n'
        for number, text in enumerate(texts)
    ]
    clicks = [f"{q},{q},1522584000,{q},{q},{q}\n" for q in quoted]
    clicks += [f"v,{q},{q},,,\n" for q in quoted]  # no time: quarantined
    updates = [f"2018-04-01 12:00:00,{n},a@b,{q},production\n" for n, q in enumerate(quoted)]
    header = ",".join(hostile._COLUMNS) + "\n"
    files: hostile.Files = {"user_updates": {}, "page_views": {}, "clickstream": {}}
    for part, name in enumerate(NAMES):
        rest = slice(part, None, len(NAMES))
        files["user_updates"][f"{part}/{name}"] = "".join(updates[rest]).encode()
        files["page_views"][f"{part}/{name}"] = "".join(views[rest]).encode()
        files["clickstream"][f"{part}/{name}"] = (header + "".join(clicks[rest])).encode()
    return files


def _everything(folder: Path) -> set[str]:
    """All files but those of the lake and of the database beside it."""
    ours = ("lake", "lake.duckdb")
    return {str(path) for path in folder.rglob("*") if not set(path.parts) & set(ours)}


def test_payloads_are_data(local: Scene, tmp_path: Path, rng: Random) -> None:
    files = _files(payloads(tmp_path, rng))
    hostile.write(files, tmp_path / "in")
    (tmp_path / "dl.cfg").write_text("[JOB]\nMAX_BAD_RATIO = 1\n")
    lake = places.Place(str(tmp_path / "lake"))
    before = _everything(tmp_path) | _everything(ROOT / "src")
    arguments = [*local.arguments(lake, tmp_path / "in"), "--config", str(tmp_path / "dl.cfg")]
    result = local.forge.run(arguments)
    assert result.code == 0, result.err
    after = _everything(tmp_path) | _everything(ROOT / "src")
    assert {path for path in after - before if "__pycache__" not in path} == set()
    assert lakes.differences(tmp_path / "lake", oracle.compute(files, AS_OF)) == []
    name = r"\d{8}T\d{6}-[0-9a-f]{6}-\d{5}\.parquet"
    folder = r"(?:year=2018/month=4|source=\w+)/"
    assert all(re.fullmatch(rf"\w+/(?:{folder})?{name}", path) for path in lake.listed())


CANARIES = {
    "AWS_ACCESS_KEY_ID": "AKIACANARYCANARY0001",
    "AWS_SECRET_ACCESS_KEY": "canary/of/the/configuration+0002",
}
OF_THE_ENVIRONMENT = {
    "AWS_SESSION_TOKEN": "canary-of-the-environment-0003",
    "PGPASSWORD": "canary-of-the-environment-0004",
}


def _processes(group: int) -> Iterator[str]:
    """The command lines of a process group, as anyone on the machine can see them."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(process.name)) == group:
                yield (process / "cmdline").read_text()
        except OSError:
            continue


def test_keys_are_nowhere_to_be_seen(local: Scene, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    shutil.copytree(local.second, tmp_path / "in")
    bad = tmp_path / "in" / "PageViews" / "bad"
    bad.write_text("not JSON\n")
    keys = "".join(f"{name} = {value}\n" for name, value in CANARIES.items())
    (tmp_path / "dl.cfg").write_text(f"[AWS]\n{keys}[JOB]\nMAX_BAD_RATIO = 1\n")
    (tmp_path / "dl.cfg").chmod(0o600)
    lake = places.Place(str(tmp_path / "lake"))
    command = [sys.executable, str(ROOT / "src" / "scripts" / "etl.py")]
    command += [*local.arguments(lake, tmp_path / "in"), "--config", str(tmp_path / "dl.cfg")]
    environment = {**os.environ, **OF_THE_ENVIRONMENT, "TMPDIR": str(temporary)}
    texts = []
    again = [[], ["--rebuild"]] if FULL else []
    for more in ([], *again, ["--input", "s3a://no-such-bucket-here/x"]):
        place = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_DEFAULT_REGION": "us-east-1"}
        run = subprocess.Popen(
            command + more,
            env=environment | (place if "--input" in more else {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        ended = False
        while not ended:
            texts += _processes(run.pid)
            with suppress(subprocess.TimeoutExpired):
                texts += run.communicate(timeout=0.3)
                ended = True
    assert (tmp_path / "lake.duckdb").exists()
    texts.append((tmp_path / "lake.duckdb").read_bytes().decode("latin-1"))
    held = [file for folder in (tmp_path / "lake", temporary) for file in folder.rglob("*")]
    texts += [file.read_bytes().decode("latin-1") for file in held if file.is_file()]
    ledgers = list((tmp_path / "lake" / "_clicklake" / "state").rglob("ledger-*.json.gz"))
    assert ledgers
    texts += [gzip.decompress(ledger.read_bytes()).decode() for ledger in ledgers]
    secrets = [*CANARIES.values(), *OF_THE_ENVIRONMENT.values()]
    assert len(texts) > 20
    assert [secret for secret in secrets for text in texts if secret in text] == []
    assert any("etl.py" in text for text in texts)  # the command lines were seen


def test_a_password_reaches_postgresql_and_nothing_else(
    local: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the right one the tables are there; with a wrong one the message does not show it."""
    wrong = "canary-of-the-environment-0005"
    with postgres.server("fsync=off") as url:
        (tmp_path / "dl.cfg").write_text(f"[DATABASE]\nURL = {url}\n")
        lake = places.Place(str(tmp_path / "lake"))
        command = [sys.executable, str(ROOT / "src" / "scripts" / "etl.py")]
        command += [*local.arguments(lake, local.second), "--config", str(tmp_path / "dl.cfg")]
        texts = []
        for password, code in ((wrong, 3), (postgres.PASSWORD, 0)):
            environment = {**os.environ, "PGPASSWORD": password}
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == code, done.stderr
            texts += [done.stdout, done.stderr]
        monkeypatch.setenv("PGPASSWORD", postgres.PASSWORD)
        with closing(pg.connect(url)) as connection:
            cursor = connection.cursor()
            cursor.execute("select count(*) from users")
            assert cursor.fetchone()[0] > 0
    assert "authentication failed" in texts[1]
    texts += [file.read_bytes().decode("latin-1") for file in tmp_path.rglob("*") if file.is_file()]
    assert not [text for text in texts if wrong in text or postgres.PASSWORD in text]
