"""The JSON of the API: what OpenAPI promises and every answer keeps."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import asdict
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, FailFast, Field, model_validator

from ftsdk.errors import FtsdkError
from ftsdk.imaging.encode import encode_png
from ftsdk.result import SCHEMA_VERSION
from ftsdk.serve.analyses import ID_PATTERN, Analysis
from ftsdk.serve.bodies import JsonLimits
from ftsdk.validity import Reason

MAX_REGIONS = 64
MAX_RUNS = 1_000_000
REFINE_LIMITS = JsonLimits(nbytes=8 * 2**20, strings=1024, containers=8, values=MAX_RUNS + 256)
SESSION_LIMITS = JsonLimits(nbytes=8192, strings=16, containers=1, values=1)


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PictureDocument(_Closed):
    """The analysed picture; sides in px, EXIF orientation applied."""

    name: str
    width: int
    height: int
    sha256: str


class RegionDocument(_Closed):
    """A suspicious region; `area` is the share of its usual place that the mask covers."""

    name: str
    probability: float
    area: float | None


class MaskDocument(_Closed):
    """The mask as run lengths in raster order, first a run outside it."""

    threshold: float
    area: float
    run_lengths: list[int]


class ProvenanceDocument(_Closed):
    """What made the answer."""

    ftsdk: str
    bundle: str
    bundle_sha256: str
    precision: str
    runtime: str
    device: str
    picture_sha256: str
    created: str


class FaceDocument(_Closed):
    """The square that the model looked at, in px; it may reach beyond the picture.

    It is turned about its middle by `angle` degrees, clockwise as one sees it.
    """

    x: int
    y: int
    side: int
    angle: float


class CannotTellDocument(_Closed):
    """Why there is no answer."""

    reason: Reason
    detail: str


class OtherFaceDocument(_Closed):
    """The answer to a face beside the most suspicious one."""

    face: FaceDocument | None
    finding: str
    suspected: bool | None
    score: float | None
    regions: list[RegionDocument]
    report: str | None
    warnings: list[str]


class EditDocument(_Closed):
    """A correction: when (UTC), by whom, which regions (null: as before), a painted mask."""

    at: str
    by: str | None
    regions: list[str] | None
    mask: bool


class CredentialsDocument(_Closed):
    """The file's Content Credentials, as label and value."""

    state: str
    note: str
    facts: list[tuple[str, str]]


class AnalysisDocument(BaseModel):
    """`result.to_json()` (see docs/result.md), and what the service adds."""

    id: str = Field(pattern=ID_PATTERN)
    parent: str | None
    edits: list[EditDocument]
    content_credentials: CredentialsDocument
    schema_version: int
    picture: PictureDocument
    face: FaceDocument | None
    finding: str
    cannot_tell: CannotTellDocument | None
    suspected: bool | None
    score: float | None
    score_threshold: float | None
    operating_point: str | None
    regions: list[RegionDocument]
    region_probabilities: dict[str, float]
    mask: MaskDocument
    report: str | None
    others: list[OtherFaceDocument]
    corrections: list[str]
    warnings: list[str]
    timings_ms: dict[str, float]
    provenance: ProvenanceDocument


class ErrorDetail(_Closed):
    """What failed, what would have been right, what was there, and the cure."""

    class_: str = Field(alias="class")
    what: str
    expected: str
    found: str
    cure: str


class ErrorDocument(_Closed):
    """Every answer that is no success."""

    schema_version: int
    error: ErrorDetail


class PaintedMask(_Closed):
    """A mask as run lengths, at the picture's size or smaller with the same sides' ratio."""

    width: int = Field(ge=1, le=65_535)
    height: int = Field(ge=1, le=65_535)
    run_lengths: Annotated[list[int], Field(max_length=MAX_RUNS), FailFast()]


class RefineRequest(_Closed):
    """What the user decides in the model's place; at least one of `regions` and `mask`."""

    id: str = Field(pattern=ID_PATTERN)
    regions: list[str] | None = Field(default=None, max_length=MAX_REGIONS)
    mask: PaintedMask | None = None
    by: str | None = Field(default=None, max_length=120)

    @model_validator(mode="after")
    def _decides(self) -> RefineRequest:
        if self.regions is None and self.mask is None:
            raise ValueError("neither regions nor a mask")
        return self


class SessionRequest(_Closed):
    """The token that the service was started with."""

    token: str = Field(max_length=4096)


class LimitsDocument(_Closed):
    """What the service takes; bytes, pixels, seconds."""

    max_bytes: int
    max_pixels: int
    keep_seconds: float | None


class ModelDocument(_Closed):
    """The loaded model, in the words that a page needs."""

    ftsdk: str
    bundle: str
    bundle_sha256: str
    precision: str
    device: str
    labels: list[str]
    region_threshold: float
    mask_threshold: float
    places: dict[str, list[list[tuple[float, float]]]]
    region_words: dict[str, list[str]]
    has_score: bool
    limits: list[str]
    service: LimitsDocument


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI entry of a body that is read by hand, to bound what is parsed."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def analysis_document(analysis: Analysis) -> dict[str, Any]:
    """Return the answer's JSON object."""
    credentials = analysis.credentials
    return {
        "id": analysis.id,
        "parent": analysis.parent,
        "edits": [asdict(edit) for edit in analysis.edits],
        "content_credentials": {**asdict(credentials), "facts": list(map(list, credentials.facts))},
        **analysis.result.to_dict(),
    }


def error_document(error: FtsdkError) -> dict[str, Any]:
    """Return the JSON object of a refusal."""
    fields = ("what", "expected", "found", "cure")
    detail = {"class": type(error).__name__} | {name: getattr(error, name) for name in fields}
    return {"schema_version": SCHEMA_VERSION, "error": detail}


def compact(value: Any) -> str:
    """Return JSON without spaces and line breaks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def probabilities_png(probabilities: NDArray[np.float32]) -> bytes:
    """Return probabilities 0 to 1, [H, W] float32, as a grey PNG of 0 to 255."""
    return encode_png(np.rint(np.clip(probabilities, 0, 1) * 255).astype(np.uint8))


def base64_png(probabilities: NDArray[np.float32]) -> str:
    """Return `probabilities_png` of [H, W] float32 as base64."""
    return b64encode(probabilities_png(probabilities)).decode()
