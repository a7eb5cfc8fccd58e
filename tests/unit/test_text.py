"""Text from outside: nothing of it acts, and nothing that it names is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftsdk.errors import OptionError
from ftsdk.report.markup import element
from ftsdk.text import json_text, last_name, name_of, path_of, visible

ANYTHING = st.text(st.characters(exclude_categories=()))
ESCAPES = {
    "caf\udce9.jpg": r"caf\xe9.jpg",
    "\x1b]0;owned\x07\x1b[2J.jpg": r"\x1b]0;owned\x07\x1b[2J.jpg",
    "\x9b31m": r"\x9b31m",
    "photo\u202egpj.exe": r"photo\u202egpj.exe",
    "two\nlines\r": r"two\x0alines\x0d",
    "\ue000\U000e0041\ud800": r"\ue000\U000e0041\ud800",
    "\u2028\x7f": r"\u2028\x7f",
}
PLAIN = ["café.jpg", "写真 1.png", "3.04.05\u202fPM.png", "क\u200cष", "👩\u200d🔬 a.jpg", r"a\b"]


@pytest.mark.parametrize(("text", "expected"), ESCAPES.items())
def test_what_acts_or_does_not_show_is_escaped(text: str, expected: str) -> None:
    assert visible(text) == expected


@pytest.mark.parametrize("text", PLAIN)
def test_what_people_write_stays(text: str) -> None:
    assert visible(text) == text
    assert json_text(text) == f'"{text}"'.replace("\\", "\\\\")


@given(ANYTHING)
def test_what_a_client_calls_its_file_is_visible_and_short(name: str) -> None:
    clean = last_name(name)
    assert 0 < len(clean) <= 120
    assert visible(clean) == clean
    assert "/" not in clean


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (r"C:\pictures\face.jpg", "face.jpg"),
        ("../../etc/passwd", "passwd"),
        ("a\x1b[2J.jpg", r"a\x1b[2J.jpg"),
        (" .. ", "picture"),
        ("d/", "picture"),
        ("क\u200cष.png", "क\u200cष.png"),
        ("x" * 200 + ".png", "x" * 116 + ".png"),
    ],
)
def test_what_a_client_calls_its_file(name: str, expected: str) -> None:
    assert last_name(name) == expected


def test_characters_that_are_meant_stay() -> None:
    assert visible("a\n\tb\x1b", keep="\n\t") == "a\n\tb\\x1b"


@given(ANYTHING)
def test_visible_text_is_utf_8_without_controls_and_stays_as_it_is(text: str) -> None:
    shown = visible(text)
    assert not {*range(32), *range(0x7F, 0xA0)} & {*map(ord, shown.encode().decode())}
    assert visible(shown) == shown


@given(ANYTHING)
def test_json_is_utf_8_and_reads_back(text: str) -> None:
    written = json_text({"name": text})
    assert not {*range(32), *range(0x7F, 0xA0)} & {*map(ord, written.encode().decode())}
    lone = any(0xD800 <= ord(character) < 0xE000 for character in text)
    read = json.loads(written)["name"]
    assert (visible(read) == visible(text)) if lone else (read == text)


@given(st.binary(min_size=1).filter(lambda name: b"\0" not in name))
def test_every_file_name_becomes_text_and_the_same_path_again(name: bytes) -> None:
    assert os.fsencode(path_of(name_of(os.fsdecode(name)))) == os.fsencode(Path(os.fsdecode(name)))


def test_names_are_the_same_text_in_every_locale() -> None:
    """A process in an ASCII locale gets the bytes of `é` as two surrogates."""
    code = "import os; from ftsdk.text import *; print(ascii(name_of(os.fsdecode(b'\\xc3\\xa9'))))"
    ascii_locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    for locale in (ascii_locale, {"LC_ALL": "C.UTF-8"}):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **locale}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout == "'\\xe9'\n"


def test_errors_and_html_show_what_they_quote() -> None:
    error = OptionError("\x1b[2J", expected="a\nb", found="caf\udce9", cure="\u202e")
    assert [*error.args] == [r"\x1b[2J", "a\nb", r"caf\xe9", r"\u202e"]
    assert str(error).encode()
    assert element("p", "\x1b\udce9", title="\udce9") == r'<p title="\xe9">\x1b\xe9</p>'
