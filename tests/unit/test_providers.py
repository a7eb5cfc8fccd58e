"""Execution providers of other packages: found, named, refused with reasons, held against the CPU.

OpenVINO's runs on the CPU here; a library of another kind is compiled in a moment.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from onnxruntime.capi.onnxruntime_pybind11_state import EPFail
from small_graphs import write
from support.openvino import needs_openvino

from ftsdk import acceptance
from ftsdk.acceptance import load_accepted
from ftsdk.analyzer import Analyzer
from ftsdk.bundle import Bundle, open_bundle
from ftsdk.cancellation import Cancellation
from ftsdk.consistency import MODEL_STAGES
from ftsdk.doctor.backends import check_providers
from ftsdk.engines.cache import EngineCache
from ftsdk.engines.contract import Arrays, Binding, Engine, Tensors
from ftsdk.engines.device_name import require_device_name
from ftsdk.engines.difference import Difference
from ftsdk.engines.loading import LoadedEngines, load_engines
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine, load_runtime
from ftsdk.engines.provider import find_device, installed_providers, is_provider_device
from ftsdk.errors import (
    DeviceUnavailableError,
    EngineAnswerError,
    EngineLoadError,
    EngineRunError,
    OptionError,
)
from ftsdk.language.options import Language
from ftsdk.trust import NANO

OPENVINO = "openvino:cpu"
#: What ONNX Runtime calls in a provider's library; it offers nothing, or wants a later runtime.
LIBRARY = """
typedef struct { void* (*CreateStatus)(int, const char*); } Api;
typedef struct { const Api* (*GetApi)(unsigned); } Base;
void* CreateEpFactories(const char* name, const Base* base, const void* logger, void** made,
                        unsigned long most, unsigned long* count) {
    *count = 0;
    if (base->GetApi(%d)) return 0;
    return base->GetApi(22)->CreateStatus(1, "needs ONNX Runtime 1.%d");
}
void* ReleaseEpFactory(void* factory) { return 0; }
"""
MODULE = """
from pathlib import Path
def get_ep_names(): return ["NoSuchExecutionProvider"]
def get_library_path(): return str(Path(__file__).parent / "libprovider.so")
"""

Installer = Callable[[str, int], None]


@pytest.fixture
def openvino() -> None:
    """Ask for OpenVINO's device on this processor."""
    needs_openvino()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installer:
    """Put a package with a provider for an ONNX Runtime of this API version on the path."""

    def make(distribution: str, version: int) -> None:
        module = distribution.replace("-", "_")
        folder, about = tmp_path / module, tmp_path / f"{module}-9.1.dist-info"
        folder.mkdir()
        about.mkdir()
        (folder / "__init__.py").write_text(MODULE)
        (folder / "provider.c").write_text(LIBRARY % (version, version))
        (about / "METADATA").write_text(f"Name: {distribution}\nVersion: 9.1\n")
        (about / "RECORD").write_text(f"{module}/__init__.py,,\n")
        compile_it = ("cc", "-shared", "-fPIC", "-o", "libprovider.so", "provider.c")
        subprocess.run(compile_it, cwd=folder, check=True, timeout=60)
        monkeypatch.syspath_prepend(tmp_path)

    return make


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """y [rows, 64] = x [rows, 64] times a matrix that bfloat16 would round."""
    weights = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    return write(tmp_path / "p.onnx", [node], {"w": weights}, ["rows", 64], ["rows", 64])


@pytest.mark.usefixtures("openvino")
@pytest.mark.parametrize("name", ["openvino", "openvino:cpu", "openvino:0", "openvino:cpu:0"])
def test_a_device_is_named_by_provider_kind_and_number(name: str) -> None:
    require_device_name(name)
    found = find_device(name, load_runtime())
    assert (found.name, found.kind, found.index) == (OPENVINO, "cpu", 0)
    assert f"onnxruntime-ep-openvino {found.package.version} on " in str(found)


@pytest.mark.parametrize(
    "name", ["opencl", "openvino:", "openvino:tpu", "openvino:cpu:x", "openvino:-1", "Openvino"]
)
def test_what_names_no_installed_provider_is_refused(name: str) -> None:
    with pytest.raises(OptionError) as caught:
        require_device_name(name)
    assert "openvino" in caught.value.expected


