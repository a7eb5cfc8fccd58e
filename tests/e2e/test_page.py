"""What an analyst does with the page, from a picture to a filed report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import endless
import pytest
from browsing import SIZES, Visit, answered, centre, drop, keep, sample, shown
from picture_files import save, scene
from PIL import Image
from serving import Server, Start, face_png

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


@pytest.mark.parametrize("size", SIZES)
def test_a_dropped_picture_is_answered_corrected_and_filed(
    visit: Visit, size: str, tmp_path: Path
) -> None:
    page = visit(size)
    page.evaluate(_WATCH)
    drop(page, 'my "face" <b>.png', face_png(7))
    assert page.evaluate("window.seen") == ["chips", "mask", "words", "finished"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    page.fill("#analyst", "Ada <Lovelace>")
    page.click("#correct")
    labels = page.locator("#toggles button").all_inner_texts()
    page.click("#toggles button >> nth=3")
    page.click("#correction input[value=paint] + span")
    x, y = centre(page)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 30, y)
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


def test_what_is_taken_back_or_deleted_is_gone_from_the_service(
    visit: Visit, server: Server
) -> None:
    page = visit()

    def analysis() -> str:
        key: str = page.evaluate("location.hash.slice(1)")
        return f"/v1/analyses/{key}"

    def correct() -> None:
        page.click("#correct")
        page.click("#toggles button >> nth=2")
        page.click("#again")
        page.wait_for_selector("#corrected:not([hidden])", timeout=60_000)

    sample(page)
    first = analysis()
    correct()
    second = analysis()
    page.click("#back")
    page.wait_for_selector("#corrected", state="hidden")
    assert analysis() == first
    assert server.client.get(second).status_code == 404
    correct()
    third = analysis()
    page.click("#forget")
    page.wait_for_selector("#empty:not([hidden])")
    assert [server.client.get(path).status_code for path in (first, third)] == [404, 404]


def test_the_view_changes_without_the_service(visit: Visit) -> None:
    page = visit()
    sample(page)
    page.wait_for_timeout(900)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    overlay = shown(page)
    for mode in ("heat", "cut", "outline", "original"):
        page.click(f"input[value={mode}] + span")
        assert shown(page) != overlay
    original = shown(page)
    page.click("input[value=overlay] + span")
    assert shown(page) == overlay
    page.locator("#threshold").fill("1")
    assert "At this threshold" in page.inner_text("#coverage")
    assert shown(page) != overlay
    page.locator("#threshold").fill("50")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.down("Space")
    assert shown(page) == original
    page.keyboard.up("Space")
    page.click("#chips button >> nth=0")
    assert page.get_attribute("#chips button >> nth=0", "aria-pressed") == "true"
    assert shown(page) != overlay
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
    for number, path in enumerate(paths):
        page.click(f"#strip button >> nth={number}")
        assert page.title().startswith(path.name)
        assert page.is_visible("#problem") == (number == 1)
        for part in ("#actions", "#about"):
            assert page.is_visible(part) == (number != 1)
        page.wait_for_selector("#view-tools", state="hidden" if number == 1 else "visible")


def test_an_answer_can_be_stopped(visit: Visit, endless_server: Server) -> None:
    page = visit(url=endless_server.url)
    page.set_input_files(
        "#file", {"name": "white.png", "mimeType": "image/png", "buffer": endless.WHITE}
    )
    page.click("#stop")
    page.wait_for_selector("#problem:not([hidden])")
    assert page.inner_text("#problem") == "Stopped."
    assert page.locator("#busy").is_hidden()


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
    keep(page, "report")
    context.close()


def test_a_token_is_asked_for_once(start: Start, tmp_path: Path, browser: Any) -> None:
    token = tmp_path / "token"
    token.write_text("t" * 32)
    guarded = start("--token-file", str(token), wait=True)
    page = browser.new_page()
    page.goto(guarded.url)
    page.fill("#token", "t" * 32)
    page.keyboard.press("Enter")
    page.wait_for_function("() => /on cpu/.test(document.querySelector('#model').textContent)")
    sample(page)
    page.reload()
    answered(page)
    page.close()


def test_a_picture_without_a_face_is_said_to_be_one_and_cannot_be_corrected(
    visit: Visit, tmp_path: Path
) -> None:
    page = visit(next(iter(SIZES)))
    blank = tmp_path / "blank.png"
    Image.new("RGB", (300, 200), (90, 90, 90)).save(blank)
    drop(page, blank.name, blank.read_bytes())
    assert page.inner_text("#finding").startswith("Cannot tell.")
    assert page.inner_text("#report").strip() == ""
    assert page.inner_text("#chips").strip() == ""
    assert page.locator("#correct").is_hidden()
    assert page.locator("#open-report").is_visible()
