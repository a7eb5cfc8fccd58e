"""Analyses as the service keeps them, made without a model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from picture_files import encoded

from ftsdk.answer import Provenance, Region
from ftsdk.imaging.decode import decode
from ftsdk.report.credentials import Credentials
from ftsdk.report.edits import Edit
from ftsdk.result import Result
from ftsdk.serve.analyses import Analysis, new_id


def result() -> Result:
    """Return an answer to a small picture."""
    picture = replace(decode(encoded("png")), name="face.png")
    made = Provenance(
        "0.1", "tiny", "ab" * 32, "float32", "runtime 1", "cpu", picture.sha256, "now"
    )
    return Result(
        picture=picture, face=None, probabilities=np.eye(8, dtype=np.float32), mask_threshold=0.5,
        regions=(Region("mouth", 0.91, 0.5),), region_probabilities={"mouth": 0.91}, report="Text.",
        report_ids=(0, 5), score=0.83, score_threshold=0.7, corrections=("regions",),
        limits=("A hint.",), timings={"total": 1.5}, provenance=made,
        image_tensors={"a.b": np.arange(6, dtype=np.float32)}, operating_point="fpr_0.05",
    )  # fmt: skip


def analysis() -> Analysis:
    """Return an analysis of its own id."""
    facts = (("Signed by", "Ada"),)
    edit = Edit("now", "Ada", ("mouth",), mask=False)
    credentials = Credentials("present", "note", facts)
    return Analysis(new_id(), result(), encoded("png"), credentials, (edit,), "p" * 22)
