"""The recipe, from a face folder to a weights folder.

`python -m ft_training.train --faces DIR --run DIR` makes the forgeries, trains vision, then text,
fits the calibration and writes `RUN/weights`. Each part can be run alone and resumes where it
stopped; `export` may be run at any time and takes the latest checkpoints.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from ft_calibration.forge import UNTOUCHED

from .calibration import calibrate
from .features import Features, extract, training_samples
from .model import Nano, channels_last
from .store import prepare
from .text import CHECKPOINT as TEXT_CHECKPOINT
from .text import TextModel, train_text
from .validate import answers, fits_calibration, validation_samples
from .vision import CHECKPOINT as VISION_CHECKPOINT
from .vision import VisionTraining
from .weights import write_weights

SEED = 1
#: Seeds of the histories that calibration pictures get; untouched ones are seen under each.
_HISTORIES = (5, 6, 7)


class Part(str, Enum):
    """The steps of the recipe, in order."""

    ALL = "all"
    FORGE = "forge"
    VISION = "vision"
    TEXT = "text"
    EXPORT = "export"


def load_vision(run: Path) -> Nano:
    """Return the model with the averaged weights of the latest vision checkpoint."""
    model = Nano()
    model.load_state_dict(torch.load(run / VISION_CHECKPOINT, weights_only=True)["average"])
    channels_last(model)
    return model.eval()


def text_stage(faces: Path, run: Path, minutes: float, pictures: int) -> None:
    """Cache what the vision stages see, then train Q-Former and language model on it."""
    torch.manual_seed(SEED)
    nano = load_vision(run)
    features = extract(nano, training_samples(faces, run, pictures, SEED), SEED)
    features.save(run / "features.pt")
    model = TextModel(nano)
    if (run / TEXT_CHECKPOINT).exists():  # a later vision stage: go on from the old words
        model.load_state_dict(torch.load(run / TEXT_CHECKPOINT, weights_only=True))
    train_text(model, Features.load(run / "features.pt"), minutes, run)


def fit_calibration(model: Nano, run: Path) -> dict[str, Any]:
    """Return the calibration fitted on one half of the validation identities."""
    samples = [
        sample
        for seed in _HISTORIES
        for sample in validation_samples(run, seed)
        if fits_calibration(sample.meta["identity"])
        and (seed == _HISTORIES[0] or sample.meta["family"] == UNTOUCHED)
    ]
    seen = answers(model, None, samples)
    untouched = np.array([a.score_logit for a in seen if a.family == UNTOUCHED])
    forged = np.array([a.score_logit for a in seen if a.family != UNTOUCHED])
    return calibrate(untouched, forged)


def export(run: Path, out: Path) -> None:
    """Write the weights folder from the latest checkpoints."""
    nano = load_vision(run)
    model = TextModel(nano)
    if (run / TEXT_CHECKPOINT).exists():
        model.load_state_dict(torch.load(run / TEXT_CHECKPOINT, weights_only=True))
    write_weights(nano, model.eval().reporter, fit_calibration(nano, run), out)


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
    if part in (Part.ALL, Part.TEXT):
        text_stage(faces, run, text_minutes, text_pictures)
    if part in (Part.ALL, Part.EXPORT):
        export(run, run / "weights")


if __name__ == "__main__":
    typer.run(main)
