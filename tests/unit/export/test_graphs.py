"""The exported graphs: names, opset, axes that vary, and weights beside the graph."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from ft_export.graph import files as graph_files
from ft_export.graph.export import dynamic_axes, export_graph
from ft_export.model.layers import Stage
from ftsdk.analyzer import Analyzer
from ftsdk.bundle import open_bundle
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine
from ftsdk.errors import BundlePathError
from ftsdk.manifest import Manifest

STAGES = ("vision_encoder", "forgery_prompter", "mask_decoder",
          "qformer", "language_encoder", "language_decoder")  # fmt: skip


@pytest.fixture(scope="module")
def manifest(mini_bundle: Path) -> Manifest:
    return open_bundle(mini_bundle).manifest


def load(bundle: Path, stage: str) -> Any:
    return onnx.load(bundle / f"graphs/{stage}.onnx", load_external_data=False)


def shapes(values: Any) -> dict[str, list[int | str]]:
    return {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in values
    }


@pytest.mark.parametrize("stage", STAGES)
def test_a_graph_has_the_manifest_s_names(
    mini_bundle: Path, manifest: Manifest, stage: str
) -> None:
    model, entry = load(mini_bundle, stage), manifest.stages[stage]
    onnx.checker.check_model(model)
    assert tuple(value.name for value in model.graph.input) == entry.inputs
    assert tuple(value.name for value in model.graph.output) == entry.outputs
    (opset,) = (entry.version for entry in model.opset_import if entry.domain == "")
    assert opset >= 18


@pytest.mark.parametrize("stage", STAGES[:5])
def test_the_batch_is_dynamic(mini_bundle: Path, stage: str) -> None:
    graph = load(mini_bundle, stage).graph
    for name, shape in (shapes(graph.input) | shapes(graph.output)).items():
        assert shape[0] == "batch", name


def test_the_axes_are_called_by_what_they_count(mini_bundle: Path) -> None:
    graph = load(mini_bundle, "language_decoder").graph
    found = shapes(graph.input) | shapes(graph.output)
    assert found["inputs_embeds"] == ["beams", 1, 56]
    assert found["slot_mapping"] == ["beams"]
    assert found["cache_indirection"] == ["beams", "length"]
    assert found["past_key_values.0.decoder.key"] == ["slots", 36]
    assert found["past_key_values.1.encoder.key"] == [1, 3, 12, "source"]
    assert found["past_key_values.1.encoder.value"] == [1, 3, "source", 12]
    assert found["logits"] == ["beams", 240]
    assert found["present.1.decoder.value"] == ["slots", 36]
    assert shapes(load(mini_bundle, "qformer").graph.input)["qformer_ids"] == ["batch", "text"]


@pytest.mark.parametrize("stage", STAGES[:5])
def test_a_batch_is_its_pictures_one_by_one(
    mini: Analyzer, mini_bundle: Path, manifest: Manifest, face: Path, stage: str
) -> None:
    trace = mini.trace(face, ["nose"])
    engine = OnnxRuntimeEngine(mini_bundle / f"graphs/{stage}.onnx", threads=1)
    first = {name: trace[name] for name in manifest.stages[stage].inputs}
    second = {
        name: np.roll(value, 1, axis=-1) if value.dtype.kind == "i" else value * np.float32(0.7)
        for name, value in first.items()
    }
    both = engine.infer({k: np.concatenate((first[k], second[k], first[k])) for k in first})
    for row, inputs in enumerate((first, second, first)):
        for name, expected in engine.infer(inputs).items():
            np.testing.assert_allclose(both[name][row], expected[0], rtol=1e-4, atol=1e-4)


class Doubling(Stage):
    """A stage small enough to export in a test."""

    inputs = ("pixel_values",)
    outputs = ("image_embeds",)

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((3, 40), 2.0))

    def forward(self, pixel_values: Tensor) -> tuple[Tensor]:
        return (pixel_values * self.weight,)


@pytest.mark.parametrize("beside", [False, True])
def test_large_weights_lie_beside_their_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: bool
) -> None:
    if beside:
        monkeypatch.setattr(graph_files, "INLINE_BYTES", 100)
    path = tmp_path / "doubling.onnx"
    example: Mapping[str, Tensor] = {"pixel_values": torch.zeros(2, 3, 40)}
    export_graph(Doubling(), example, dynamic_axes(["pixel_values"]), path)
    assert [*tmp_path.glob("*.data")] == ([tmp_path / "doubling.onnx.data"] if beside else [])
    outputs = OnnxRuntimeEngine(path).infer({"pixel_values": np.ones((5, 3, 40), np.float32)})
    np.testing.assert_array_equal(outputs["image_embeds"], np.full((5, 3, 40), 2, np.float32))


def test_a_graph_reads_its_weights_also_where_another_bundle_shares_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_files, "INLINE_BYTES", 100)
    path, copy = tmp_path / "doubling.onnx", tmp_path / "copy.onnx"
    example: Mapping[str, Tensor] = {"pixel_values": torch.zeros(2, 3, 40)}
    export_graph(Doubling(), example, dynamic_axes(["pixel_values"]), path)
    (tmp_path / "linked").hardlink_to(graph_files.data_file(path))
    graph_files.save_graph(graph_files.load_graph(path), copy)
    ones = {"pixel_values": np.ones((1, 3, 40), np.float32)}
    assert OnnxRuntimeEngine(copy).infer(ones)["image_embeds"].max() == 2
    path.rename(tmp_path / "moved.onnx")
    with pytest.raises(BundlePathError, match=r"moved\.onnx\.data"):
        graph_files.load_graph(tmp_path / "moved.onnx")


def test_a_weight_in_a_file_is_in_memory_only_while_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_files, "INLINE_BYTES", 100)
    path = tmp_path / "doubling.onnx"
    example: Mapping[str, Tensor] = {"pixel_values": torch.zeros(2, 3, 40)}
    export_graph(Doubling(), example, dynamic_axes(["pixel_values"]), path)
    model = graph_files.load_graph(path)
    weights = [value.const_value for value in model.graph.initializers.values()]
    read = [weight.numpy() for weight in weights if weight is not None]
    assert any((values == 2).all() for values in read)
    assert str(graph_files.data_file(path)) in Path("/proc/self/maps").read_text()
    del read
    assert str(graph_files.data_file(path)) not in Path("/proc/self/maps").read_text()


def test_a_graph_that_became_small_takes_its_weights_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = {"pixel_values": torch.zeros(2, 3, 40)}
    with monkeypatch.context() as large:
        large.setattr(graph_files, "INLINE_BYTES", 100)
        export_graph(
            Doubling(), example, dynamic_axes(["pixel_values"]), path := tmp_path / "a.onnx"
        )
    graph_files.save_graph(graph_files.load_graph(path), small := tmp_path / "b.onnx")
    graph_files.remove_graph(path)
    outputs = OnnxRuntimeEngine(small).infer({"pixel_values": np.ones((5, 3, 40), np.float32)})
    np.testing.assert_array_equal(outputs["image_embeds"], np.full((5, 3, 40), 2, np.float32))


def test_an_exported_module_leaves_no_weight_in_memory(tmp_path: Path) -> None:
    module = Doubling()
    weight = weakref.ref(module.weight)
    example = {"pixel_values": torch.zeros(2, 3, 40)}
    export_graph(module, example, dynamic_axes(["pixel_values"]), tmp_path / "doubling.onnx")
    del module
    gc.collect()
    assert weight() is None


def test_no_path_of_this_machine_is_in_a_graph(tmp_path: Path) -> None:
    path = tmp_path / "doubling.onnx"
    example = {"pixel_values": torch.zeros(2, 3, 40)}
    export_graph(Doubling(), example, dynamic_axes(["pixel_values"]), path)
    assert str(Path(__file__).parent).encode() not in path.read_bytes()
    assert b".py" not in path.read_bytes()


class Squashed(Stage):
    inputs, outputs = ("x",), ("y",)

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.softsign(2 * x)


def test_softsign_is_one_operator(tmp_path: Path) -> None:
    x = torch.linspace(-9, 9, 8).reshape(2, 4)
    export_graph(Squashed(), {"x": x}, dynamic_axes(["x"]), tmp_path / "g.onnx")
    graph = onnx.load(tmp_path / "g.onnx").graph
    assert [node.op_type for node in graph.node] == ["Mul", "Softsign"]
    assert len(graph.initializer) == 1
    found = OnnxRuntimeEngine(tmp_path / "g.onnx").infer({"x": x.numpy()})["y"]
    np.testing.assert_allclose(found, 2 * x / (1 + 2 * x.abs()), rtol=1e-6)
