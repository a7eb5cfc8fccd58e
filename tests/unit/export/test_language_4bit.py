"""A graph's matrices in fewer bits."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from ft_export.graph.export import dynamic_axes, export_graph
from ft_export.model.language import LanguageDecoder, LanguageDims
from ft_export.model.layers import Stage
from ft_export.precision.activations import ROWS_A_CALL, Activations, Observations, observed
from ft_export.precision.language import LanguagePrecision, lower_language, products
from ftsdk.errors import OptionError


class Products(Stage):
    """A bridge with a bias, and two products, one of them with large inputs."""

    inputs, outputs = ("x",), ("y",)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.t5_proj = nn.Linear(48, 64)
        self.first = nn.Linear(64, 128, bias=False)
        self.second = nn.Linear(128, 32, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(torch.relu(self.first(self.t5_proj(x))))
        return y


def written(
    path: Path, precision: LanguagePrecision, seen: Observations | None = None
) -> tuple[onnx.ModelProto, np.ndarray, np.ndarray]:
    """Return the graph, what it yields, and what float32 does."""
    module = Products().eval()
    x = torch.randn(2, 3, 48, generator=torch.Generator().manual_seed(5))
    modules = []

    def rewrite(model: object) -> None:
        modules.extend(product.module for product in products(model))  # type: ignore[arg-type]
        lower_language(model, precision, seen)  # type: ignore[arg-type]

    export_graph(module, {"x": x}, {"x": {0: "batch"}}, path, rewrite)
    assert modules == ["first", "second"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        return onnx.load(path), session.run(None, {"x": x.numpy()})[0], module(x).numpy()


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_int4_is_symmetric_and_in_blocks(tmp_path: Path) -> None:
    model, found, wanted = written(tmp_path / "a.onnx", LanguagePrecision("int4", 32))
    assert 0.001 < relative(found, wanted) < 0.2
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert kinds["first.weight_codes"] == onnx.TensorProto.INT4
    assert kinds["first.weight_scales"] == onnx.TensorProto.FLOAT


def test_every_product_of_a_decoder_step_runs_in_four_bits(tmp_path: Path) -> None:
    dims = LanguageDims(64, 16, 96, 4, 1, 2, 96, 32, 128, 1e-6)
    decoder = LanguageDecoder(dims).eval()
    beams, slots, source = 3, 15, 7
    example = {
        name: torch.zeros(slots, dims.inner)
        if ".decoder." in name
        else torch.zeros((1, 4, 16, source) if name.endswith("key") else (1, 4, source, 16))
        for name in decoder.inputs[3:]
    }
    example |= {
        "inputs_embeds": torch.zeros(beams, 1, 64),
        "slot_mapping": torch.arange(beams),
        "cache_indirection": torch.zeros(beams, 5, dtype=torch.int64),
    }
    path, optimized = tmp_path / "a.onnx", tmp_path / "optimized.onnx"
    rewrite = partial(lower_language, chosen=LanguagePrecision("int4", 32))
    export_graph(decoder, example, dynamic_axes(decoder.inputs), path, rewrite)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(optimized)
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    fused = operators(onnx.load(optimized))
    # Per layer: q, k, v, o, cross q and o, and three of the feed-forward; then lm_head.
    assert fused.count("MatMulNBits") == 2 * 9 + 1
    assert "DequantizeLinear" not in fused


def test_the_float_matrices_are_gone(tmp_path: Path) -> None:
    model, _, _ = written(tmp_path / "a.onnx", LanguagePrecision("int4", 32))
    floats = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    assert sorted(list(t.dims) for t in floats if len(t.dims) == 2) == [[2, 128], [4, 32], [48, 64]]


def test_float16_keeps_the_products_that_would_overflow(tmp_path: Path) -> None:
    seen = Observations({"first": Activations(peak=12.0), "second": Activations(peak=5e3)})
    model, found, wanted = written(tmp_path / "a.onnx", LanguagePrecision("float16"), seen)
    halves = [t.name for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT16]
    assert halves == ["first.weight_float16"]
    assert relative(found, wanted) < 1e-3


def test_nf4_is_what_bitsandbytes_makes_of_it(tmp_path: Path) -> None:
    functional = pytest.importorskip("bitsandbytes.functional")
    model, found, wanted = written(tmp_path / "a.onnx", LanguagePrecision("nf4"))
    assert operators(model).count("MatMulBnb4") == 2
    assert 0.001 < relative(found, wanted) < 0.2
    module = Products().eval()
    for layer in (module.first, module.second):
        codes, state = functional.quantize_4bit(
            layer.weight.data.contiguous(), blocksize=64, quant_type="nf4"
        )
        layer.weight.data = functional.dequantize_4bit(codes, state)
    x = torch.randn(2, 3, 48, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        assert relative(found, module(x).numpy()) < 1e-5


def test_a_block_size_that_does_not_fit_names_the_matrix(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"first\.weight"):
        written(tmp_path / "a.onnx", LanguagePrecision("int4", 48))


class Shared(nn.Module):
    """Three layers of one tensor, as q, k and v are, and one of another tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(8, 4) for _ in range(3))
        self.o = nn.Linear(4, 8)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.o(self.q(x) + self.k(x) * self.v(x))
        return y


