"""The list of planted bugs is of today's source; `make mutants` tries them."""

from __future__ import annotations

from pathlib import Path

import pytest

import mutants


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.what)
def test_each_can_be_planted(mutant: mutants.Mutant) -> None:
    text = (mutants.SOURCE / mutant.file).read_text()
    assert text.count(mutant.old) == 1
    compile(text.replace(mutant.old, mutant.new), mutant.file, "exec")
    assert all((mutants.ROOT / word).exists() for word in mutant.tests.split() if "/" in word)


def test_there_are_forty() -> None:
    assert len({mutant.what for mutant in mutants.MUTANTS}) >= 40


@pytest.mark.slow
def test_one_that_is_caught_and_one_that_survives(tmp_path: Path) -> None:
    """The script itself, on a bug and on a change that is none."""
    [caught] = [m for m in mutants.MUTANTS if m.what == "books that do not balance pass"]
    assert not mutants.survives(caught)
    harmless = mutants.Mutant("none", caught.file, caught.old, caught.old, caught.tests)
    assert mutants.survives(harmless)
