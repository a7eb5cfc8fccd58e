"""The validation reports that a lowered language model of nano is held against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ft_calibration.reports import MOST_REPORTS, Report, write_reports
from ft_forge.labels import label_names
from ft_training.features import extract
from ft_training.model import Nano
from ft_training.samples import validation_forgeries
from ft_training.text import TextModel, sentence

REPORTS = "reports.npz"


@torch.no_grad()
def write_validation_reports(
    model: TextModel, nano: Nano, faces: list[Path], fitted: dict[str, Any], path: Path, seed: int
) -> None:
    """Write what the Q-Former makes of validation pictures, and their true reports, to `path`.

    No picture can be had back from it: 24 tokens a picture, in float16.
    """
    samples = validation_forgeries(faces, 7, seed)
    rows = np.linspace(0, len(samples) - 1, MOST_REPORTS).astype(int)
    features = extract(nano, [samples[row] for row in rows], seed, fitted)
    random = np.random.default_rng(seed)
    reports = []
    for row, labels in enumerate(features.tensors["region_labels"]):
        tokens, _ = model.tokens(features, torch.tensor([row]))
        text = sentence(features.named[row], features.meta[row], random)
        reports.append(Report(tokens.numpy(), label_names(labels.numpy()), text))
    write_reports(path, reports)