def test_what_went_in_is_kept_until_it_is_wanted(tmp_path: Path) -> None:
    module, x = Shared(), torch.randn(4, 3, 8)
    with observed(module, tmp_path) as seen, torch.inference_mode():
        for part in x.split(1):
            module(part)
    rows = seen.layers["q"].rows
    assert rows is not None
    assert rows.count == 12
    wanted = x.reshape(-1, 8).T @ x.reshape(-1, 8) / 12
    torch.testing.assert_close(rows.moments(), wanted, rtol=2e-2, atol=2e-2)
    assert rows is seen.layers["k"].rows is seen.layers["v"].rows
    assert seen.layers["o"].rows is not rows
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.rows", "q.rows"]
    assert seen.peak("q") >= float(x.abs().max())
    assert seen.curvature("q") is seen.curvature("k")
    assert seen.curvature("never seen") is None
    assert seen.peak("never seen") == 0.0


def test_a_long_input_is_kept_in_part_and_a_magnitude_needs_no_file(tmp_path: Path) -> None:
    module, x = Shared(), torch.randn(1, 5 * ROWS_A_CALL + 3, 8)
    with observed(module, tmp_path) as seen, torch.inference_mode():
        module(x)
    rows = seen.layers["q"].rows
    assert rows is not None
    assert rows.count == ROWS_A_CALL
    with observed(module) as seen, torch.inference_mode():
        module(x)
    assert seen.layers["q"].rows is None
    assert seen.peak("q") >= float(x.abs().max())


def test_gptq_errs_less_on_what_went_in(tmp_path: Path) -> None:
    module = Products().eval()
    generator = torch.Generator().manual_seed(7)
    mixed = torch.randn(48, 48, generator=generator) / 7
    with observed(module, tmp_path) as seen, torch.inference_mode():
        module(torch.randn(20, 40, 48, generator=generator) @ mixed)
        x = torch.randn(2, 30, 48, generator=generator) @ mixed
        wanted = module(x).numpy()
    errors = {}
    for rounding in ("clipped", "gptq"):
        path = tmp_path / f"{rounding}.onnx"
        chosen = LanguagePrecision("int4", 32, rounding)  # type: ignore[arg-type]
        rewrite = partial(lower_language, chosen=chosen, observations=seen)
        export_graph(module, {"x": x}, {"x": {0: "batch", 1: "rows"}}, path, rewrite)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        errors[rounding] = relative(session.run(None, {"x": x.numpy()})[0], wanted)
    assert errors["gptq"] < 0.9 * errors["clipped"]
