"""What a caller may call a device."""

from __future__ import annotations

from ftsdk.engines.provider import (
    installed_providers,
    is_built_in_device,
    is_provider_device,
)
from ftsdk.errors import OptionError


def require_device_name(device: str) -> None:
    """Raise OptionError unless `device` is `cpu`, `auto`, `cuda`, `cuda:N` or a provider's."""
    if isinstance(device, str) and (is_built_in_device(device) or is_provider_device(device)):
        return
    installed = ", ".join(sorted(installed_providers())) or "none is installed"
    raise OptionError(
        f"'{device}' is no device",
        expected="cpu, cuda, cuda:0 (or another number), auto, or an execution provider, alone or "
        f"with :cpu, :gpu, :npu or a number ({installed})",
        found=repr(device),
        cure='pass device="cpu" or device="cuda:0", or install a provider, such as '
        "onnxruntime-ep-openvino",
    )


def gpu_index(device: str) -> int:
    """Return the GPU's number in `cuda:N`; 0 of every other name."""
    kind, _, index = device.partition(":")
    return int(index) if kind == "cuda" and index else 0


def on_processor(device: str) -> bool:
    """Tell whether a device computes on the host's own cores: `cpu`, `openvino:cpu`."""
    return "cpu" in device.split(":")
