"""One input, whatever its order, its partitions, the machine's cores, time zone and language."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

import hostile
import places
from forge import ROOT
from scene import FULL, SEED, Scene, share

ZONES = ("UTC", "America/St_Johns", "Asia/Kathmandu", "Pacific/Kiritimati")
LANGUAGES = ("C", "C.UTF-8")
_HEADERS = {"clickstream": hostile._COLUMNS}


def _records(rng: Random) -> dict[str, list[bytes]]:
    """Records of each source; all of one form, so that files can be cut anywhere."""
    made = {}
    for source in hostile.FOLDERS:
        columns = _HEADERS.get(source, ())
        records = [hostile._record(rng, source) for _ in range(300)]
        lines = [hostile._line(rng, source, record, columns) for record in records]
        made[source] = [line for line in lines if b"\n" not in line and line.strip(b" \t\r")]
    return made


def _spread(records: dict[str, list[bytes]], rng: Random, count: int) -> hostile.Files:
    """The records in another order, in `count` files of other names for each source."""
    files: hostile.Files = {}
    for source, lines in records.items():
        mixed = rng.sample(lines, len(lines))
        first = [",".join(_HEADERS[source]).encode()] if source in _HEADERS else []
        files[source] = {
            f"{rng.randrange(10**6)}-{part}": b"\n".join(first + mixed[part::count]) + b"\n"
            for part in range(count)
        }
    return files


def _hashes(lake: places.Place) -> dict[str, str]:
    """A hash of every table's rows; of the quarantine, of all but where its rows stood."""
    hashes = {}
    for table, files in lake.manifest()["tables"].items():
        rows = []
        for file in files:
            content = lake.read(file["path"])
            kept = [n for n in content.column_names if n not in ("run_id", "file", "line")]
            parts = [part for part in file["path"].split("/") if "=" in part]
            rows += [repr((parts, *row.values())) for row in content.select(kept).to_pylist()]
        hashes[table] = hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()
    return hashes


def _lines_are_those_of_their_files(lake: places.Place, source: Path) -> None:
    """Every quarantined row stands in the file and the line that the quarantine names."""
    checked = 0
    for file in lake.manifest()["tables"]["quarantine"]:
        [folder] = [part.partition("=")[2] for part in file["path"].split("/") if "=" in part]
        for row in lake.read(file["path"]).to_pylist():
            lines = (source / hostile.FOLDERS[folder] / row["file"]).read_bytes().split(b"\n")
            line = lines[row["line"] - 1].removesuffix(b"\r")
            if row["line"] == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            assert line.decode(errors="backslashreplace") == row["raw"], row
            checked += 1
    assert checked > 20


def _run(scene: Scene, folder: Path, engine: str, cores: int, **environment: str) -> places.Place:
    lake = places.Place(str(folder / "lake"))
    command = ["taskset", "-c", ",".join(map(str, range(cores)))] if cores else []
    command += [sys.executable, str(ROOT / "src" / "scripts" / "etl.py"), "--engine", engine]
    command += [*scene.arguments(lake, folder / "in"), "--config", str(folder / "dl.cfg")]
    model = "auto" if FULL else "none"
    settings = f"[JOB]\nMAX_BAD_RATIO = 1\n[RECOMMEND]\nMODEL = {model}\n[DATABASE]\nURL = none\n"
    (folder / "dl.cfg").write_text(settings)
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return lake


def _all_the_same(scene: Scene, folder: Path, engine: str, cases: list[tuple]) -> dict[str, str]:
    rng = Random(f"{SEED} order")
    records = _records(rng)
    found = []
    for number, (count, cores, zone, language) in enumerate(cases):
        case = folder / str(number)
        hostile.write(_spread(records, rng, count), case / "in")
        lake = _run(scene, case, engine, cores, TZ=zone, LC_ALL=language)
        _lines_are_those_of_their_files(lake, case / "in")
        found.append(_hashes(lake))
        assert found[-1] == found[0], (count, cores, zone, language)
    print(f"{engine}: {len(found)} runs, one hash for each of {len(found[0])} tables")
    return found[0]


def _cases(rng: Random) -> list[tuple]:
    every = [
        (n, c, z, lang) for n in (1, 2, 7) for c in (1, 2) for z in ZONES for lang in LANGUAGES
    ]
    return rng.sample(every, min(len(every), share(48, 2)))


def test_one_hash_on_sail(local: Scene, tmp_path: Path, rng: Random) -> None:
    _all_the_same(local, tmp_path, "sail", _cases(rng))


@pytest.mark.spark
@pytest.mark.skipif(not FULL, reason="only in the full form: make torture")
def test_one_hash_on_spark_and_the_same_as_on_sail(local: Scene, tmp_path: Path) -> None:
    cases = [
        (1, 1, ZONES[0], "C"),
        (2, 2, ZONES[1], "C.UTF-8"),
        (7, 2, ZONES[2], "C"),
        (7, 1, ZONES[3], "C.UTF-8"),
    ]
    spark = _all_the_same(local, tmp_path / "spark", "spark", cases)
    sail = _all_the_same(local, tmp_path / "sail", "sail", cases[:1])
    assert spark == sail
