"""The recipe, from face folders to a weights folder.

`python -m ft_training.train --faces DIR [--faces DIR] --run DIR` trains vision, fits the
calibration, trains text and writes `RUN/weights`. Forgeries are made while it trains. Each part can
be run alone and resumes where it stopped; `export` may be run at any time and takes the latest
checkpoints.
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from ft_training import autoencoders
from ft_training.features import Features, extract
from ft_training.fitting import fit_calibration, judge, worst_sources
from ft_training.model import Nano, channels_last
from ft_training.reports import REPORTS, write_validation_reports
from ft_training.samples import training_samples
from ft_training.text import CHECKPOINT as TEXT_CHECKPOINT
from ft_training.text import CONTINUED_RATE, FIRST_RATE, TextModel, train_text
from ft_training.vision import CHECKPOINT as VISION_CHECKPOINT
from ft_training.vision import RATE, VisionTraining
from ft_training.weights import read_reporter, write_weights

SEED = 1
CALIBRATION = "calibrated.json"


class Part(StrEnum):
    """The steps of the recipe, in order."""

    ALL = "all"
    REGENERATE = "regenerate"
    VISION = "vision"
    CALIBRATE = "calibrate"
    TEXT = "text"
    EXPORT = "export"


def load_vision(run: Path) -> Nano:
    """Return the model with the averaged weights of the latest vision checkpoint."""
    model = Nano()
    model.load_state_dict(torch.load(run / VISION_CHECKPOINT, "cpu", weights_only=True)["average"])
    channels_last(model)
    return model.eval()


def load_calibrated(run: Path) -> tuple[Nano, dict[str, Any]]:
    """Return the model with its fitted constants, and what goes into `calibration.json`."""
    model = load_vision(run)
    fitted = json.loads((run / CALIBRATION).read_text())
    for name, value in fitted.pop("mask_decoder").items():
        model.mask_decoder.get_buffer(name).fill_(value)
    return model, fitted


def calibration_stage(run: Path, faces: list[Path]) -> None:
    """Fit the calibration of the latest vision checkpoint and keep it in the run.

    Prints what share of each source's untouched pictures exceeds the fitted threshold.
    """
    model = load_vision(run)
    judged = judge(model, faces)
    fitted = fit_calibration(model, judged)
    decoder = model.mask_decoder
    print(json.dumps(worst_sources(judged, float(decoder.certain)), indent=1), flush=True)
    fitted["mask_decoder"] = {"quiet": float(decoder.quiet), "certain": float(decoder.certain)}
    (run / CALIBRATION).write_text(json.dumps(fitted, indent=2) + "\n")


def text_stage(
    faces: list[Path], run: Path, minutes: float, pictures: int, start: Path | None = None
) -> None:
    """Cache what the vision stages see, then train Q-Former and language model on it."""
    torch.manual_seed(SEED)
    nano, fitted = load_calibrated(run)
    features = extract(nano, training_samples(faces, pictures, SEED), SEED, fitted)
    features.save(run / "features.pt")
    model = TextModel(nano)
    if (run / TEXT_CHECKPOINT).exists():  # a later vision stage: go on from the old words
        model.load_state_dict(torch.load(run / TEXT_CHECKPOINT, weights_only=True))
    elif start is not None:
        read_reporter(model.reporter, start)
    knows_words = start is not None or (run / TEXT_CHECKPOINT).exists()
    rate = CONTINUED_RATE if knows_words else FIRST_RATE
    train_text(model, Features.load(run / "features.pt"), minutes, run, rate)


def export(faces: list[Path], run: Path, out: Path, start: Path | None = None) -> None:
    """Write the weights folder from the latest checkpoints; without any of words, `start`'s."""
    nano, fitted = load_calibrated(run)
    model = TextModel(nano)
    if (run / TEXT_CHECKPOINT).exists():
        model.load_state_dict(torch.load(run / TEXT_CHECKPOINT, weights_only=True))
    elif start is not None:
        read_reporter(model.reporter, start)
    write_weights(nano, model.eval().reporter, fitted, out)
    write_validation_reports(model, nano, faces, fitted, out / REPORTS, SEED)


def main(
    faces: Annotated[list[Path], typer.Option(help="A face folder; give several one by one.")],
    run: Annotated[Path, typer.Option(help="Where checkpoints and weights go.")],
    part: Annotated[Part, typer.Option(help="Which step to run.")] = Part.ALL,
    faceless: Annotated[
        list[Path] | None, typer.Option(help="A folder of ft_forge.faceless, for vision.")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="Weights folder to go on from, not from ImageNet.")
    ] = None,
    regenerate_minutes: Annotated[
        float, typer.Option(help="Wall time to train the autoencoders.")
    ] = 60,
    vision_minutes: Annotated[float, typer.Option(help="Wall time of the vision stage.")] = 240,
    vision_rate: Annotated[
        float, typer.Option(help="Highest learning rate of vision at 16 pictures a step.")
    ] = RATE,
    text_minutes: Annotated[float, typer.Option(help="Wall time of the text stage.")] = 10,
    text_pictures: Annotated[int, typer.Option(help="Pictures of the text stage.")] = 4000,
    threads: Annotated[int, typer.Option(help="Threads for PyTorch.")] = 2,
    device: Annotated[str, typer.Option(help="Where vision is trained: cpu or cuda.")] = "cpu",
    batch: Annotated[int, typer.Option(help="Pictures a step of vision.")] = 16,
    workers: Annotated[int, typer.Option(help="Processes that make pictures.")] = 1,
) -> None:
    """Train nano, for example: --faces crops --faces faces --run runs/nano --start training/nano"""
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = True  # pictures are all of one size
    run.mkdir(parents=True, exist_ok=True)
    if part in (Part.ALL, Part.REGENERATE):
        autoencoders.train(faces, run, regenerate_minutes, device, workers)
        autoencoders.regenerate(faces, run, device, workers)
    if part in (Part.ALL, Part.VISION):
        VisionTraining(
            [*faces, *(faceless or [])], run, vision_minutes, start, batch, device, workers,
            vision_rate,
        ).train()  # fmt: skip
    if part in (Part.ALL, Part.CALIBRATE):
        calibration_stage(run, faces)
    if part in (Part.ALL, Part.TEXT):
        text_stage(faces, run, text_minutes, text_pictures, start)
    if part in (Part.ALL, Part.EXPORT):
        export(faces, run, run / "weights", start)


if __name__ == "__main__":
    typer.run(main)
