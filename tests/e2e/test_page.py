"""The analyst's page in a real browser; FTSDK_SCREENSHOTS=DIR keeps its pictures."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from picture_files import save, scene
from PIL import Image
from serving import Server, Start, face_png

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = os.environ.get("FTSDK_CHROMIUM") or shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
          "--disable-background-networking", "--disable-component-update",
          "--disable-sync"]  # fmt: skip
_SIZES = {"wide": (1280, 860), "narrow": (360, 740)}
_DROP = """([name, data]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type: "image/png" }));
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
}"""
# Notes the order in which the parts of an answer appear.
_WATCH = """() => {
  window.seen = [];
  const note = (name, there) => there && !window.seen.includes(name) && window.seen.push(name);
  new MutationObserver(() => {
    note("chips", document.querySelector("#chips button, #chips-hint:not([hidden])")
      || /No region/.test(document.querySelector("#chips").textContent));
    note("mask", document.querySelector("#live").textContent === "The mask is drawn");
    note("words", document.querySelector("#report").getAttribute("aria-busy") === "true");
    note("finished", !document.querySelector("#actions").hidden);
  }).observe(document.body, {
    subtree: true, childList: true, attributes: true, characterData: true,
  });
}"""
Page = Any
Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as player, tempfile.TemporaryDirectory() as profile:
        chromium = player.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, args=_FLAGS, headless=True
        )
        yield chromium.browser or chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any, server: Server) -> Iterator[Visit]:
    """A function that opens the page; at the end, nothing may have gone wrong in it."""
    problems: list[str] = []
    contexts = []

    def open_page(size: str = "wide", scheme: str = "light", url: str = server.url) -> Page:
        width, height = _SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, accept_downloads=True,
            permissions=["clipboard-read", "clipboard-write"],
        )  # fmt: skip
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda line: _bad(line) and problems.append(line.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request", lambda request: _foreign(request.url, url) and problems.append(request.url)
        )
        page.goto(url)
        page.wait_for_function("() => /on cpu/.test(document.querySelector('#model').textContent)")
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


def _sample(page: Page) -> None:
    page.click("#sample")
    page.wait_for_selector("#actions:not([hidden])", timeout=60_000)


def _drop(page: Page, name: str, data: bytes) -> None:
    from base64 import b64encode

    page.evaluate(_DROP, [name, b64encode(data).decode()])
    page.wait_for_selector("#actions:not([hidden])", timeout=60_000)


def _keep(page: Page, name: str) -> None:
    folder = os.environ.get("FTSDK_SCREENSHOTS")
    if folder:
        page.wait_for_timeout(800)
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


@pytest.mark.parametrize("size", _SIZES)
def test_a_dropped_picture_is_answered_corrected_and_filed(
    visit: Visit, size: str, tmp_path: Path
) -> None:
    page = visit(size)
    page.evaluate(_WATCH)
    _drop(page, 'my "face" <b>.png', face_png(7))
    assert page.evaluate("window.seen") == ["chips", "mask", "words", "finished"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    page.fill("#analyst", "Ada <Lovelace>")
    page.click("#correct")
    labels = page.locator("#toggles button").all_inner_texts()
    page.click("#toggles button >> nth=3")
    page.click("#correction input[value=paint] + span")
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 30, box["y"] + box["height"] / 2)
    page.mouse.up()
    page.click("#again")
    page.wait_for_selector("#corrected:not([hidden])", timeout=60_000)
    assert "by Ada <Lovelace>: regions and mask" in page.inner_text("#corrected")
    assert len(labels) > 1

    with page.expect_download() as download:
        page.click("#save-report")
    report = tmp_path / "report.html"
    download.value.save_as(report)
    text = report.read_text(encoding="utf-8")
    assert "by Ada &lt;Lovelace&gt;: regions set to" in text
    assert "my &quot;face&quot; &lt;b&gt;.png" in text

    finding = page.inner_text("#finding")
    page.reload()
    page.wait_for_selector("#corrected:not([hidden])", timeout=20_000)
    assert page.inner_text("#finding") == finding
    page.click("#back")
    page.wait_for_selector("#corrected", state="hidden")


@pytest.mark.parametrize(("size", "scheme"), [("wide", "light"), ("narrow", "dark")])
def test_axe_finds_no_serious_fault(visit: Visit, size: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    page = visit(size, scheme)
    _keep(page, f"empty-{size}-{scheme}")
    _no_serious_fault(axe, page)
    _sample(page)
    page.wait_for_timeout(800)
    _keep(page, f"answer-{size}-{scheme}")
    _no_serious_fault(axe, page)
    page.click("#correct")
    _keep(page, f"correct-{size}-{scheme}")
    _no_serious_fault(axe, page)


def _no_serious_fault(axe: Any, page: Page) -> None:
    found = axe.Axe().run(page).response["violations"]
    serious = [
        (fault["id"], [node["html"][:120] for node in fault["nodes"]])
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]
    assert not serious


def test_the_keyboard_is_enough(visit: Visit) -> None:
    page = visit()
    page.focus("#sample")
    page.keyboard.press("Enter")
    page.wait_for_selector("#actions:not([hidden])", timeout=60_000)
    page.focus("#canvas")
    for key in ("+", "ArrowLeft", "-", "0"):
        page.keyboard.press(key)
    page.focus("#correct")
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    page.focus("#correction input[value=move]")
    page.keyboard.press("ArrowRight")
    page.focus("#canvas")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert "painted" in page.inner_text("#coverage")
    page.focus("#again")
    page.keyboard.press("Enter")
    page.wait_for_selector("#corrected:not([hidden])", timeout=60_000)


def test_the_view_changes_without_the_service(visit: Visit) -> None:
    page = visit()
    _sample(page)
    page.wait_for_timeout(900)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    def shown() -> str:
        page.wait_for_timeout(120)
        return str(page.evaluate("document.querySelector('#canvas').toDataURL()"))

    overlay = shown()
    for mode in ("heat", "cut", "outline", "original"):
        page.click(f"input[value={mode}] + span")
        assert shown() != overlay
    original = shown()
    page.click("input[value=overlay] + span")
    assert shown() == overlay
    page.locator("#threshold").fill("1")
    assert shown() != overlay
    page.locator("#threshold").fill("50")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.down("Space")
    assert shown() == original
    page.keyboard.up("Space")
    if page.locator("#chips button").count():
        page.click("#chips button >> nth=0")
        assert page.get_attribute("#chips button >> nth=0", "aria-pressed") == "true"
        assert shown() != overlay
    assert not asked


def test_several_pictures_and_a_bad_one(visit: Visit, tmp_path: Path) -> None:
    paths = []
    for number, data in enumerate((face_png(1), b"no picture", face_png(2))):
        path = tmp_path / f"{number}.png"
        path.write_bytes(data)
        paths.append(path)
    page = visit()
    page.set_input_files("#file", paths)
    page.wait_for_function(
        "() => document.querySelectorAll('#strip .done').length === 2", timeout=60_000
    )
    assert page.locator("#strip .failed").count() == 1


def test_a_report_opens_from_disk(browser: Any, server: Server, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "<script>document.title='pwned'</script>"
    data = save(Image.fromarray(scene()), "JPEG", exif=exif)
    answer = server.analyze(data, name="'\"><img src=x onerror=alert(1)>.jpg")
    report = tmp_path / "report.html"
    report.write_bytes(server.client.get(f"/v1/analyses/{answer['id']}/report.html").content)
    context = browser.new_context(offline=True)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    assert "pwned" not in page.title()
    assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
    assert [address for address in asked if not address.startswith(("file:", "data:"))] == []
    assert answer["picture"]["sha256"] in page.inner_text("main")
    _keep(page, "report")
    context.close()


def test_a_token_is_asked_for_once(
    visit: Visit, start: Start, tmp_path: Path, browser: Any
) -> None:
    del visit
    token = tmp_path / "token"
    token.write_text("t" * 32)
    guarded = start("--token-file", str(token), wait=True)
    page = browser.new_page()
    page.goto(guarded.url)
    page.fill("#token", "t" * 32)
    page.keyboard.press("Enter")
    page.wait_for_function("() => /on cpu/.test(document.querySelector('#model').textContent)")
    _sample(page)
    page.reload()
    page.wait_for_selector("#actions:not([hidden])")
    page.close()
