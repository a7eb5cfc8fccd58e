"""HTML that escapes whatever is not HTML already."""

from __future__ import annotations

from html import escape

from ftsdk.text import visible


class Html(str):
    """Text that is markup; every other string is escaped where it enters an element."""

    __slots__ = ()


Child = str | None


def element(tag: str, *children: Child, **attributes: str) -> Html:
    """Return `<tag ...>children</tag>`; None is left out, text and attribute values are escaped.

    A trailing underscore of an attribute's name is dropped (`class_`), others become hyphens.
    """
    opening = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(visible(value))}"'
        for name, value in attributes.items()
    )
    return Html(f"<{tag}{opening}>{join(*children)}</{tag}>")


def join(*children: Child) -> Html:
    """Return the children one after the other."""
    return Html("".join(_html(child) for child in children if child is not None))


def _html(child: str) -> str:
    return child if isinstance(child, Html) else escape(visible(child, keep="\n\t"))
