"""The whole job over some files, held to the oracle."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

import hostile
import lakes
import oracle
from clicklake.engines import Engine
from clicklake.errors import InputError

_number = itertools.count()


def check(engine: Engine, folder: Path, files: hostile.Files, **changes: object) -> None:
    """Run the job over `files` and compare everything with the oracle."""
    root = folder / str(next(_number))
    hostile.write(files, root / "in")
    expected = oracle.compute(
        files,
        hostile.AS_OF,
        gap_minutes=changes.get("session_gap_minutes", 30),
        bot_views_per_minute=changes.get("bot_views_per_minute", 60),
        multiline=changes.get("csv_multiline", False),
        mapping=changes.get("mapping"),
    )
    if expected.refused:  # a header whose last line end was cut between CR and LF is none
        with pytest.raises(InputError) as error:
            lakes.run(engine, root / "in", root / "lake", hostile.AS_OF, **changes)
        assert all(f"{path}: " in str(error.value) for _, path, _ in expected.refused)
        return
    metrics = lakes.run(engine, root / "in", root / "lake", hostile.AS_OF, **changes)
    if metrics["status"] == "nothing_new":
        assert not any(expected.tables.values())
        assert not expected.quarantine
        return
    assert lakes.differences(root / "lake", expected) == []
    assert {s: books for s, books in metrics["books"].items() if s in expected.books} == (
        expected.books
    )
    assert {s: reasons for s, reasons in metrics["reasons"].items() if reasons} == {
        s: reasons for s, reasons in expected.reasons.items() if reasons
    }
