"""All checks in order: the machine, what is installed, what it does, and one picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ftsdk.bundle import Bundle, open_bundle
from ftsdk.doctor.backends import (
    check_native,
    check_onnxruntime,
    check_providers,
    check_tensorrt,
)
from ftsdk.doctor.findings import Findings
from ftsdk.doctor.hardware import check_gpu, check_machine, has_gpu
from ftsdk.doctor.libraries import check_tensorrt_libraries
from ftsdk.doctor.packages import check_packages
from ftsdk.doctor.privacy import check_privacy
from ftsdk.engines.device_name import gpu_index
from ftsdk.trust import BundleName


def examine(bundle: str | Path | BundleName | None, device: str) -> Iterator[Findings]:
    """Yield the findings of each check as it is done.

    Args:
        bundle: whose golden picture and engines are checked; None is nano.
        device: as `Analyzer` takes it. `cpu` and an execution provider's leave CUDA alone; what is
            named has to work; `auto` takes what is here, and that there is no GPU is no fault.
    """
    named = BundleName.of(bundle)
    cuda = device.partition(":")[0] in ("auto", "cuda")
    on_gpu = cuda and has_gpu()
    index = gpu_index(device)
    yield check_machine()
    yield check_packages()
    yield check_privacy()
    yield check_tensorrt_libraries()
    yield check_native()
    if cuda:
        yield check_gpu(index)
    yield from _guarded("TensorRT back ends", partial(check_tensorrt, on_gpu))
    opened, findings = _check_bundle(named)
    yield findings
    if opened is not None:
        graph = opened.graph(_smallest_stage(opened))
        tried = f"cuda:{index}" if on_gpu else None
        yield from _guarded("ONNX Runtime", partial(check_onnxruntime, graph, tried))
    yield from _guarded("execution providers", check_providers)
    if opened is not None:
        yield from _guarded("golden picture", partial(_golden, opened, device))
    yield from _guarded("engines", partial(_engines, named.folder))


def _guarded(name: str, check: Callable[[], Findings]) -> Iterator[Findings]:
    """Yield what a check finds; where its own imports fail, that is what was found."""
    broken = Findings(name)
    with broken.collecting("import"):
        yield check()
    if broken.faults:
        yield broken


def _check_bundle(name: BundleName) -> tuple[Bundle | None, Findings]:
    found = Findings("bundle")
    with found.collecting(str(name.folder)):
        bundle = open_bundle(name)
        manifest = bundle.manifest
        found.facts["name"] = manifest.name
        found.facts["precision"] = manifest.precision
        size = sum(entry.size for entry in manifest.files.values())
        found.facts["files"] = f"{len(manifest.files)} verified, {size / 1e6:.1f} MB"
        return bundle, found
    return None, found


def _smallest_stage(bundle: Bundle) -> str:
    manifest = bundle.manifest
    return min(manifest.stages, key=manifest.graph_bytes)


def _golden(bundle: Bundle, device: str) -> Findings:
    from ftsdk.doctor.golden import check_golden

    return check_golden(bundle, device)


def _engines(bundle: Path) -> Findings:
    from ftsdk.doctor.engines import check_engines

    return check_engines(bundle)
