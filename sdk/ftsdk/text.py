"""Text from outside (file names, what errors quote), made safe to show, to store and to send.

File names are bytes on POSIX and need be no UTF-8; Python holds such a byte as a lone surrogate
(PEP 383), which no JSON, HTML or terminal can take. Names may hold what moves a terminal's cursor
or turns the reading direction, too.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

_ESCAPED_BYTE = range(0xDC80, 0xDD00)
# Control, surrogate, private, unassigned; line and paragraph separators; format characters, which
# turn the reading direction, save for the joiners that Persian, Hindi and emoji are written with.
_UNSAFE = {"Cc", "Cs", "Co", "Cn", "Zl", "Zp", "Cf"}
_JOINERS = "\u200c\u200d"
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_CREDENTIALS = re.compile(r"//[^/@]*@")
_LONGEST_NAME = 120
_SUSPICIOUS = re.compile(r"[^\x20-\x7e]")


def name_of(path: str | os.PathLike[str]) -> str:
    """Return a path as text by its bytes as UTF-8, whatever the locale; see `path_of`."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def path_of(name: str) -> Path:
    """Return the path that `name_of` was given."""
    return Path(os.fsdecode(name.encode("utf-8", "surrogateescape")))


def is_address(text: str) -> bool:
    """Tell whether `text` is an address such as `s3://bucket/folder`, and no path."""
    return _ADDRESS.match(text) is not None


def without_credentials(address: str) -> str:
    """Return an address without the user and password in it.

    Examples:
        >>> without_credentials("rtsp://user:word@camera/1")
        'rtsp://camera/1'
    """
    return _CREDENTIALS.sub("//", address)


def last_name(path: str) -> str:
    r"""Return what a client calls its file: the path's last part, visible, 120 characters at most.

    Examples:
        >>> last_name("C:\\pictures\\face\x1b[2J.jpg")
        'face\\x1b[2J.jpg'
    """
    last = visible(path.replace("\\", "/").rsplit("/", 1)[-1]).strip(" .")
    return last[-_LONGEST_NAME:] or "picture"


def visible(text: str, keep: str = "") -> str:
    r"""Return `text` with all that does not show, or acts on a terminal, as an escape.

    Args:
        text: anything, lone surrogates included; a byte of a file name that is no UTF-8 is `\xe9`.
        keep: unsafe characters that are meant, such as line ends.

    Examples:
        >>> visible("caf\udce9\x1b[2J.jpg")
        'caf\\xe9\\x1b[2J.jpg'
    """
    return _replaced(text, _escape, keep)


def json_text(value: Any, indent: int | None = None) -> str:
    r"""Return `value` as JSON that is valid UTF-8 and safe to print.

    What does not show is there as a JSON escape, so that it reads back as it was; a lone surrogate
    reads back as `visible` shows it, since JSON has no way to hold it.
    """
    return _replaced(json.dumps(value, indent=indent, ensure_ascii=False), _json_escape, "\n")


def _replaced(text: str, escape: Callable[[int], str], keep: str) -> str:
    def replacement(match: re.Match[str]) -> str:
        character = match[0]
        return character if character in keep or not _unsafe(character) else escape(ord(character))

    return _SUSPICIOUS.sub(replacement, text)


def _unsafe(character: str) -> bool:
    return unicodedata.category(character) in _UNSAFE and character not in _JOINERS


def _escape(code: int) -> str:
    if code in _ESCAPED_BYTE:
        code -= 0xDC00
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(code: int) -> str:
    if 0xD800 <= code < 0xE000:
        return "\\" + _escape(code)
    return json.dumps(chr(code))[1:-1] if code != 0x7F else "\\u007f"


def problems(error: ValidationError) -> str:
    """Return each field that is wrong, and why, on one line."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, at['loc'])) or 'all'}: {at['msg']}" for at in found)
