"""Dimensions of a model: known by name (`xl`, `base`) or read from a JSON file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from ft_export.errors import ArchitectureError
from ftsdk.regions import LABELS
from ftsdk.text import problems


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _require_divisor(name: str, divisor: int, whole: int) -> None:
    """Raise ValueError unless `whole` is a multiple of `divisor`."""
    if whole % divisor:
        raise ValueError(f"{name} {divisor} does not divide {whole}")


def _distinct(labels: tuple[str, ...]) -> tuple[str, ...]:
    if not labels or len(set(labels)) < len(labels):
        raise ValueError("labels are missing or named twice")
    return labels


Labels = Annotated[tuple[str, ...], AfterValidator(_distinct)]


class _Transformer(_Strict):
    width: PositiveInt
    depth: PositiveInt
    heads: PositiveInt
    mlp_hidden: PositiveInt

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> _Transformer:
        _require_divisor("heads", self.heads, self.width)
        return self


class VisionTransformer(_Transformer):
    """A pre-norm vision transformer: EVA ViT-g/14 or the prompter's ViT-H/14."""

    patch_size: PositiveInt = 14
    layer_norm_eps: PositiveFloat = 1e-6


class QFormer(_Transformer):
    """The Q-Former: BERT with learned queries and cross-attention every n-th layer."""

    queries: PositiveInt = 32
    cross_attention_every: PositiveInt = 2
    layer_norm_eps: PositiveFloat = 1e-12
    max_text_tokens: PositiveInt = 128


class MaskDecoder(_Strict):
    """The two-way transformer of the mask."""

    depth: PositiveInt = 2
    heads: PositiveInt = 8
    mlp_hidden: PositiveInt = 2048
    prompt_tokens: PositiveInt = 21
    prompt_cross_attention_heads: PositiveInt = 8
    cross_attention_downsample: PositiveInt = 2


class LanguageFolder(_Strict):
    """Where the T5 lies inside the weights folder; its own config.json has the dimensions."""

    folder: str | None = None
    dense_act_fn: Literal["gelu"] = "gelu"


class ForgeryTalkerArchitecture(_Strict):
    """Every dimension of a published ForgeryTalker that its files do not name.

    `needs_face` says that pictures without a face are beyond it.
    """

    family: Literal["forgerytalker"] = "forgerytalker"
    image_size: PositiveInt = 224
    mask_size: PositiveInt = 224
    labels: Labels = LABELS
    vision_encoder: VisionTransformer
    forgery_prompter: VisionTransformer
    qformer: QFormer
    mask_decoder: MaskDecoder = MaskDecoder()
    language_model: LanguageFolder = LanguageFolder()
    needs_face: bool = False

    @model_validator(mode="after")
    def _mask_decoder_fits_the_vision_encoder(self) -> ForgeryTalkerArchitecture:
        width, dims = self.vision_encoder.width, self.mask_decoder
        across = dims.prompt_cross_attention_heads
        _require_divisor("mask_decoder.prompt_cross_attention_heads", across, width)
        inner = width // dims.cross_attention_downsample
        _require_divisor("mask_decoder.heads", dims.heads, inner)
        return self

    @model_validator(mode="after")
    def _patches_fit_the_picture(self) -> ForgeryTalkerArchitecture:
        for name, dims in (("vision", self.vision_encoder), ("prompter", self.forgery_prompter)):
            if dims.patch_size > self.image_size:
                raise ValueError(f"the {name}'s patch_size is larger than image_size")
        return self


class Prompt(_Strict):
    """The two sentences that ask for a report; `{regions}` stands for the named regions."""

    with_regions: str
    without_regions: str


class NanoArchitecture(_Strict):
    """Constructor arguments of each nano stage, as its training wrote them."""

    family: Literal["nano"]
    image_size: PositiveInt
    mask_size: PositiveInt
    labels: Labels
    prompt: Prompt
    vision_encoder: dict[str, int]
    forgery_prompter: dict[str, int]
    mask_decoder: dict[str, int]
    qformer: dict[str, int]
    language_model: LanguageFolder


Architecture = ForgeryTalkerArchitecture | NanoArchitecture


def _published(qformer_depth: int) -> ForgeryTalkerArchitecture:
    return ForgeryTalkerArchitecture(
        vision_encoder=VisionTransformer(width=1408, depth=39, heads=16, mlp_hidden=6144),
        forgery_prompter=VisionTransformer(width=1280, depth=32, heads=16, mlp_hidden=5120),
        qformer=QFormer(width=768, depth=qformer_depth, heads=12, mlp_hidden=3072),
        needs_face=True,
    )


PUBLISHED = {"xl": _published(qformer_depth=12), "base": _published(qformer_depth=6)}


def architecture_of(weights: Path, name_or_path: str | None) -> Architecture:
    """Return the architecture that was named, else the one that the weights folder describes.

    A folder that the download script made describes none: it is the published `xl`.

    Raises:
        ArchitectureError: as :func:`load_architecture`.
    """
    if name_or_path is not None:
        return load_architecture(name_or_path)
    own = weights / "architecture.json"
    return load_architecture(str(own) if own.is_file() else "xl")


def load_architecture(name_or_path: str) -> Architecture:
    """Return the architecture called `xl` or `base`, or the one in a JSON file.

    Raises:
        ArchitectureError: neither a known name nor a readable, complete description.
    """
    if name_or_path in PUBLISHED:
        return PUBLISHED[name_or_path]
    path = Path(name_or_path)
    if not path.is_file():
        raise ArchitectureError(
            f"'{name_or_path}' is no known architecture",
            expected=f"one of {', '.join(PUBLISHED)}, or a JSON file with the dimensions",
            found="neither a known name nor a file",
            cure="pass --architecture xl, --architecture base, or the path of a JSON file",
        )
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        kind = NanoArchitecture if raw.get("family") == "nano" else ForgeryTalkerArchitecture
        return kind.model_validate_json(path.read_bytes())
    except (ValueError, AttributeError, RecursionError) as error:
        raise ArchitectureError(
            f"the architecture file {path} is not valid",
            expected="a JSON object with every dimension and nothing else",
            found=problems(error) if isinstance(error, ValidationError) else str(error),
            cure="correct the named fields; docs/architecture.md shows an example",
        ) from error
