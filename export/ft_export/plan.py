"""What is to be exported: stages that load themselves one at a time, and the manifest's facts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from ft_export.errors import WeightsNotFoundError
from ft_export.model import nano
from ft_export.model.architecture import Architecture, ForgeryTalkerArchitecture, NanoArchitecture
from ft_export.model.language import LanguageDims
from ft_export.model.layers import Stage
from ft_export.weights import language_folder as language
from ft_export.weights import published
from ft_export.weights.reading import parsed
from ft_export.weights.tensors import Checkpoint, load_module, read_tensors
from ft_export.weights.tokenizers import bert_tokenizer, t5_tokenizer
from ftsdk.consistency import FACE_DETECTOR
from ftsdk.imaging.framing import Framing
from ftsdk.imaging.preprocess import CLIP_MEAN, CLIP_STD
from ftsdk.manifest import (
    GenerationEntry,
    PreprocessingEntry,
    PromptEntry,
    ScoreEntry,
    ValidityEntry,
    stage_graph,
)
from ftsdk.strict import read
from ftsdk.trust import NANO

_QUESTION = (
    "The following facial areas may have been modified by AI{}. These areas might have been "
    "manipulated either by replacing the entire face or by altering specific facial features. "
    "Please identify these areas and describe why they appear unnatural."
)
PUBLISHED_PROMPT = PromptEntry(
    with_regions=_QUESTION.format(": {regions}"), without_regions=_QUESTION.format("")
)
_PUBLISHED_LIMITS = (
    "This model was trained on manipulated pictures only: it always looks for manipulation, and "
    "an empty mask does not mean that the picture is untouched.",
    "It was trained on aligned faces; on other framings its answer is less reliable.",
)
_NANO_LIMITS = (
    "nano is a small model and misses many forgeries: treat its answer as a hint, not as proof.",
)

_NANO_LICENCE = (
    "CC BY-NC-SA 4.0; trained on faces of the One Million Impressions dataset (Peterson, "
    "Uddenberg, Griffiths, Todorov and Suchow, PNAS 2022)"
)


@dataclass(frozen=True)
class StagePlan:
    """A stage's name and how its float32 torch module is made."""

    name: str
    load: Callable[[], Stage]


@dataclass(frozen=True)
class ModelPlan:
    """A whole model to export.

    `weights` is the folder that it is read from; `face_detector` the graph that finds faces, which
    is taken as it is; `reports` the file of reports that a lowered
    language model is held against, None where there are none.
    """

    name: str
    weights: Path
    face_detector: Path
    reports: Path | None
    architecture: Architecture
    checkpoint: Checkpoint
    stages: tuple[StagePlan, ...]
    language: LanguageDims
    token_embeddings: Callable[[], Tensor]
    language_tokenizer: Tokenizer
    qformer_tokenizer: Tokenizer | None
    max_text_tokens: int
    region_tokens: int
    framing: Framing
    preprocessing: PreprocessingEntry
    prompt: PromptEntry
    generation: GenerationEntry
    region_threshold: float
    mask_threshold: float
    score: ScoreEntry | None
    validity: ValidityEntry
    limits: tuple[str, ...]
    licence: str


def plan_export(weights: Path, architecture: Architecture, name: str) -> ModelPlan:
    """Open the weights of either family.

    Raises:
        ExportError: a file or tensor is missing or wrong.
    """
    if isinstance(architecture, NanoArchitecture):
        return _plan_nano(weights, architecture, name)
    return _plan_published(weights, architecture, name)


def _plan_published(weights: Path, architecture: ForgeryTalkerArchitecture, name: str) -> ModelPlan:
    checkpoint = published.open_published(weights, architecture)
    folder = language.find_language_folder(weights, architecture.language_model.folder)
    dims = language.read_language_dims(folder)
    loaders: dict[str, Callable[[], Stage]] = {
        "vision_encoder": partial(published.load_vision_encoder, checkpoint, architecture),
        "forgery_prompter": partial(published.load_forgery_prompter, checkpoint, architecture),
        "mask_decoder": partial(
            published.load_mask_decoder, checkpoint, architecture, dims.d_model
        ),
        "qformer": partial(published.load_qformer, checkpoint, architecture),
        **_language_loaders(checkpoint, dims, architecture.qformer.width, several=False),
    }
    return ModelPlan(
        name=name,
        weights=weights,
        face_detector=NANO / stage_graph(FACE_DETECTOR),
        reports=_reports_in(weights),
        architecture=architecture,
        checkpoint=checkpoint,
        stages=tuple(StagePlan(stage, load) for stage, load in loaders.items()),
        language=dims,
        token_embeddings=partial(language.token_embeddings, checkpoint, dims),
        language_tokenizer=t5_tokenizer(folder),
        qformer_tokenizer=bert_tokenizer(weights / "bert-base-uncased"),
        max_text_tokens=architecture.qformer.max_text_tokens,
        region_tokens=architecture.mask_decoder.prompt_tokens,
        framing="picture",
        preprocessing=PreprocessingEntry(
            size=architecture.image_size, mean=CLIP_MEAN, std=CLIP_STD
        ),
        prompt=PUBLISHED_PROMPT,
        generation=GenerationEntry(max_new_tokens=100),
        region_threshold=0.5,
        mask_threshold=0.5,
        score=None,
        validity=ValidityEntry(needs_face=architecture.needs_face),
        limits=_PUBLISHED_LIMITS,
        licence="that of the published weights",
    )


