"""Errors as a user must get them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from ftsdk.errors import FtsdkError

Kind = TypeVar("Kind", bound=FtsdkError)


def raised(kind: type[Kind], call: Callable[[], object]) -> Kind:
    """Return what `call` raises, which must be complete and of exactly this class."""
    with pytest.raises(FtsdkError) as caught:
        call()
    error = caught.value
    assert type(error) is kind, error
    assert error.what
    assert error.expected
    assert error.found
    assert error.cure
    return error
