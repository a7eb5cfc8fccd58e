"""What a caller may call a device."""

from __future__ import annotations

from ftsdk.errors import OptionError


def require_device_name(device: str) -> None:
    """Raise OptionError unless `device` is `cpu`, `auto`, `cuda` or `cuda:N`."""
    kind, _, index = device.partition(":")
    numbered = kind == "cuda" and index.isascii() and index.isdigit()
    if device in ("cpu", "auto", "cuda") or numbered:
        return
    raise OptionError(
        f"'{device}' is no device",
        expected="cpu, cuda, cuda:0 (or another number), or auto",
        found=repr(device),
        cure='pass device="cpu" or device="cuda:0"',
    )


def gpu_index(device: str) -> int:
    """Return the GPU's number in `cuda:N`; 0 of every other name."""
    return int(device.partition(":")[2] or 0)
