"""The documentation as a site: it builds strictly, no link is dead, nothing is from elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


class Html(HTMLParser):
    """The ids of a page, what it links to, and what a browser loads for it."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attributes}
        self.ids.add(known.get("id", ""))
        if tag == "a" and "href" in known:
            self.links.append(known["href"])
        elif tag == "link" or "src" in known:
            self.loads.append(known.get("src") or known.get("href", ""))


def build(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=root,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("built") / "site"
    done = build(ROOT, place)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


@pytest.mark.slow
def test_every_page_is_in_the_site_and_no_link_is_dead(site: Path) -> None:
    pages = {file: Html(file) for file in site.rglob("*.html")}
    assert {page.stem for page in PAGES} - {"README"} <= {file.stem for file in pages}
    dead = []
    for file, page in pages.items():
        for link in page.links + page.loads:
            path, anchor = urldefrag(link)
            if urlparse(path).scheme or file.name == "404.html":
                continue
            target = (file.parent / unquote(path)).resolve() if path else file
            target = target / "index.html" if target.is_dir() else target
            known = pages[target].ids | {""} if target in pages else {anchor}
            if not target.is_file() or unquote(anchor) not in known:
                dead.append(f"{file.name}: {link}")
    assert dead == []


def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    for file in site.rglob("*.html"):
        assert [link for link in Html(file).loads if urlparse(link).netloc] == []
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", style.read_text())


def slugs(page: Path) -> set[str]:
    """The anchors of a page as GitHub makes them."""
    titles = HEADING.findall(FENCED.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings_of_the_repository(page: Path) -> None:
    text = CODE.sub("", FENCED.sub("", page.read_text()))
    for link in LINK.findall(text):
        path, anchor = urldefrag(link)
        if urlparse(link).scheme:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not anchor or anchor in slugs(target), link


@pytest.mark.slow
def test_dead_links_fail_the_build(tmp_path: Path) -> None:
    for name in ("docs", "deploy"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("README.md", "mkdocs.yml", "dl.cfg.template"):
        shutil.copy(ROOT / name, tmp_path)
    page = tmp_path / "docs" / "privacy.md"
    wrong = ("none.md", "data.md#none", "../deploy/none.json")
    page.write_text(page.read_text() + "".join(f"\n[x]({link})\n" for link in wrong))
    done = build(tmp_path, tmp_path / "site")
    said = [line for line in (done.stdout + done.stderr).splitlines() if "privacy.md" in line]
    assert done.returncode == 1
    assert all(any(name in line for line in said) for name in ("'none.md", "#none", "none.json"))
