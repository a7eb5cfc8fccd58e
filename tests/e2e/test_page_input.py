"""Ways into the page: paste, fingers, keys alone."""

from __future__ import annotations

from base64 import b64encode

import pytest
from browsing import Page, Visit, answered, centre, sample, shown
from serving import face_png

_COPY = """async (data) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const blob = new Blob([bytes], { type: "image/png" });
  await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
}"""


def test_a_picture_can_be_pasted(visit: Visit) -> None:
    page = visit()
    page.evaluate(_COPY, b64encode(face_png(3)).decode())
    page.keyboard.press("Control+v")
    answered(page)
    assert page.inner_text("#finding")


def test_the_text_can_be_copied(visit: Visit) -> None:
    page = visit()
    sample(page)
    page.click("#copy")
    page.wait_for_function("() => document.querySelector('#copy').textContent === 'Copied'")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(page.inner_text("#finding"))
    assert page.inner_text("#report") in copied


class Fingers:
    """Touches at places in px of the window, as the screen would report them."""

    def __init__(self, page: Page) -> None:
        self._screen = page.context.new_cdp_session(page)

    def __call__(self, kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        self._screen.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def slide(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Move one finger."""
        self("touchStart", start)
        middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
        for place in (middle, end):
            self("touchMove", place)
        self("touchEnd")

    def pinch(self, at: tuple[float, float], start: float, end: float) -> None:
        """Move two fingers from `start` px apart to `end`."""
        x, y = at
        self("touchStart", (x - start / 2, y))
        self("touchStart", (x - start / 2, y), (x + start / 2, y))
        self("touchMove", (x - start / 2, y), (x + end - start / 2, y))
        self("touchEnd", (x - start / 2, y))
        self("touchEnd")


@pytest.fixture
def phone(visit: Visit) -> Page:
    """The page on a small screen for fingers, with an answer."""
    page = visit("narrow", has_touch=True, is_mobile=True, device_scale_factor=2)
    page.tap("#sample")
    answered(page)
    page.wait_for_timeout(900)
    return page


def test_two_fingers_zoom_and_one_moves(phone: Page) -> None:
    fingers, middle = Fingers(phone), centre(phone)
    fitted = shown(phone)
    fingers.pinch(middle, 40, 160)
    zoomed = shown(phone)
    assert zoomed != fitted
    fingers.slide(middle, (middle[0] + 40, middle[1] + 20))
    assert shown(phone) not in (fitted, zoomed)
    phone.tap("#zoom-fit")
    assert shown(phone) == fitted


def test_one_finger_paints_and_two_do_not(phone: Page) -> None:
    phone.tap("#correct")
    phone.wait_for_timeout(600)
    phone.tap("#correction input[value=paint] + span")
    fingers, middle = Fingers(phone), centre(phone)
    fingers.pinch(middle, 40, 80)
    assert "painted" not in phone.inner_text("#coverage")
    fingers.slide(middle, (middle[0] + 30, middle[1]))
    assert "The painted mask covers" in phone.inner_text("#coverage")
    painted = shown(phone)
    phone.tap("#undo")
    assert "painted" not in phone.inner_text("#coverage")
    assert shown(phone) != painted
    fingers.slide(middle, (middle[0] + 30, middle[1]))
    phone.tap("#again")
    phone.wait_for_selector("#corrected:not([hidden])", timeout=60_000)
    assert "mask" in phone.inner_text("#corrected")


def test_the_keyboard_is_enough(visit: Visit) -> None:
    page = visit()
    page.focus("#sample")
    page.keyboard.press("Enter")
    answered(page)
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


def test_every_control_is_reached_by_tab(visit: Visit) -> None:
    page = visit()
    sample(page)
    page.focus("#home")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert reached >= {
        "add", "theme", "canvas", "zoom-in", "zoom-out", "zoom-fit", "opacity", "threshold",
        "analyst", "open-report", "save-report", "correct", "copy", "save-overlay", "save-json",
        "forget",
    }  # fmt: skip
