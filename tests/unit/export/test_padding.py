"""Convolutions whose channels are filled up to a multiple of four compute the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn

from ft_export.graph.export import dynamic_axes, export_graph
from ft_export.model.layers import Stage
from ft_export.model.nano import NanoMaskDecoder
from ft_export.precision.float16 import to_float16
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine


class Convolution(Stage):
    """One convolution of `pixel_values` [B, channels, 8, 8]."""

    inputs, outputs = ("pixel_values",), ("image_embeds",)

    def __init__(self, channels: int, groups: int = 1) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels, 8 * groups, 3, padding=1, groups=groups)

    def forward(self, pixel_values: Tensor) -> Tensor:
        made: Tensor = self.layer(pixel_values)
        return made


def widths(path: Path) -> list[int]:
    """Return how many input channels each weight of a graph's convolutions has."""
    graph = onnx.load(path).graph
    sizes = {weight.name: weight.dims[1] for weight in graph.initializer if len(weight.dims) > 1}
    return [sizes[node.input[1]] for node in graph.node if node.op_type == "Conv"]


@pytest.mark.parametrize(
    ("channels", "groups", "width"),
    [(63, 1, 64), (66, 1, 68), (64, 1, 64), (3, 1, 3), (70, 2, 35)],
)
def test_many_channels_come_in_fours(
    tmp_path: Path, channels: int, groups: int, width: int
) -> None:
    module = Convolution(channels, groups).eval()
    x = torch.randn(2, channels, 8, 8)
    path = tmp_path / "convolution.onnx"
    export_graph(module, {"pixel_values": x}, dynamic_axes(module.inputs), path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    assert widths(path) == [width]
    for count in (1, 2):
        found = OnnxRuntimeEngine(path).infer({"pixel_values": x[:count].numpy()})["image_embeds"]
        with torch.no_grad():
            expected = module(x[:count]).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_filled_up_convolution_becomes_float16_whole(tmp_path: Path) -> None:
    x = torch.randn(2, 66, 8, 8)
    module, path = Convolution(66).eval(), tmp_path / "convolution.onnx"
    export_graph(module, {"pixel_values": x}, dynamic_axes(module.inputs), path)
    model = ir.load(path)
    assert to_float16(model, {}) == []
    ir.save(model, tmp_path / "half.onnx")
    found = OnnxRuntimeEngine(tmp_path / "half.onnx").infer({"pixel_values": x.numpy()})
    with torch.no_grad():
        expected = module(x).numpy()
    np.testing.assert_allclose(found["image_embeds"], expected, atol=1e-2)


def test_nano_s_mask_decoder_has_no_other_width(tmp_path: Path) -> None:
    module = NanoMaskDecoder().eval()
    example = {
        "detail_48": torch.randn(2, 64, 8, 8),
        "detail_96": torch.randn(2, 32, 16, 16),
        "region_maps": torch.randn(2, 11, 8, 8),
        "region_labels": torch.ones(2, 21),
        "score_logits": torch.zeros(2, 1),
    }
    path = tmp_path / "mask_decoder.onnx"
    export_graph(module, example, dynamic_axes(module.inputs), path)
    assert 68 in widths(path)
    assert [width for width in widths(path) if width % 4] == []
    found = OnnxRuntimeEngine(path).infer({name: x.numpy() for name, x in example.items()})
    with torch.no_grad():
        expected = module(*example.values()).numpy()
    np.testing.assert_allclose(found["mask_logits"], expected, atol=1e-4)
