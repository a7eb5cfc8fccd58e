"""The documentation builds without a warning, and its pages load nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import REPOSITORY

import ftsdk

#: What a browser fetches by itself, by tag; a link is only followed by a reader.
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return folder


class Page(HTMLParser):
    """The ids of a page, and what a browser loads for it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = {name: value or "" for name, value in attrs}
        self.ids.add(held.get("id", ""))
        if tag in LOADED and held.get("rel") != "canonical":
            self.loaded.add(held.get(LOADED[tag], ""))


def test_every_public_name_has_its_place(site: Path) -> None:
    ids = {place for page in (site / "api").glob("*.html") for place in Page(page).ids}
    assert {f"ftsdk.{name}" for name in ftsdk.__all__} <= ids


def test_pages_and_styles_load_nothing_from_elsewhere(site: Path) -> None:
    pages = [*site.rglob("*.html")]
    assert len(pages) > 15
    for page in pages:
        for address in Page(page).loaded:
            assert not re.match(r"(https?:)?//", address), f"{page.name} loads {address}"
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", text), style.name


def test_code_is_not_published_as_a_page(site: Path) -> None:
    assert not [*site.rglob("*.py")]