@pytest.mark.parametrize("device", ["cpu", "auto", "cuda", "cuda:1"])
def test_a_device_of_the_runtimes_own_asks_for_no_package(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def distributions(path: list[str]) -> list[metadata.Distribution]:
        asked.append(path)
        return []

    monkeypatch.setattr(metadata, "distributions", distributions)
    monkeypatch.syspath_prepend(tmp_path)  # what is there was not looked up yet
    assert not is_provider_device(device)
    assert not asked
    assert not is_provider_device("later:gpu")
    assert asked


@pytest.mark.usefixtures("openvino")
@pytest.mark.parametrize("name", ["openvino:npu", "openvino:1", "openvino:cpu:3"])
def test_a_device_that_the_provider_lacks_is_not_replaced(product: Path, name: str) -> None:
    with pytest.raises(DeviceUnavailableError) as caught:
        OnnxRuntimeEngine(product, name)
    assert OPENVINO in caught.value.found


def test_a_provider_for_another_runtime_is_refused_with_its_reason(
    install: Installer, product: Path
) -> None:
    install("onnxruntime-ep-later-cu13", 999)
    assert installed_providers()["later"].version == "9.1"
    with pytest.raises(DeviceUnavailableError, match=r"needs ONNX Runtime 1\.999") as caught:
        OnnxRuntimeEngine(product, "later:gpu")
    assert "pip install -U onnxruntime onnxruntime-ep-later-cu13" in caught.value.cure
    assert "needs ONNX Runtime 1.999" in check_providers().facts["later"]


@pytest.mark.usefixtures("openvino")
def test_a_provider_without_a_device_is_refused(install: Installer, product: Path) -> None:
    install("onnxruntime-ep-empty", 22)
    for _ in range(2):  # a library is registered once
        with pytest.raises(DeviceUnavailableError) as caught:
            OnnxRuntimeEngine(product, "empty")
        assert "none on this machine" in caught.value.found
    facts = check_providers().facts
    assert "no device on this machine" in facts["empty"]
    assert OPENVINO in facts


@pytest.mark.usefixtures("openvino")
def test_float32_stays_float32(product: Path) -> None:
    x = np.random.default_rng(1).standard_normal((5, 64)).astype(np.float32)
    there, here = (OnnxRuntimeEngine(product, device) for device in (OPENVINO, "cpu"))
    np.testing.assert_allclose(there.infer({"x": x})["y"], here.infer({"x": x})["y"], atol=1e-4)


@pytest.mark.usefixtures("openvino")
def test_an_operator_that_would_run_elsewhere_is_seen(tmp_path: Path) -> None:
    node = helper.make_node("Binarizer", ["x"], ["y"], domain="ai.onnx.ml", threshold=0.5)
    graph = write(tmp_path / "b.onnx", [node], {}, [1, 4], [1, 4], domains={"ai.onnx.ml": 1})
    OnnxRuntimeEngine(graph, "cpu").close()
    with pytest.raises(EngineLoadError, match="1 Binarizer by CPUExecutionProvider"):
        OnnxRuntimeEngine(graph, OPENVINO)


@pytest.mark.usefixtures("openvino")
def test_a_binding_sees_what_changes_and_what_the_run_before_wrote(tmp_path: Path) -> None:
    node = helper.make_node("Add", ["x", "one"], ["y"])
    graph = write(tmp_path / "a.onnx", [node], {"one": np.ones(1, np.float32)}, [2], [2])
    state, total = np.array([3, 4], np.float32), np.zeros(2, np.float32)
    engine = OnnxRuntimeEngine(graph, OPENVINO)
    counting = engine.bind({"x": state}, {"y": state})
    for _ in range(3):
        counting.run({})
    binding = engine.bind({"x": state}, {"y": total})
    changing = np.array([7, 8], np.float32)
    binding.run({"x": changing})
    np.testing.assert_array_equal(total, [8, 9])
    changing += 10
    binding.run({"x": changing})
    np.testing.assert_array_equal(total, [18, 19])


@pytest.mark.usefixtures("openvino")
def test_a_device_that_is_lost_is_not_replaced(product: Path) -> None:
    engine = OnnxRuntimeEngine(product, OPENVINO)
    inner = engine._session._sess

    class Lost:
        def __getattr__(self, name: str) -> object:
            return getattr(inner, name)

        def run(self, *_: object) -> None:
            raise EPFail("the device was removed")

    engine._session._sess = Lost()
    with pytest.raises(EngineRunError, match="the device was removed"):
        engine.infer({"x": np.zeros((1, 64), np.float32)})


class Wrong(Engine):
    """An engine that answers otherwise where there are two rows, as kernels for other shapes do."""

    def __init__(self, engine: Engine, rows: int) -> None:
        self.engine, self.rows, self.closed = engine, rows, False

    def infer(self, inputs: Tensors, cancellation: Cancellation | None = None) -> Tensors:
        made = self.engine.infer(inputs, cancellation)
        rows = next(iter(made.values())).shape[0]
        return {n: np.asarray(t) + np.float32(rows == self.rows) for n, t in made.items()}

    def bind(self, inputs: Tensors, outputs: Arrays) -> Binding:
        return self.engine.bind(inputs, outputs)

    def close(self) -> None:
        self.closed = True
        self.engine.close()


@pytest.mark.parametrize(
    ("stage", "rows"),
    [("forgery_prompter", 1), *((stage, 2) for stage in (*MODEL_STAGES,)[:-1])],
)
def test_a_provider_that_answers_differently_is_refused_with_the_difference(
    monkeypatch: pytest.MonkeyPatch, stage: str, rows: int
) -> None:
    bundle = open_bundle(None)
    loaded = load_engines(bundle, "cpu", 0)
    wrong = Wrong(loaded.engines[stage], rows)
    engines = {**loaded.engines, stage: wrong}
    monkeypatch.setattr(
        acceptance, "load_engines", lambda *_: replace(loaded, device=OPENVINO, engines=engines)
    )
    with pytest.raises(EngineAnswerError) as caught:
        load_accepted(bundle, OPENVINO, 0)
    assert caught.value.found.startswith(f"{stage} {bundle.manifest.stages[stage].outputs[0]}")
    assert (" x2 " in caught.value.found) == (rows == 2)
    assert wrong.closed


@pytest.fixture
def compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Return what loads a copy of nano "on OpenVINO" and says how often it was compared so far.

    Its engines are the CPU's: what is asked here is when they are compared, not what they answer.
    """
    bundle = open_bundle(shutil.copytree(NANO, tmp_path / "nano.bundle"))
    loaded = load_engines(bundle, "cpu", 1)
    times: list[Bundle] = []

    def compare(bundle: Bundle, loaded: LoadedEngines) -> list[Difference]:
        times.append(bundle)
        return [Difference("vision_encoder image_embeds", 0.0 if loaded.runtime else 1.0, 1e-3)]

    monkeypatch.setattr(acceptance, "compare_with_cpu", compare)

    def load(threads: int = 1, **changed: str) -> int:
        facts = {"runtime": "onnxruntime 1, openvino 1 on a CPU", "device": OPENVINO} | changed
        there = replace(loaded, runtime=facts["runtime"], device=facts["device"])
        monkeypatch.setattr(acceptance, "load_engines", lambda *_: there)
        sha256 = facts.get("sha256", bundle.sha256)
        load_accepted(replace(bundle, sha256=sha256), OPENVINO, threads)
        return len(times)

    yield load
    for engine in loaded.engines.values():
        engine.close()


def test_what_was_accepted_is_compared_again_only_when_something_changed(
    compared: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [compared(), compared()] == [1, 1]
    assert [compared(runtime="onnxruntime 2, openvino 1 on a CPU"), compared()] == [2, 2]
    assert compared(device="openvino:cpu:1") == 3
    assert compared(sha256="b" * 64) == 4
    assert compared(threads=2) == 5
    monkeypatch.setattr(acceptance, "drivers", lambda: ("Linux 9", "/usr/lib/libze.so 1 2"))
    assert [compared(), compared()] == [6, 6]
    monkeypatch.setattr(acceptance, "drivers", lambda: None)
    assert [compared(), compared()] == [7, 8]


def test_what_was_refused_is_refused_again(compared: Callable[..., int], tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(EngineAnswerError):
            compared(runtime="")
    assert not (tmp_path / "nano.bundle.engines").exists()


def test_a_note_that_others_could_write_or_that_is_damaged_does_not_count(
    compared: Callable[..., int], tmp_path: Path
) -> None:
    folder = tmp_path / "nano.bundle.engines"
    assert compared() == 1
    folder.chmod(0o770)
    assert [compared(), compared()] == [2, 3]
    folder.chmod(0o700)
    assert compared() == 3
    (note,) = folder.iterdir()
    note.write_bytes(note.read_bytes().replace(b"openvino 1", b"openvino 2"))
    assert [compared(), compared()] == [4, 4]
    assert EngineCache(folder).clear() > 0
    assert [folder.exists(), compared()] == [False, 5]


class WrongBeside(Wrong):
    """A decoder that is right about one face and wrong about the second of two."""

    def bind(self, inputs: Tensors, outputs: Arrays) -> Binding:
        binding, mask = self.engine.bind(inputs, outputs), inputs["source_mask"]

        class Beside(Binding):
            def run(self, changed: Arrays) -> None:
                binding.run(changed)
                outputs["logits"][mask.shape[0] - 1 :] += np.float32(mask.shape[0] - 1)

        return Beside()


def test_a_provider_that_writes_otherwise_about_several_faces_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = open_bundle(None)
    loaded = load_engines(bundle, "cpu", 0)
    wrong = WrongBeside(loaded.engines["language_decoder"], rows=0)
    engines = {**loaded.engines, "language_decoder": wrong}
    monkeypatch.setattr(
        acceptance, "load_engines", lambda *_: replace(loaded, device=OPENVINO, engines=engines)
    )
    with pytest.raises(EngineAnswerError) as caught:
        load_accepted(bundle, OPENVINO, 0)
    assert caught.value.found.startswith("language_decoder logits of two faces")
    assert "," not in caught.value.found


@pytest.mark.usefixtures("openvino")
def test_openvino_answers_nano_as_the_cpu_does() -> None:
    picture = Path(__file__).parents[2] / "examples" / "pictures" / "portrait_forged.jpg"
    short = Language(max_new_tokens=8, beams=2)
    with (
        Analyzer(device="openvino", threads=1, language=short) as there,
        Analyzer(device="cpu", threads=1, language=short) as here,
    ):
        found, expected = there.analyze(picture), here.analyze(picture)
    assert found.report == expected.report
    assert found.score == pytest.approx(expected.score, abs=1e-4)
    np.testing.assert_allclose(found.heatmap, expected.heatmap, atol=1e-3)
    assert found.provenance.device == OPENVINO
    assert "onnxruntime-ep-openvino" in found.provenance.runtime
