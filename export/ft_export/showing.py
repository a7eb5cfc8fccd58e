"""How a long command tells what it is at."""

from __future__ import annotations

from collections.abc import Callable

#: Called with a stage's name and what is being done to it.
Show = Callable[[str, str], None]
