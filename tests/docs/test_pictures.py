"""The pictures of the documentation can be made anew, and are those of today's size and place."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import pictures

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "docs" / "pictures"


def colours(file: Path) -> int:
    with Image.open(file) as picture:
        return len(picture.convert("RGB").getcolors(1 << 24) or ())


@pytest.mark.slow
def test_pictures_are_made_of_what_the_product_shows(tmp_path: Path) -> None:
    pictures.take(tmp_path)
    for name, size in pictures.SIZES.items():
        with Image.open(tmp_path / f"{name}.png") as made:
            assert made.size == size
        assert colours(tmp_path / f"{name}.png") > 20, f"{name} is blank"


@pytest.mark.parametrize("name", pictures.SIZES)
def test_each_picture_is_there_small_and_shown(name: str) -> None:
    file = COMMITTED / f"{name}.png"
    assert file.stat().st_size < 300_000
    with Image.open(file) as picture:
        assert picture.size == pictures.SIZES[name]
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert any(f"pictures/{name}.png)" in page.read_text() for page in pages)
