"""What the site has besides docs/: README.md as first page, and files that pages link to."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")
TITLED = re.compile(r"^```(\w+) (\S+)$", re.MULTILINE)  # as in "```diff docs/data.md"


def moved(target: str, page: str) -> str:
    """Where the site has what a page links to: a page, or a copy of a file outside of docs/."""
    folder = "" if page == "index.md" else "docs"
    path = posixpath.normpath(posixpath.join(folder, target))
    if path == "README.md":
        return "index.md"
    return path.removeprefix("docs/") if path.startswith("docs/") else f"files/{path}.txt"


def on_files(files: Files, config: Any) -> Files:
    """Add README.md, and each file outside of docs/ that some page links to."""
    files.append(File.generated(config, "index.md", content=(ROOT / "README.md").read_text()))
    for page in files.documentation_pages():
        for _, target, _ in LINK.findall(page.content_string):
            place = moved(target, page.src_uri)
            source = ROOT / place.removeprefix("files/").removesuffix(".txt")
            outside = place.startswith("files/") and source.is_file()
            if outside and not files.get_file_from_path(place):
                files.append(File.generated(config, place, abs_src_path=str(source)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Links as the site has them, and the name of a file above its text."""
    markdown = LINK.sub(lambda m: m[1] + moved(m[2], page.file.src_uri) + m[3], markdown)
    return TITLED.sub(r'```\1 title="\2"', markdown)
