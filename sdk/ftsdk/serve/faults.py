"""What went wrong, in words, before a protocol makes an answer of it."""

from __future__ import annotations

import logging

from ftsdk.errors import FtsdkError, ServiceFaultError

_log = logging.getLogger(__name__)


def described(error: BaseException) -> FtsdkError:
    """Return an error as one of ours; what was never expected goes to the log."""
    if isinstance(error, FtsdkError):
        return error
    _log.error("the service failed", exc_info=error)
    return ServiceFaultError(
        "the service failed at this request",
        expected="an answer, or a refusal that names its cause",
        found=type(error).__name__,
        cure="look into the service's log, and report it with the picture if you may share it",
    )


def sentence(error: FtsdkError) -> str:
    """Return an error as one sentence with its cause and cure."""
    parts = error.what, f"expected: {error.expected}", f"found: {error.found}", error.cure
    return "; ".join(parts)
