"""Execution providers in packages of their own, by ONNX Runtime's plugin interface.

Each package `onnxruntime-ep-NAME` holds a library that registers with the runtime and then offers
the devices that it finds. Interface: https://onnxruntime.ai/docs/execution-providers/plugin-ep-libraries
"""

from __future__ import annotations

import json
import re
import sys
import threading
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from ftsdk.errors import DeviceUnavailableError

_PREFIX = "onnxruntime-ep-"
_DEVICE = re.compile(r"([a-z][a-z0-9-]*)(?::(cpu|gpu|npu))?(?::(\d{1,3}))?", re.ASCII)
_BUILT_IN = re.compile(r"cpu|auto|cuda(?::\d+)?", re.ASCII)
#: Providers whose package has a longer name than users give them.
_SHORT = {"nv-tensorrt-rtx": "trt-rtx"}
_REGISTERED: set[str] = set()
_REGISTERING = threading.Lock()


@dataclass(frozen=True)
class ProviderPackage:
    """An installed package that holds an execution provider.

    Attributes:
        name: what its devices are called by, such as `openvino`.
        distribution: what pip calls it.
        version: its own.
        module: what says where its library is.
    """

    name: str
    distribution: str
    version: str
    module: str


@dataclass(frozen=True)
class ProviderDevice:
    """A device that a provider offers here.

    Attributes:
        package: whose device it is.
        kind: `cpu`, `gpu` or `npu`.
        index: which of the provider's devices of this kind.
        handle: the runtime's own object.
    """

    package: ProviderPackage
    kind: str
    index: int
    handle: Any

    @property
    def name(self) -> str:
        """What a caller names it by: `openvino:npu`, or `webgpu:gpu:1` for the second."""
        number = f":{self.index}" if self.index else ""
        return f"{self.package.name}:{self.kind}{number}"

    def __str__(self) -> str:
        known = self.handle.ep_metadata
        hardware = known.get("FULL_DEVICE_NAME") or f"{self.handle.device.vendor} {self.kind}"
        return f"{self.package.distribution} {self.package.version} on {hardware.strip()}"

    def options(self, threads: int) -> dict[str, str]:
        """Return what makes the provider compute in the types that the graph has.

        OpenVINO computes float32 graphs in bfloat16 where the processor has it, unless told.

        Args:
            threads: threads inside one operator on a processor; 0 lets the provider choose.
        """
        if self.handle.ep_name != "OpenVINOExecutionProvider":
            return {}
        place = self.handle.ep_metadata["ov_device"]
        pinned: dict[str, str] = {"EXECUTION_MODE_HINT": "ACCURACY"}
        if threads and self.kind == "cpu":
            pinned["INFERENCE_NUM_THREADS"] = str(threads)
        return {"load_config": json.dumps({place: pinned})}


def installed_providers() -> dict[str, ProviderPackage]:
    """Return every installed package `onnxruntime-ep-*` that holds a provider, by name."""
    return {package.name: package for package in _packages(tuple(sys.path))}


@cache
def _packages(path: tuple[str, ...]) -> tuple[ProviderPackage, ...]:
    from importlib import metadata  # milliseconds, which no built-in device has to pay

    found = []
    for installed in metadata.distributions(path=[*path]):
        distribution = re.sub(r"[-_.]+", "-", installed.metadata["Name"] or "").lower()
        if not distribution.startswith(_PREFIX):
            continue
        modules = {
            file.parts[0]
            for file in installed.files or ()
            if len(file.parts) == 2 and file.name == "__init__.py"
        }
        if modules:  # a package that only asks for others has none
            long = re.sub(r"-cu\d+$", "", distribution.removeprefix(_PREFIX))
            name = _SHORT.get(long, long)
            found.append(ProviderPackage(name, distribution, installed.version, min(modules)))
    return tuple(found)


def is_built_in_device(device: str) -> bool:
    """Tell whether `device` is one of the runtime's own: `cpu`, `auto`, `cuda`, `cuda:N`."""
    return _BUILT_IN.fullmatch(device) is not None


def is_provider_device(device: str) -> bool:
    """Tell whether `device` names an installed provider, whatever it finds here."""
    if is_built_in_device(device):  # what is installed is read from every package's metadata
        return False
    named = _DEVICE.fullmatch(device)
    return named is not None and named[1] in installed_providers()


def find_device(device: str, runtime: ModuleType) -> ProviderDevice:
    """Return the device that a caller names: `openvino:npu`, `webgpu`, `trt-rtx:0`.

    Without a kind, all that the provider offers have to be of one; without a number it is the
    first.

    Args:
        device: one for which `is_provider_device` is true.
        runtime: ONNX Runtime.

    Raises:
        DeviceUnavailableError: the provider does not load, or has no such device, or several.
    """
    named = _DEVICE.fullmatch(device)
    assert named is not None
    package = installed_providers()[named[1]]
    offered = devices_of(package, runtime)
    kinds = {one.kind for one in offered if named[2] in (None, one.kind)}
    index = int(named[3] or 0)
    meant = [one for one in offered if one.kind in kinds and one.index == index]
    if len(meant) != 1:
        names = ", ".join(one.name for one in offered)
        raise DeviceUnavailableError(
            f"the device '{device}' cannot be used",
            expected="one device of " + (names or f"{package.name}, with its driver"),
            found=f"{len(meant)} such devices; {package.distribution} {package.version} offers "
            + (names or "none on this machine"),
            cure=f"pass one of: {names}" if names else 'install its driver, or pass device="cpu"',
        )
    return meant[0]


def devices_of(package: ProviderPackage, runtime: ModuleType) -> list[ProviderDevice]:
    """Return what a provider offers here; empty where it finds no device.

    Args:
        package: of `installed_providers`.
        runtime: ONNX Runtime.

    Raises:
        DeviceUnavailableError: its library is for another ONNX Runtime, or lacks a driver.
    """
    try:
        handles = _handles(package, runtime)
    except Exception as error:  # the runtime's own share no base class
        raise DeviceUnavailableError(
            f"{package.distribution} {package.version} does not load",
            expected=f"a provider for ONNX Runtime {runtime.__version__}, and its driver",
            found=str(error)[:400],
            cure=f"pip install -U onnxruntime {package.distribution}, install the driver of the "
            'device, or pass device="cpu"',
        ) from error
    devices: list[ProviderDevice] = []
    for handle in handles:
        kind = handle.device.type.name.lower()
        index = sum(one.kind == kind for one in devices)
        devices.append(ProviderDevice(package, kind, index, handle))
    return devices


def _handles(package: ProviderPackage, runtime: ModuleType) -> list[Any]:
    """Return the runtime's objects of a package's devices; its library is registered once."""
    module = import_module(package.module)
    names = set(module.get_ep_names())
    with _REGISTERING:
        if package.module not in _REGISTERED and not _offered(runtime, names):
            runtime.register_execution_provider_library(package.module, module.get_library_path())
            _REGISTERED.add(package.module)
    return _offered(runtime, names)


def _offered(runtime: ModuleType, names: set[str]) -> list[Any]:
    return [one for one in runtime.get_ep_devices() if one.ep_name in names]
