"""A bundle on disk: its manifest, strictly parsed, and the proof that every file is the right one.

A bundle is a directory. `manifest.json` lists every other file with size and SHA-256; nothing is
read before its hash has been compared, and nothing in a bundle is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ftsdk.consistency import contradictions
from ftsdk.errors import (
    BundleFileAlteredError,
    BundleFileExtraError,
    BundleFileMissingError,
    BundleNotFoundError,
    BundlePathError,
    ManifestError,
    ManifestVersionError,
)

MANIFEST_NAME = "manifest.json"
MANIFEST_VERSION = 1
NANO = Path(__file__).parent / "models" / "nano"
_CHUNK = 1 << 20
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}"
_PLAIN_PATH = re.compile(rf"{_NAME}(/{_NAME}){{0,9}}")


_Positive = Annotated[float, Field(gt=0)]

#: Of a stage's matrices; everything else in a graph is float32 unless its runtime needs otherwise.
Precision = Literal["float32", "float16", "int8", "int4", "nf4"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class FileEntry(_Strict):
    """Size in bytes and SHA-256 of one file."""

    size: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class StageEntry(_Strict):
    """One graph: where it lies, and the tensors that go in and come out, by name."""

    graph: str
    precision: Precision
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class PreprocessingEntry(_Strict):
    """The squash to `size` x `size` px and the normalisation of [0, 1] channels, RGB."""

    size: int = Field(gt=0, le=4096)
    mean: tuple[float, float, float]
    std: tuple[_Positive, _Positive, _Positive]


class TokenizerEntry(_Strict):
    """A `tokenizers` JSON file and the most tokens the model takes; text is cut on the left."""

    file: str
    max_tokens: int = Field(gt=0)


class PromptEntry(_Strict):
    """What is asked of the language model; `{regions}` stands for the names."""

    with_regions: str
    without_regions: str


class LanguageEntry(_Strict):
    """The decoder's dimensions and special tokens."""

    token_embeddings: str
    layers: int = Field(gt=0)
    heads: int = Field(gt=0)
    d_kv: int = Field(gt=0)
    vocabulary: int = Field(gt=0)
    start_token: int = Field(default=0, ge=0)
    end_token: int = Field(default=1, ge=0)
    clean_up_spaces: bool = True


class GenerationEntry(_Strict):
    """How this model's reports are decoded unless the caller says otherwise."""

    beams: int = Field(default=1, ge=1, le=64)
    max_new_tokens: int = Field(default=100, ge=1, le=4096)
    min_length: int = Field(default=5, ge=0, le=4097)
    repetition_penalty: _Positive = 1.5
    length_penalty: float = 1.0


class ScoreEntry(_Strict):
    """likelihood = sigmoid(logit / temperature + bias); thresholds by operating point."""

    tensor: str
    temperature: float = Field(gt=0)
    bias: float
    operating_points: dict[str, float]
    default: str


class GateEntry(_Strict):
    """One measured difference between an exported stage and its float32 reference."""

    model_config = ConfigDict(allow_inf_nan=True)  # what failed the gate may be no number

    stage: str
    tensor: str
    max_absolute: float
    relative: float


class TextGateEntry(_Strict):
    """How far a lowered language model is from float32.

    Attributes:
        reports: how many reports were teacher-forced.
        tokens: how many next-token distributions that makes.
        mean_kl, p99_kl: KL divergence of the lowered from the float32 distribution, in nats.
        top1_agreement: share of tokens with the same most likely one.
        cider, bleu_4, rouge_l: free-running greedy texts against float32's; None without text.
        waived: the export was told not to fail on it, as for weights that mean nothing.
    """

    reports: int = Field(gt=0)
    tokens: int = Field(gt=0)
    mean_kl: float
    p99_kl: float
    top1_agreement: float = Field(ge=0, le=1)
    cider: float | None
    bleu_4: float | None
    rouge_l: float | None
    waived: bool


class EncoderGateEntry(_Strict):
    """How far lowered encoders are from float32, all of them in a row.

    Attributes:
        pictures: how many were judged, none of which INT8 ranges were observed on.
        mean_mask_iou, min_mask_iou: masks against float32's.
        region_agreement: share of (picture, region) pairs with the same answer.
        kept_layers: by stage, the layers that had to stay in a higher precision.
        waived: the export was told not to fail on it, as for weights that mean nothing.
    """

    pictures: int = Field(gt=0)
    mean_mask_iou: float = Field(ge=0, le=1)
    min_mask_iou: float = Field(ge=0, le=1)
    region_agreement: float = Field(ge=0, le=1)
    kept_layers: dict[str, tuple[str, ...]]
    waived: bool


class Manifest(_Strict):
    """Everything that a runtime must know of a bundle."""

    manifest_version: Literal[1]
    name: str
    created_by: str
    licence: str
    labels: tuple[str, ...]
    region_threshold: float = Field(ge=0, le=1)
    mask_threshold: float = Field(ge=0, le=1)
    mask_size: int = Field(gt=0)
    region_tokens: int = Field(gt=0)
    framing: Literal["picture", "face"]
    preprocessing: PreprocessingEntry
    prompt: PromptEntry
    qformer_tokenizer: TokenizerEntry | None
    language_tokenizer: TokenizerEntry
    language: LanguageEntry
    generation: GenerationEntry
    score: ScoreEntry | None
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


