"""What a bundle's `manifest.json` holds: every fact that a runtime needs, strictly parsed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from ftsdk.strict import AtLeast, Matching, Within

_Positive = Annotated[float, Within(gt=0)]
_Share = Annotated[float, Within(gt=0, lt=1)]

#: Of a stage's matrices; everything else in a graph is float32 unless its runtime needs otherwise.
Precision = Literal["float32", "float16", "int8", "int4", "nf4"]
#: How int4 codes are chosen: by the matrix alone, or by what flows into it too (GPTQ).
Rounding = Literal["nearest", "clipped", "gptq"]


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """Size in bytes and SHA-256 of one file."""

    size: Annotated[int, Within(ge=0)]
    sha256: Annotated[str, Matching("[0-9a-f]{64}")]


@dataclass(frozen=True, kw_only=True)
class StageEntry:
    """One graph: where it lies, and the tensors that go in and come out, by name.

    `rounding` is None where no weight is int4.
    """

    graph: str
    precision: Precision
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    rounding: Rounding | None = None


@dataclass(frozen=True, kw_only=True)
class PreprocessingEntry:
    """The squash to `size` x `size` px and the normalisation of [0, 1] channels, RGB."""

    size: Annotated[int, Within(gt=0, le=4096)]
    mean: tuple[float, float, float]
    std: tuple[_Positive, _Positive, _Positive]


@dataclass(frozen=True, kw_only=True)
class TokenizerEntry:
    """A `tokenizers` JSON file and the most tokens the model takes; text is cut on the left."""

    file: str
    max_tokens: Annotated[int, Within(gt=0, le=1 << 16)]


@dataclass(frozen=True, kw_only=True)
class PromptEntry:
    """What is asked of the language model; `{regions}` stands for the names."""

    with_regions: str
    without_regions: str


@dataclass(frozen=True, kw_only=True)
class LanguageEntry:
    """The decoder's dimensions and special tokens.

    `several_faces` says that it takes `source_mask`, and with it several faces in a batch.
    """

    token_embeddings: str
    layers: Annotated[int, Within(gt=0, le=1 << 10)]
    heads: Annotated[int, Within(gt=0, le=1 << 10)]
    d_kv: Annotated[int, Within(gt=0, le=1 << 12)]
    vocabulary: Annotated[int, Within(gt=0, le=1 << 24)]
    start_token: Annotated[int, Within(ge=0)] = 0
    end_token: Annotated[int, Within(ge=0)] = 1
    clean_up_spaces: bool = True
    several_faces: bool = False


@dataclass(frozen=True, kw_only=True)
class GenerationEntry:
    """How this model's reports are decoded unless the caller says otherwise."""

    beams: Annotated[int, Within(ge=1, le=64)] = 1
    max_new_tokens: Annotated[int, Within(ge=1, le=4096)] = 100
    min_length: Annotated[int, Within(ge=0, le=4097)] = 5
    repetition_penalty: _Positive = 1.5
    length_penalty: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ScoreEntry:
    """likelihood = sigmoid(logit / temperature + bias); thresholds by operating point.

    `untouched_tail` holds (score, share of untouched faces that score at least that), from the
    lowest score to the highest: with it a picture of many faces has no more false alarms than one
    of a single face. None where that was not measured.
    """

    tensor: str
    temperature: Annotated[float, Within(gt=0)]
    bias: float
    operating_points: dict[str, float]
    default: str
    untouched_tail: Annotated[tuple[tuple[float, _Share], ...], AtLeast(2)] | None = None


@dataclass(frozen=True, kw_only=True)
class ValidityEntry:
    """What the model was made for; beyond it the answer is "cannot tell". None: not measured.

    Attributes:
        needs_face: a picture without a face is beyond it.
        smallest_face: px across, of the frame in the picture.
        unsure_scores: a picture's score from the first up to the second says nothing.
        lowest_jpeg_quality: of the file, as libjpeg counts it, 1 to 100.
        lowest_sharpness: as `ftsdk.validity.sharpness` measures it.
    """

    needs_face: bool = False
    smallest_face: Annotated[int, Within(gt=0)] | None = None
    unsure_scores: tuple[float, float] | None = None
    lowest_jpeg_quality: Annotated[int, Within(ge=1, le=100)] | None = None
    lowest_sharpness: Annotated[float, Within(gt=0)] | None = None


