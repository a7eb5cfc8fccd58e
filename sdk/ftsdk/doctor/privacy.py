"""What leaves this machine: nothing, unless the user wants it."""

from __future__ import annotations

from ftsdk.doctor.findings import Findings
from ftsdk.privacy import telemetry


def check_privacy() -> Findings:
    """Say whether ONNX Runtime sends telemetry; that the user wants it is no fault."""
    return Findings("privacy", facts={"ONNX Runtime's telemetry": telemetry()})
