"""Sections of a document that tools write."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sections import replace_section


def test_a_section_is_made_then_replaced_and_its_neighbours_stay(tmp_path: Path) -> None:
    path = tmp_path / "numbers.md"
    path.write_text("# Numbers\n\nBy hand.\n", encoding="utf-8")
    replace_section(path, "one", "1")
    replace_section(path, "two", "2")
    replace_section(path, "one", "| a |\n| - |")
    assert path.read_text(encoding="utf-8") == (
        "# Numbers\n\nBy hand.\n\n<!-- begin one -->\n| a |\n| - |\n<!-- end one -->\n\n"
        "<!-- begin two -->\n2\n<!-- end two -->\n"
    )


@given(before=st.text("ab\\ \n#|"), texts=st.lists(st.text("xy\\1g<0>\n "), min_size=1, max_size=3))
def test_the_last_text_counts(
    tmp_path_factory: pytest.TempPathFactory, before: str, texts: list[str]
) -> None:
    path = tmp_path_factory.mktemp("doc") / "numbers.md"
    path.write_text(before, encoding="utf-8")
    for text in texts:
        replace_section(path, "n", text)
    written = path.read_text(encoding="utf-8")
    assert written.endswith(f"<!-- begin n -->\n{texts[-1].strip()}\n<!-- end n -->\n")
    assert written.count("<!-- begin n -->") == 1


def test_a_lost_marker_is_an_error_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "numbers.md"
    path.write_text("<!-- begin n -->\nhalf", encoding="utf-8")
    with pytest.raises(ValueError, match="do not pair up"):
        replace_section(path, "n", "x")
    assert path.read_text(encoding="utf-8") == "<!-- begin n -->\nhalf"
