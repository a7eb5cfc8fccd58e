"""The recipe, from a face folder to a weights folder.

`python -m ft_training.train --faces DIR --run DIR` makes the forgeries, trains vision, fits the
calibration, trains text and writes `RUN/weights`. Each part can be run alone and resumes where it
stopped; `export` may be run at any time and takes the latest checkpoints.
"""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from ft_calibration.forge import UNTOUCHED

from .augment import target
from .batches import UNTOUCHED_SHARE
from .calibration import best_region_threshold, calibrate
from .features import EMPTY, Features, extract, training_samples
from .model import Nano, Seen, channels_last
from .reports import REPORTS, write_validation_reports
from .store import Sample, prepare
from .text import CHECKPOINT as TEXT_CHECKPOINT
from .text import TextModel, train_text
from .validate import fits_calibration, iou_and_area, validation_samples
from .vision import CHECKPOINT as VISION_CHECKPOINT
from .vision import VisionTraining
from .weights import write_weights

SEED = 1
CALIBRATION = "calibrated.json"
#: Seeds of the histories that calibration pictures get; untouched ones are seen under each.
_HISTORIES = (5, 6, 7)
_QUIET = np.arange(0.0, 5.1, 0.25)


class Part(str, Enum):
    """The steps of the recipe, in order."""

    ALL = "all"
    FORGE = "forge"
    VISION = "vision"
    CALIBRATE = "calibrate"
    TEXT = "text"
    EXPORT = "export"


def load_vision(run: Path) -> Nano:
    """Return the model with the averaged weights of the latest vision checkpoint."""
    model = Nano()
    model.load_state_dict(torch.load(run / VISION_CHECKPOINT, weights_only=True)["average"])
    channels_last(model)
    return model.eval()


def load_calibrated(run: Path) -> tuple[Nano, dict[str, Any]]:
    """Return the model with its fitted `quiet`, and what goes into `calibration.json`."""
    model = load_vision(run)
    fitted = json.loads((run / CALIBRATION).read_text())
    model.mask_decoder.quiet.fill_(fitted.pop("quiet"))
    return model, fitted


def calibration_stage(run: Path) -> None:
    """Fit the calibration of the latest vision checkpoint and keep it in the run."""
    model = load_vision(run)
    fitted = fit_calibration(model, run) | {"quiet": float(model.mask_decoder.quiet)}
    (run / CALIBRATION).write_text(json.dumps(fitted, indent=2) + "\n")


def text_stage(faces: Path, run: Path, minutes: float, pictures: int) -> None:
    """Cache what the vision stages see, then train Q-Former and language model on it."""
    torch.manual_seed(SEED)
    nano, calibration = load_calibrated(run)
    samples = training_samples(faces, run, pictures, SEED)
    features = extract(nano, samples, SEED, calibration["region_threshold"])
    features.save(run / "features.pt")
    model = TextModel(nano)
    if (run / TEXT_CHECKPOINT).exists():  # a later vision stage: go on from the old words
        model.load_state_dict(torch.load(run / TEXT_CHECKPOINT, weights_only=True))
    train_text(model, Features.load(run / "features.pt"), minutes, run)


def _calibration_samples(run: Path) -> list[Sample]:
    return [
        sample
        for seed in _HISTORIES
        for sample in validation_samples(run, seed)
        if fits_calibration(sample.meta["identity"])
        and (seed == _HISTORIES[0] or sample.meta["family"] == UNTOUCHED)
    ]


@torch.no_grad()
def _best_quiet(model: Nano, seen: list[Seen], samples: list[Sample], threshold: float) -> float:
    """Return how far the mask logits of pictures without a label must fall.

    Weighs a forged picture's IoU and an untouched one's empty mask as training batches do.
    """
    totals = np.zeros(len(_QUIET))
    for one, sample in zip(seen, samples, strict=True):
        labels = (one.region_logits.sigmoid() > threshold).float()
        if labels.any():
            continue
        logits = model.mask(one, labels)[0].numpy()
        for index, shift in enumerate(_QUIET):
            iou, area = iou_and_area(logits - shift, sample.mask)
            untouched = sample.meta["family"] == UNTOUCHED
            totals[index] += UNTOUCHED_SHARE * (area < EMPTY) if untouched else iou
    return float(_QUIET[int(totals.argmax())])


@torch.no_grad()
def fit_calibration(model: Nano, run: Path) -> dict[str, Any]:
    """Set the mask decoder's `quiet` and return what `calibration.json` holds.

    Fitted on one half of the validation identities.
    """
    samples = _calibration_samples(run)
    seen = [model.see(torch.from_numpy(target(sample).pixels[None])) for sample in samples]
    scores = np.array([float(one.score_logits) for one in seen])
    quiet = np.array([sample.meta["family"] == UNTOUCHED for sample in samples])
    regions = np.concatenate([one.region_logits.numpy() for one in seen])
    truth = np.array([sample.multilabel for sample in samples])
    threshold = best_region_threshold(regions, truth)
    model.mask_decoder.quiet.fill_(_best_quiet(model, seen, samples, threshold))
    score = calibrate(scores[quiet], scores[~quiet])
    return {"score": score, "region_threshold": threshold, "mask_threshold": 0.5}


def export(run: Path, out: Path) -> None:
    """Write the weights folder from the latest checkpoints."""
    nano, calibration = load_calibrated(run)
    model = TextModel(nano)
    if (run / TEXT_CHECKPOINT).exists():
        model.load_state_dict(torch.load(run / TEXT_CHECKPOINT, weights_only=True))
    write_weights(nano, model.eval().reporter, calibration, out)
    threshold = calibration["region_threshold"]
    write_validation_reports(model, nano, run, threshold, out / REPORTS, SEED)


def main(
    faces: Annotated[Path, typer.Option(help="The face folder.")],
    run: Annotated[Path, typer.Option(help="Where forgeries, checkpoints and weights go.")],
    part: Annotated[Part, typer.Option(help="Which step to run.")] = Part.ALL,
    shards: Annotated[int, typer.Option(help="Training shards of 1200 forgeries.")] = 9,
    vision_minutes: Annotated[float, typer.Option(help="Wall time of the vision stage.")] = 75,
    text_minutes: Annotated[float, typer.Option(help="Wall time of the text stage.")] = 10,
    text_pictures: Annotated[int, typer.Option(help="Pictures of the text stage.")] = 4000,
    threads: Annotated[int, typer.Option(help="Threads for PyTorch.")] = 2,
) -> None:
    """Train nano, for example: --faces faces --run /var/tmp/nano --vision-minutes 240"""
    torch.set_num_threads(threads)
    if part in (Part.ALL, Part.FORGE):
        prepare(faces, run, shards, 1200, SEED)
    if part in (Part.ALL, Part.VISION):
        VisionTraining(faces, run, vision_minutes).train()
    if part in (Part.ALL, Part.CALIBRATE):
        calibration_stage(run)
    if part in (Part.ALL, Part.TEXT):
        text_stage(faces, run, text_minutes, text_pictures)
    if part in (Part.ALL, Part.EXPORT):
        export(run, run / "weights")


if __name__ == "__main__":
    typer.run(main)
