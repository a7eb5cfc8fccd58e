"""The weights themselves in PyTorch eager, for `ft-bench --against torch`."""

from __future__ import annotations

from pathlib import Path

import torch

from ft_export.architecture import load_architecture
from ft_export.plan import plan_export
from ft_export.torch_engine import TorchEngine
from ftsdk.bench.run import Rival
from ftsdk.engines.contract import Engine

_LANGUAGE = ("language_encoder", "language_decoder")


def torch_rival(weights: Path, architecture: str, language_dtype: str) -> Rival:
    """Return the stages as torch modules: float32, the language model in `language_dtype`.

    Raises:
        ExportError: a file or tensor is missing or wrong.
    """
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[language_dtype]

    def load() -> dict[str, Engine]:
        plan = plan_export(weights, load_architecture(architecture), "reference")
        return {
            stage.name: TorchEngine(
                stage.load(), dtype if stage.name in _LANGUAGE else torch.float32
            )
            for stage in plan.stages
        }

    name = f"torch {torch.__version__} eager, {torch.get_num_threads()} threads, float32"
    mixed = f", language model {language_dtype}" if dtype != torch.float32 else ""
    return name + mixed, load
