"""What people viewed next, when one of them is forgotten: as if they had never come."""

from __future__ import annotations

import io
from datetime import date
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest
from rich.console import Console

import lakes
import oracle
from clicklake.ask import verify
from clicklake.engines import Engine
from clicklake.forget import forget
from clicklake.progress import Reporter
from other_release import altered

AS_OF = date(2018, 12, 31)
HEADER = "anonymous_user_id,url,time,browser,os,screen_resolution"
MAY = 1525132800
MONTH = 30 * 86400


def _clicks(seed: int) -> list[str]:
    """Visits of some visitors on few pages, in two months and over the border between them."""
    rng = Random(seed)
    lines = []
    for _ in range(60):
        visitor, at = f"v-{rng.choice('abcd')}", MAY + rng.randrange(-MONTH, MONTH)
        at = rng.choice((at, MAY - rng.randrange(3600)))
        for _ in range(rng.randint(1, 6)):
            browser = rng.choice(("Chrome", "Chrome", "Chrome", "Googlebot"))
            lines.append(f"{visitor},https://s.example/{rng.randrange(5)},{at},{browser},,")
            at += rng.choice((0, 5, 600, 1800, 1801))
    return lines


def _write(folder: Path, lines: list[str]) -> dict[str, dict[str, bytes]]:
    data = "\n".join([HEADER, *lines, ""]).encode()
    (folder / "Clickstream").mkdir(parents=True)
    (folder / "Clickstream" / "clicks.csv").write_bytes(data)
    return {"clickstream": {"clicks.csv": data}}


@pytest.mark.parametrize("seed", range(3))
def test_a_forgotten_visitors_steps_are_gone(sail: Engine, tmp_path: Path, seed: int) -> None:
    lines = _clicks(seed)
    source, lake = tmp_path / "in", tmp_path / "lake"
    everything = oracle.compute(_write(source, lines), AS_OF)
    lakes.run(sail, source, lake, AS_OF)
    assert lakes.differences(lake, everything) == []

    quiet, settings = Reporter(Console(file=io.StringIO())), lakes.configuration(source, lake)
    forget.run(settings, "v-a", None, quiet, lambda removal: True)

    others = [line for line in lines if not line.startswith("v-a,")]
    expected = oracle.compute(_write(tmp_path / "others", others), AS_OF)
    for table in ("page_steps", "page_follows"):
        assert expected.tables[table]
        assert expected.tables[table] != everything.tables[table]
    assert lakes.differences(lake, expected) == []
    assert verify.main(settings, quiet) == 0


def test_nobody_else_is_left(sail: Engine, tmp_path: Path) -> None:
    """A table of which no row stays has no file, and a later run finds nothing to do."""
    lines = [f"v-a,/{page},{MAY + at + page},C,," for at in (0, 9000) for page in (1, 2)]
    source, lake = tmp_path / "in", tmp_path / "lake"
    _write(source, lines)
    lakes.run(sail, source, lake, AS_OF)
    assert len(lakes.read(lake)["page_follows"]) == 1
    quiet, settings = Reporter(Console(file=io.StringIO())), lakes.configuration(source, lake)
    forget.run(settings, "v-a", None, quiet, lambda removal: True)
    assert lakes.read(lake)["page_steps"] == lakes.read(lake)["page_follows"] == []
    assert lakes.run(sail, source, lake, AS_OF)["status"] == "nothing_new"


def test_rows_of_files_of_another_schema_go_as_well(sail: Engine, tmp_path: Path) -> None:
    """What an engine writes may be null wherever another file's columns may not."""
    source, lake = tmp_path / "in", tmp_path / "lake"
    _write(source, _clicks(0))
    lakes.run(sail, source, lake, AS_OF)
    schemas: list[pa.Schema] = []

    def every_other(rows: pa.Table) -> pa.Table:
        is_open = len(schemas) % 2 == 1
        fields = [each.with_nullable(each.nullable or is_open) for each in rows.schema]
        schemas.append(pa.schema(fields))
        return rows.cast(schemas[-1])

    altered(lake, "clickstream", every_other)
    assert len(set(map(str, schemas))) == 2

    quiet, settings = Reporter(Console(file=io.StringIO())), lakes.configuration(source, lake)
    forget.run(settings, "v-a", None, quiet, lambda removal: True)
    visitors = {row["anonymous_user_id"] for row in lakes._rows(lake, "clickstream")}
    assert visitors == {"v-b", "v-c", "v-d"}
