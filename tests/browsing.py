"""The page in headless Chromium; `conftest.py` loads it as a plugin.

FTSDK_CHROMIUM names another browser, FTSDK_SCREENSHOTS a folder that keeps what was seen.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = os.environ.get("FTSDK_CHROMIUM") or shutil.which("chromium")
SIZES = {"wide": (1280, 860), "narrow": (360, 740)}
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
          "--disable-background-networking", "--disable-component-update",
          "--disable-sync"]  # fmt: skip
_DROP = """([name, data]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type: "image/png" }));
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
}"""
Page = Any
Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, or a skipped test that says what is missing.

    No longer than a module: while it lives, its thread has an event loop, and asyncio.run fails.
    """
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed (extra page)"
    )
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as player, tempfile.TemporaryDirectory() as profile:
        chromium = player.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, args=_FLAGS, headless=True
        )
        yield chromium.browser or chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """A function that opens the page; at the end, nothing may have gone wrong in it."""
    problems: list[str] = []
    contexts = []

    def open_page(size: str = "wide", url: str | None = None, **options: Any) -> Page:
        address = url or request.getfixturevalue("server").url
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, accept_downloads=True,
            permissions=["clipboard-read", "clipboard-write"], **options,
        )  # fmt: skip
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda line: _bad(line) and problems.append(line.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda sent: _foreign(sent.url, address) and problems.append(sent.url))
        page.goto(address)
        page.wait_for_function("() => / on /.test(document.querySelector('#model').textContent)")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not problems


def _bad(line: Any) -> bool:
    # Chromium logs a picture that the service refuses; the page tells the user.
    return line.type in ("error", "warning") and "status of 415" not in line.text


def _foreign(address: str, home: str) -> bool:
    return not address.startswith((home + "/", "blob:", "data:"))


def answered(page: Page) -> None:
    """Wait until an answer is there."""
    page.wait_for_selector("#actions:not([hidden])", timeout=60_000)


def sample(page: Page) -> None:
    """Analyse the sample picture."""
    page.click("#sample")
    answered(page)


def drop(page: Page, name: str, data: bytes) -> None:
    """Drop a PNG on the page and wait for its answer."""
    page.evaluate(_DROP, [name, b64encode(data).decode()])
    answered(page)


def shown(page: Page) -> str:
    """Return what the canvas shows, once it has been drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 30)))")
    return str(page.evaluate("document.querySelector('#canvas').toDataURL()"))


def keep(page: Page, name: str) -> None:
    """Take a screenshot if they are wanted."""
    folder = os.environ.get("FTSDK_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def centre(page: Page) -> tuple[float, float]:
    """Return the middle of the picture in px of the window."""
    box = page.locator("#canvas").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
