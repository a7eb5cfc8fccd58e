"""What was made of the last pictures, bounded by bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from threading import Lock
from typing import Any, TypeVar, cast

from ftsdk.errors import OptionError

Made = TypeVar("Made")


class PictureCache:
    """Values by key; the least recently used go first. Safe to use from several threads.

    A value is a mapping of arrays, or what was framed: the bytes of its arrays are its size.

    Args:
        max_bytes: how much is kept at most; 0 keeps nothing.

    Raises:
        OptionError: `max_bytes` is negative.
    """

    def __init__(self, max_bytes: int) -> None:
        if max_bytes < 0:
            raise OptionError(
                "the cache's size is outside its range",
                expected="0 or more bytes",
                found=repr(max_bytes),
                cure="pass cache_bytes=0 to keep nothing",
            )
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = Lock()
        self.used_bytes = 0

    def get_or_make(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """Return what is kept under `key`, or what `make` returns, which is then kept."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return cast(Made, self._entries[key])
        made = make()
        self._keep(key, made)
        return made

    def _keep(self, key: Hashable, value: Any) -> None:
        size = _size(value)
        if size > self._max_bytes:
            return
        with self._lock:
            if key in self._entries:
                return
            self._entries[key] = value
            self.used_bytes += size
            while self.used_bytes > self._max_bytes:
                _, dropped = self._entries.popitem(last=False)
                self.used_bytes -= _size(dropped)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self.used_bytes = 0


def _size(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(array.nbytes for array in value.values())
    return sum(int(face.pixels.nbytes) for face in value.faces)
