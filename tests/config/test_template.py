"""dl.cfg.template: complete, and its defaults are the program's."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

from clicklake import config
from clicklake.config.sections import SECTIONS

ROOT = Path(__file__).resolve().parents[2]


def uncommented(folder: Path) -> Path:
    """The template with every default written out."""
    text = (ROOT / "dl.cfg.template").read_text()
    (folder / "dl.cfg").write_text(re.sub(r"^#([A-Z_]+ =)", r"\1", text, flags=re.MULTILINE))
    return folder / "dl.cfg"


def test_the_template_itself_is_a_configuration(tmp_path):
    copy = tmp_path / "dl.cfg"
    copy.write_text((ROOT / "dl.cfg.template").read_text())
    assert config.load(copy).warnings == ()


def test_the_defaults_that_it_shows_are_the_defaults(tmp_path):
    def relative(values) -> dict:
        # Paths are below the file's folder in one and below the checkout in the other.
        shown = {k: str(v).replace(str(tmp_path), "").replace(str(ROOT), "") for k, v in values}
        return {key: value.removeprefix("/") for key, value in shown.items()}

    loaded, default = asdict(config.load(uncommented(tmp_path))), asdict(config.Config())
    for section in SECTIONS:
        name = section.lower()
        assert relative(loaded[name].items()) == relative(default[name].items()), section


def test_every_key_is_in_it(tmp_path):
    text = uncommented(tmp_path).read_text()
    for section, cls in SECTIONS.items():
        block = text.partition(f"[{section}]")[2].partition("\n[")[0]
        shown = re.findall(r"^([A-Z_]+) =", block, re.MULTILINE)
        assert [key.lower() for key in shown] == list(cls.__dataclass_fields__), section
