"""Dependencies that would phone home are silenced here, before anything imports them."""

from __future__ import annotations

import os
import sys
import warnings

#: Read by ONNX Runtime while it is imported, and by nothing after that.
TELEMETRY = "ORT_DISABLE_TELEMETRY"
#: Environment variable -> what it becomes where the user has not set it.
_SILENCE = {
    TELEMETRY: "1",  # since 1.29 its wheels send events to Microsoft, and keep an id in ~/.cache
    "RAY_USAGE_STATS_ENABLED": "0",  # a cluster that is started here would report its use
    "HF_HUB_OFFLINE": "1",  # transformers, at export, reads local folders only
}
#: What ONNX Runtime takes for yes; the rest is no.
_YES = {"1", "on", "true", "yes"}


def silence() -> None:
    """Set what the user has not set, for this process and its children."""
    if "onnxruntime" in sys.modules and TELEMETRY not in os.environ:
        warnings.warn(
            "onnxruntime was imported before ftsdk, so its telemetry is on in this process: "
            f"import ftsdk first, or set {TELEMETRY}=1",
            RuntimeWarning,
            stacklevel=3,
        )
    for name, value in _SILENCE.items():
        os.environ.setdefault(name, value)


def telemetry() -> str:
    """Return, in words, whether ONNX Runtime sends events to Microsoft."""
    value = os.environ.get(TELEMETRY, "")
    if value.lower() in _YES:
        return "off"
    return f"on, since {TELEMETRY}={value!r} is set: events go to Microsoft, an id into ~/.cache"
