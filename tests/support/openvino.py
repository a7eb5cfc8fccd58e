"""Whether this machine has a device that OpenVINO's provider offers."""

from __future__ import annotations

import pytest

from ftsdk.engines.onnxruntime import load_runtime
from ftsdk.engines.provider import find_device
from ftsdk.errors import DeviceUnavailableError


def needs_openvino() -> None:
    """Skip the test, with the reason, where the provider offers no CPU: it knows Intel's only."""
    try:
        find_device("openvino:cpu", load_runtime())
    except DeviceUnavailableError as error:
        pytest.skip(f"OpenVINO offers no CPU here: {error.found}")