@dataclass(frozen=True, kw_only=True)
class GateEntry:
    """One measured difference between an exported stage and its float32 reference."""

    stage: str
    tensor: str
    max_absolute: float
    relative: float


@dataclass(frozen=True, kw_only=True)
class TextGateEntry:
    """How far a lowered language model is from float32.

    Attributes:
        reports: how many reports were teacher-forced.
        tokens: how many next-token distributions that makes.
        mean_kl, p99_kl: KL divergence of the lowered from the float32 distribution, in nats.
        top1_agreement: share of tokens with the same most likely one.
        cider, bleu_4, rouge_l: free-running greedy texts against float32's; None without text.
        waived: the export was told not to fail on it, as for weights that mean nothing.
    """

    reports: Annotated[int, Within(gt=0)]
    tokens: Annotated[int, Within(gt=0)]
    mean_kl: float
    p99_kl: float
    top1_agreement: Annotated[float, Within(ge=0, le=1)]
    cider: float | None
    bleu_4: float | None
    rouge_l: float | None
    waived: bool


@dataclass(frozen=True, kw_only=True)
class EncoderGateEntry:
    """How far lowered encoders are from float32, all of them in a row.

    Attributes:
        pictures: how many were judged, none of which INT8 ranges were observed on.
        mean_mask_iou, min_mask_iou: masks against float32's; 1 where both are as good as empty.
        region_agreement: share of (picture, region) pairs with the same answer.
        kept_layers: by stage, the layers that had to stay in a higher precision.
        waived: the export was told not to fail on it, as for weights that mean nothing.
    """

    pictures: Annotated[int, Within(gt=0)]
    mean_mask_iou: Annotated[float, Within(ge=0, le=1)]
    min_mask_iou: Annotated[float, Within(ge=0, le=1)]
    region_agreement: Annotated[float, Within(ge=0, le=1)]
    kept_layers: dict[str, tuple[str, ...]]
    waived: bool


def stage_graph(stage: str) -> str:
    """Return where a bundle keeps a stage's graph."""
    return f"graphs/{stage}.onnx"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything that a runtime must know of a bundle."""

    manifest_version: Literal[1]
    name: str
    created_by: str
    licence: str
    labels: tuple[str, ...]
    region_threshold: Annotated[float, Within(ge=0, le=1)]
    mask_threshold: Annotated[float, Within(ge=0, le=1)]
    mask_size: Annotated[int, Within(gt=0, le=4096)]
    region_tokens: Annotated[int, Within(gt=0, le=1 << 16)]
    framing: Literal["picture", "face"]
    preprocessing: PreprocessingEntry
    prompt: PromptEntry
    qformer_tokenizer: TokenizerEntry | None
    language_tokenizer: TokenizerEntry
    language: LanguageEntry
    generation: GenerationEntry
    score: ScoreEntry | None
    validity: ValidityEntry = ValidityEntry()
    stages: dict[str, StageEntry]
    golden_picture: str
    golden_tensors: str
    gate: tuple[GateEntry, ...]
    text_gate: TextGateEntry | None
    encoder_gate: EncoderGateEntry | None = None
    dead_tensors: int
    limits: tuple[str, ...]
    files: dict[str, FileEntry]

    @property
    def precision(self) -> str:
        """The stages' precisions in words: `float32`, or `float32, language_decoder int4`."""
        kinds = [stage.precision for stage in self.stages.values()]
        usual = max(kinds, key=kinds.count)
        others = (
            f"{name} {stage.precision}"
            for name, stage in self.stages.items()
            if stage.precision != usual
        )
        return ", ".join((usual, *others))

    def graph_files(self, stage: str) -> dict[str, FileEntry]:
        """Return a stage's graph, and its weights where they lie beside it."""
        graph = self.stages[stage].graph
        return {name: self.files[name] for name in (graph, f"{graph}.data") if name in self.files}

    def graph_bytes(self, stage: str) -> int:
        """Return how many bytes a stage's graph and weights have on disk."""
        return sum(entry.size for entry in self.graph_files(stage).values())