@dataclass(frozen=True)
class Bundle:
    """A verified bundle.

    Attributes:
        path: the directory.
        manifest: its parsed manifest.
        sha256: hash of manifest.json, which covers every file.
    """

    path: Path
    manifest: Manifest
    sha256: str

    def file(self, name: str) -> Path:
        """Return the path of a file that the manifest lists."""
        return self.path / name


def open_bundle(path: str | Path) -> Bundle:
    """Parse the manifest and verify every file of the bundle at `path`.

    Raises:
        BundleNotFoundError: no manifest is there.
        ManifestError, ManifestVersionError: it does not parse strictly.
        BundlePathError: it names a path outside the bundle.
        BundleFileMissingError, BundleFileExtraError, BundleFileAlteredError: the files differ.
    """
    root = Path(path)
    raw = _read_manifest(root)
    manifest = _parse(raw, root)
    _verify_paths(manifest, root)
    _verify_files(manifest, root)
    return Bundle(root, manifest, hashlib.sha256(raw).hexdigest())


def _read_manifest(root: Path) -> bytes:
    try:
        return (root / MANIFEST_NAME).read_bytes()
    except OSError as error:
        raise BundleNotFoundError(
            f"there is no bundle at {root}",
            expected=f"a directory with {MANIFEST_NAME}",
            found=error.strerror or type(error).__name__,
            cure="pass the directory that `ft-export ... --out DIR` wrote",
        ) from error


def _parse(raw: bytes, root: Path) -> Manifest:
    try:
        version = json.loads(raw, object_pairs_hook=_unique).get("manifest_version")
    except (ValueError, AttributeError, RecursionError) as error:
        raise _manifest_error(root, f"no JSON object: {error}") from error
    if type(version) is not int or version != MANIFEST_VERSION:
        raise ManifestVersionError(
            f"the bundle at {root} has another manifest version",
            expected=str(MANIFEST_VERSION),
            found=repr(version),
            cure="export it again with this ftsdk, or install the ftsdk that wrote it",
        )
    try:
        manifest = Manifest.model_validate_json(raw)
    except ValidationError as error:
        raise _manifest_error(root, problems(error)) from error
    if found_together := "; ".join(contradictions(manifest)):
        raise _manifest_error(root, found_together)
    return manifest


def problems(error: ValidationError) -> str:
    """Return each field that is wrong, and why, on one line."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, at['loc'])) or 'all'}: {at['msg']}" for at in found)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"twice: {', '.join(n for n in fields if names.count(n) > 1)}")
    return fields


def _manifest_error(root: Path, found: str) -> ManifestError:
    return ManifestError(
        f"the manifest of {root} is not valid",
        expected=f"every field of manifest version {MANIFEST_VERSION} and nothing else",
        found=found[:600],
        cure="export the bundle again; a manifest is not meant to be edited",
    )


def _named_files(manifest: Manifest) -> Iterator[str]:
    yield from (stage.graph for stage in manifest.stages.values())
    yield from (manifest.language.token_embeddings, manifest.language_tokenizer.file)
    yield from (manifest.golden_picture, manifest.golden_tensors)
    if manifest.qformer_tokenizer:
        yield manifest.qformer_tokenizer.file


def _verify_paths(manifest: Manifest, root: Path) -> None:
    for name in (*manifest.files, *_named_files(manifest)):
        if not _PLAIN_PATH.fullmatch(name) or name == MANIFEST_NAME or _leads_out(root, name):
            raise BundlePathError(
                f"the manifest of {root} names a path that may not be in a bundle",
                expected="plain relative paths inside the bundle",
                found=repr(name)[:400],
                cure="do not use this bundle; get it again from where it was made",
            )
    unlisted = set(_named_files(manifest)) - manifest.files.keys()
    if unlisted:
        raise _manifest_error(root, f"files without a hash: {', '.join(sorted(unlisted))}")


def _leads_out(root: Path, name: str) -> bool:
    try:
        return not (root / name).resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # a link that leads to itself
        return True


def _verify_files(manifest: Manifest, root: Path) -> None:
    missing = sorted(name for name in manifest.files if not (root / name).is_file())
    if missing:
        raise BundleFileMissingError(
            f"the bundle at {root} is incomplete",
            expected=", ".join(missing),
            found="no such file",
            cure="copy the whole directory again, or export the bundle again",
        )
    present = (path for path in root.rglob("*") if path.is_symlink() or not path.is_dir())
    names = {path.relative_to(root).as_posix() for path in present} - {MANIFEST_NAME}
    extra = sorted(names - manifest.files.keys())
    if extra:
        raise BundleFileExtraError(
            f"the bundle at {root} holds files that its manifest does not list",
            expected="only listed files",
            found=", ".join(extra),
            cure="remove them; a bundle is not a place to keep other files",
        )
    for name, entry in manifest.files.items():
        _verify_file(root / name, entry)


def _verify_file(path: Path, entry: FileEntry) -> None:
    try:
        size = path.stat().st_size
        found = f"{size} bytes" if size != entry.size else f"SHA-256 {sha256_of(path)}"
    except OSError as error:
        size, found = entry.size, error.strerror or type(error).__name__
    expected = f"{entry.size} bytes" if size != entry.size else f"SHA-256 {entry.sha256}"
    if found != expected:
        raise BundleFileAlteredError(
            f"{path} is not the file that was exported",
            expected=expected,
            found=found,
            cure="copy it again, or export the bundle again",
        )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in lower-case hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
