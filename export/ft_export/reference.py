"""The weights themselves in PyTorch eager, for `ft-bench --against torch` and `transformers`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor
from transformers import T5Config, T5ForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from ft_export.model.architecture import architecture_of
from ft_export.model.language import LanguageDims
from ft_export.model.layers import Stage
from ft_export.model.torch_engine import TorchEngine
from ft_export.plan import ModelPlan, plan_export
from ft_export.weights.language_folder import PREFIX, config_of, decoder_name, encoder_name
from ftsdk.analyzer import Analyzer
from ftsdk.bench.run import Rival
from ftsdk.engines.contract import Tensors
from ftsdk.language.generate import Chosen, chosen
from ftsdk.language.options import Language

_LANGUAGE = ("language_encoder", "language_decoder")


def torch_rival(weights: Path, architecture: str | None, language_dtype: str) -> Rival:
    """Return the stages as torch modules: float32, the language model in `language_dtype`.

    The decoder runs step by step in ftsdk's own loop.

    Raises:
        ExportError: a file or tensor is missing or wrong.
    """
    plan = plan_export(weights, architecture_of(weights, architecture), "reference")
    return Rival(_name("eager", language_dtype), partial(_prepare, plan, _dtype(language_dtype)))


def transformers_rival(weights: Path, architecture: str | None, language_dtype: str) -> Rival:
    """Return the stages as torch modules, with Transformers' `generate` writing the text.

    Raises:
        ExportError: a file or tensor is missing or wrong.
    """
    described, dtype = architecture_of(weights, architecture), language_dtype
    plan = plan_export(weights, described, "reference")

    def prepare(analyzer: Analyzer) -> None:
        modules = _prepare(plan, _dtype(dtype), analyzer)
        table = plan.token_embeddings().to(_dtype(dtype))
        model = transformers_model(plan.language, table, *(modules[stage] for stage in _LANGUAGE))
        analyzer.chain.writer = TransformersWriter(model)

    return Rival(_name(f"eager, Transformers {transformers.__version__}", dtype), prepare)


class WholeReports(ABC):
    """A writer that takes one face after the other, and gives all tokens of a report at once."""

    def __call__(
        self, faces: Sequence[Tensors], language: Language, check: Callable[[], None]
    ) -> Iterator[list[Chosen]]:
        for index, face in enumerate(faces):
            check()
            yield chosen(index, self.write(face, language), ended=True)

    @abstractmethod
    def write(self, tensors: Tensors, language: Language) -> list[int]:
        """Return the ids of a face's report without the start token."""


class TransformersWriter(WholeReports):
    """A report by `generate`; its tokens come all at once."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def write(self, tensors: Tensors, language: Language) -> list[int]:
        encoded = torch.from_numpy(np.asarray(tensors["encoder_output"])).to(self._model.dtype)
        with torch.inference_mode():
            ids = self._model.generate(
                encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
                do_sample=False,
                decoder_start_token_id=0,
                num_beams=language.beams,
                max_new_tokens=language.max_new_tokens,
                min_length=language.min_length,
                repetition_penalty=language.repetition_penalty,
                length_penalty=language.length_penalty,
            )
        written: list[int] = ids[0, 1:].tolist()
        return written


def transformers_model(
    dims: LanguageDims, table: Tensor, encoder: Stage, decoder: Stage
) -> T5ForConditionalGeneration:
    """Return Transformers' T5 over the tensors of two stages, which are shared, without an encoder.

    Args:
        dims: the language model's dimensions.
        table: token embeddings [vocabulary, d_model].
        encoder: the language encoder stage, which holds the decoder's cross-attention keys.
        decoder: the language decoder stage.
    """
    state: dict[str, Tensor] = {}
    for stage, published in ((encoder, encoder_name), (decoder, decoder_name)):
        for name, tensor in stage.named_parameters():
            state[published(name).removeprefix(PREFIX)] = tensor
    state |= dict.fromkeys(("shared.weight", "decoder.embed_tokens.weight"), table)
    with torch.device("meta"):
        model = T5ForConditionalGeneration(T5Config(**config_of(dims)))
    model.load_state_dict(state, strict=False, assign=True)
    return model.eval()


def _prepare(plan: ModelPlan, dtype: torch.dtype, analyzer: Analyzer) -> dict[str, Stage]:
    """Put torch modules in the place of the analyzer's engines, and return them."""
    for stage in plan.stages:
        analyzer.stages[stage.name].close()
    engines = {
        stage.name: TorchEngine(stage.load(), dtype if stage.name in _LANGUAGE else torch.float32)
        for stage in plan.stages
    }
    analyzer.stages.replace(lambda stage, engine: engines.get(stage, engine))
    return {name: engine.module for name, engine in engines.items()}


def _dtype(name: str) -> torch.dtype:
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def _name(how: str, language_dtype: str) -> str:
    name = f"torch {torch.__version__} {how}, {torch.get_num_threads()} threads, float32"
    mixed = f", language model {language_dtype}" if language_dtype != "float32" else ""
    return name + mixed
