"""Packages and libraries in each other's way, found in directories that are made for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftsdk.doctor.libraries import Library, check_tensorrt_libraries, conflicts, find_libraries
from ftsdk.doctor.packages import check_packages, faults_of, providers
from ftsdk.errors import EngineNotInstalledError, PackageBrokenError, PackageConflictError


def install(folder: Path, name: str, version: str, files: dict[str, str]) -> None:
    """Put a package into `folder` as pip does: files, metadata, and the sizes it recorded."""
    described = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}")
    record = []
    for file, content in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(content)
        record.append(f"{file},,{len(content)}")
    (described / "RECORD").write_text("\n".join(record))


CPU = {"onnxruntime/__init__.py": "cpu", "onnxruntime/capi/state.so": "small"}
GPU = {"onnxruntime/__init__.py": "gpu", "onnxruntime/capi/state.so": "much larger"}


def faults(folder: Path) -> list[object]:
    packages = [*providers("onnxruntime", [str(folder)])]
    return [*faults_of("onnxruntime", packages, '"ftsdk[cpu]"')]


def test_one_whole_runtime_is_healthy(tmp_path: Path) -> None:
    install(tmp_path, "onnxruntime", "1.31.1", CPU)
    install(tmp_path, "onnxruntime-genai", "0.18.0", {"onnxruntime_genai/__init__.py": ""})
    assert faults(tmp_path) == []


def test_two_runtimes_are_named_and_which_one_was_overwritten(tmp_path: Path) -> None:
    install(tmp_path, "onnxruntime", "1.31.1", CPU)
    install(tmp_path, "onnxruntime-gpu", "1.31.1", GPU)
    (fault,) = faults(tmp_path)
    assert isinstance(fault, PackageConflictError)
    cpu, gpu = fault.found.split("; ")
    assert "onnxruntime 1.31.1" in cpu
    assert "1 of its files overwritten" in cpu
    assert "overwritten" not in gpu
    assert "pip uninstall -y onnxruntime onnxruntime-gpu, then" in fault.cure


@pytest.mark.parametrize("left", [None, "longer than it was"])
def test_a_runtime_whose_twin_was_uninstalled_is_found(tmp_path: Path, left: str | None) -> None:
    install(tmp_path, "onnxruntime", "1.31.1", CPU)
    state = tmp_path / "onnxruntime/capi/state.so"
    if left is None:
        state.unlink()
    else:
        state.write_text(left)
    (fault,) = faults(tmp_path)
    assert isinstance(fault, PackageBrokenError)
    assert "state.so" in fault.found


def test_no_runtime_and_two_opencvs_are_faults(tmp_path: Path) -> None:
    for name in ("opencv-python", "opencv-python-headless"):
        install(tmp_path, name, "4.14.0", {"cv2/__init__.py": ""})
    found = check_packages([str(tmp_path)])
    kinds = {type(fault) for fault in found.faults}
    assert kinds == {EngineNotInstalledError, PackageConflictError}
    assert found.facts == {"opencv-python": "4.14.0", "opencv-python-headless": "4.14.0"}


def test_this_installation_is_healthy() -> None:
    found = check_packages()
    assert found.faults == []
    assert "onnxruntime" in found.facts


def test_a_library_is_listed_once_with_its_whole_version(tmp_path: Path) -> None:
    (tmp_path / "libnvinfer.so.10.3.0").write_bytes(b"")
    (tmp_path / "libnvinfer.so.10").symlink_to("libnvinfer.so.10.3.0")
    (tmp_path / "libnvinfer.so").symlink_to("libnvinfer.so.10")
    (tmp_path / "libnvinfer_plugin.so.10.3.0").write_bytes(b"")
    (tmp_path / "libnvinfer_lean.so.9").symlink_to("gone")
    assert [*find_libraries([tmp_path, tmp_path])] == [
        Library("libnvinfer", "10.3.0", tmp_path.resolve() / "libnvinfer.so.10.3.0")
    ]


def test_two_versions_of_tensorrt_are_a_fault_and_unknown_ones_are_not(tmp_path: Path) -> None:
    for folder, version in (("system", "10.3.0"), ("container", "10.7.0")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"libnvinfer.so.{version}").write_bytes(b"")
    found = check_tensorrt_libraries([tmp_path / "system", tmp_path / "container"])
    (fault,) = [one for one in found.faults if "of tensorrt are" in one.what]
    assert "10.3.0 in" in fault.found
    assert "10.7.0 in" in fault.found
    only_major = Library("libnvinfer", "10", tmp_path / "libnvinfer.so.10")
    assert [*conflicts([only_major], {"tensorrt": "10.3.0"})] == []


def test_a_python_module_of_another_version_than_its_library_is_a_fault(tmp_path: Path) -> None:
    library = Library("libnvinfer", "10.3.0", tmp_path / "libnvinfer.so.10.3.0")
    assert [*conflicts([library], {"tensorrt": "10.3.0.30"})] == []
    (fault,) = conflicts([library], {"tensorrt": "10.13.0"})
    assert "the Python module tensorrt" in fault.found
    assert "--clear-engines" in fault.cure
