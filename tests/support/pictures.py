"""Pictures for the documentation, of what the product shows: `make pictures` makes them anew.

The job runs on the sample; Chromium shows its report, the notebook's committed outputs, and what
it printed on a terminal.
"""

from __future__ import annotations

import base64
import html
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from browser import Page, started
from clicklake.config import ROOT

SIZES = {"terminal": (760, 620), "report": (1100, 900), "notebook": (1000, 900)}  # pixels
QUESTION = "select landing_path, count(*) as sessions from sessions group by all order by 2 desc"

_TERMINAL = """<meta charset="utf-8"><style>
body {{ margin: 0; padding: 16px; background: #15202b; color: #e6edf3 }}
pre {{ font: 14px/1.25 "DejaVu Sans Mono", monospace }}
</style><pre>{}</pre>"""

# Of a notebook what leads to its first drawing is shown; other pages from their top.
_ABOVE_FIRST_DRAWING = """(drawing => drawing
    ? Math.max(drawing.getBoundingClientRect().top + scrollY - 350, 0) : 0)(
    document.querySelector(".jp-OutputArea-output img, .jp-OutputArea-output svg"))"""


def take(folder: Path) -> None:
    """Put {name}.png into a folder for each of `SIZES`."""
    with TemporaryDirectory() as scratch:
        pages = _pages(Path(scratch))
        with started(Path(scratch) / "profile") as browser:
            for name, page in pages.items():
                (folder / f"{name}.png").write_bytes(_picture(browser, page, *SIZES[name]))


def _pages(scratch: Path) -> dict[str, Path]:
    config = scratch / "dl.cfg"
    sample = ROOT / "data" / "sample"
    config.write_text(f"[DATALAKE]\nINPUT_DATA = {sample}\nOUTPUT_DATA = {scratch}/lake\n")
    printed = _printed("etl.py", "--config", str(config))
    books = printed[printed.index("Every row has one fate") : printed.index("\nrun 20")]
    asked = _printed("query.py", "--config", str(config), "--limit", "4", QUESTION)
    shown = f"$ clicklake etl\n…\n{books}\n$ clicklake query 'select landing_path, …'\n{asked}"
    terminal = scratch / "terminal.html"
    terminal.write_text(_TERMINAL.format(html.escape(shown)))
    (report,) = (scratch / "lake" / "_clicklake" / "runs").glob("*/report.html")
    return {"terminal": terminal, "report": report, "notebook": _notebook(scratch)}


def _printed(script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, ROOT / "src" / "scripts" / script, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    return done.stdout


def _notebook(scratch: Path) -> Path:
    from nbconvert import HTMLExporter

    text, _ = HTMLExporter().from_filename(str(ROOT / "src" / "nb" / "notebook.ipynb"))
    page = scratch / "notebook.html"
    page.write_text(re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))  # from other hosts
    return page


def _picture(browser: Page, page: Path, width: int, height: int) -> bytes:
    browser.open(page, width)
    browser.call("Emulation.setScrollbarsHidden", hidden=True)
    top = browser.evaluate(_ABOVE_FIRST_DRAWING)
    clip = {"x": 0, "y": top, "width": width, "height": height, "scale": 1}
    taken = browser.call(
        "Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True
    )
    return base64.b64decode(taken["data"])


if __name__ == "__main__":
    take(ROOT / "docs" / "pictures")