def _language_loaders(
    checkpoint: Checkpoint, dims: LanguageDims, qformer_width: int, several: bool
) -> dict[str, Callable[[], Stage]]:
    return {
        "language_encoder": partial(
            language.load_language_encoder, checkpoint, dims, qformer_width
        ),
        "language_decoder": partial(language.load_language_decoder, checkpoint, dims, several),
    }


def _plan_nano(weights: Path, architecture: NanoArchitecture, name: str) -> ModelPlan:
    tensors, calibration, detector = _nano_files(weights)
    folder = language.find_language_folder(weights, architecture.language_model.folder)
    checkpoint = Checkpoint(read_tensors(tensors) | language.read_language_tensors(folder))
    dims = language.read_language_dims(folder)
    width = checkpoint.tensor("t5_proj.weight").shape[1]
    loaders = _nano_loaders(checkpoint, architecture)
    loaders |= _language_loaders(checkpoint, dims, width, several=True)
    facts = parsed(calibration, "the thresholds of a trained nano", json.loads)
    return ModelPlan(
        name=name,
        weights=weights,
        face_detector=detector,
        reports=_reports_in(weights),
        architecture=architecture,
        checkpoint=checkpoint,
        stages=tuple(StagePlan(stage, load) for stage, load in loaders.items()),
        language=dims,
        token_embeddings=partial(language.token_embeddings, checkpoint, dims),
        language_tokenizer=t5_tokenizer(folder),
        qformer_tokenizer=None,
        max_text_tokens=128,
        region_tokens=len(architecture.labels),
        framing="face",
        preprocessing=PreprocessingEntry(
            size=architecture.image_size, mean=CLIP_MEAN, std=CLIP_STD
        ),
        prompt=PromptEntry(**architecture.prompt.model_dump()),
        generation=GenerationEntry(max_new_tokens=60, repetition_penalty=1.0),
        region_threshold=facts["region_threshold"],
        mask_threshold=facts["mask_threshold"],
        score=_score_entry(facts["score"]),
        validity=read(ValidityEntry, facts["validity"]),
        limits=_NANO_LIMITS,
        licence=_NANO_LICENCE,
    )


def _nano_files(weights: Path) -> tuple[Path, Path, Path]:
    """Return where the tensors, the calibration and the face detector are."""
    names = "nano.safetensors", "calibration.json", f"{FACE_DETECTOR}.onnx"
    for name in names:
        if not (weights / name).exists():
            raise WeightsNotFoundError(
                f"{weights} is no folder of nano weights",
                expected=name,
                found="no such file",
                cure="pass the folder that `python -m ft_training.train` wrote",
            )
    tensors, calibration, detector = (weights / name for name in names)
    return tensors, calibration, detector


def _nano_loaders(
    checkpoint: Checkpoint, architecture: NanoArchitecture
) -> dict[str, Callable[[], Stage]]:
    builders: dict[str, Callable[[], Stage]] = {
        "vision_encoder": partial(nano.NanoVisionEncoder, **architecture.vision_encoder),
        "forgery_prompter": partial(nano.NanoForgeryPrompter, **architecture.forgery_prompter),
        "mask_decoder": partial(nano.NanoMaskDecoder, **architecture.mask_decoder),
        "qformer": partial(nano.NanoQFormer, **architecture.qformer),
    }
    return {
        stage: partial(_load_nano, stage, build, checkpoint) for stage, build in builders.items()
    }


def _reports_in(weights: Path) -> Path | None:
    path = weights / "reports.npz"
    return path if path.is_file() else None


def _load_nano(stage: str, build: Callable[[], Stage], checkpoint: Checkpoint) -> Stage:
    with torch.random.fork_rng():
        module = build()
    return load_module(module, checkpoint, lambda name: f"{stage}.{name}")


def _score_entry(facts: dict[str, object]) -> ScoreEntry:
    points = dict(facts["operating_points"])  # type: ignore[call-overload]
    default = points.pop("default")
    name = next(name for name, value in points.items() if value == default)
    entry = {**facts, "operating_points": points, "default": name}
    return read(ScoreEntry, entry)
