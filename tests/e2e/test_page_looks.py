"""Every state of the page, wide and narrow, light and dark: axe finds nothing serious."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import SIZES, Page, Visit, answered, drop, keep, sample
from serving import Server, Start, face_png

_PAIRS = [(size, scheme) for size in SIZES for scheme in ("light", "dark")]


@pytest.fixture(scope="module")
def axe() -> Any:
    """The accessibility checker."""
    name = "axe_playwright_python.sync_playwright"
    return pytest.importorskip(name, reason="axe is not installed (extra page)").Axe()


def _look(axe: Any, page: Page, state: str) -> None:
    """Keep a picture of each size and theme, and let axe check it."""
    for size, scheme in _PAIRS:
        width, height = SIZES[size]
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.evaluate("() => new Promise(requestAnimationFrame)")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (state, size)
        keep(page, f"{state}-{size}-{scheme}")
        serious = [
            (state, size, scheme, fault["id"], [node["html"][:120] for node in fault["nodes"]])
            for fault in axe.run(page).response["violations"]
            if fault["impact"] in ("serious", "critical")
        ]
        assert not serious


def test_every_state_of_the_page(axe: Any, visit: Visit) -> None:
    page = visit()
    _look(axe, page, "empty")
    sample(page)
    _look(axe, page, "answer")
    page.click("summary")
    page.click("#chips button >> nth=0")
    _look(axe, page, "facts")
    page.click("#correct")
    page.click("#toggles button >> nth=3")
    _look(axe, page, "correct")
    page.click("#again")
    page.wait_for_selector("#corrected:not([hidden])", timeout=60_000)
    _look(axe, page, "corrected")
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"none"})
    page.wait_for_selector("#problem:not([hidden])")
    _look(axe, page, "problem")


def test_the_token_dialog(axe: Any, browser: Any, start: Start, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t" * 32)
    guarded = start("--token-file", str(token), wait=True)
    page = browser.new_page()
    page.goto(guarded.url)
    page.fill("#token", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("#login-problem:not([hidden])")
    fits = "(dialog) => dialog.scrollWidth <= dialog.clientWidth"
    assert page.locator("#login").evaluate(fits)
    _look(axe, page, "token")
    page.close()


@pytest.fixture(scope="module")
def scoreless(second_bundle: Path) -> Iterator[Server]:
    """A service of a model in the published layout: no score, no framing, regions of its own."""
    running = Server(second_bundle)
    running.wait_until_ready()
    yield running
    running.stop()


def test_a_model_without_a_score(axe: Any, visit: Visit, scoreless: Server) -> None:
    page = visit(url=scoreless.url)
    drop(page, "face.png", face_png(4))
    assert page.inner_text("#finding").startswith("This model gives no overall score; ")
    assert page.is_hidden("#score")
    assert "no overall score" in page.inner_text("#score-note")
    page.click("#correct")
    assert "left ear" in page.inner_text("#toggles")
    page.click("#toggles button >> nth=2")
    page.click("#again")
    page.wait_for_selector("#corrected:not([hidden])", timeout=60_000)
    answered(page)
    _look(axe, page, "scoreless")


def test_the_answer_and_report_of_a_model_without_a_score(scoreless: Server) -> None:
    answer = scoreless.analyze(face_png(4))
    for name in ("suspected", "score", "score_threshold", "operating_point", "face"):
        assert answer[name] is None
    assert answer["finding"].startswith("This model gives no overall score; ")
    assert scoreless.client.get("/v1/model").json()["has_score"] is False
    report = scoreless.client.get(f"/v1/analyses/{answer['id']}/report.html").text
    assert "This model gives no overall score: it says where" in report
    assert "<dd>none, operating point none at none</dd>" in report
