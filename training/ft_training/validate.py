"""Measures a weights folder on identities that training never saw."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ft_calibration.forge import UNTOUCHED
from ft_calibration.forge.degrade import degrade
from ft_calibration.forge.labels import label_names
from ftsdk.claims import named_regions

from .augment import target
from .calibration import auc, likelihood
from .language import Reporter, prompt_for
from .model import Nano
from .store import Sample, Store
from .weights import read_weights

#: A forgery counts as found from this overlap on.
FOUND_IOU = 0.5


@dataclass(frozen=True)
class Answer:
    """What the model said about one picture, and the truth about it."""

    family: str
    identity: str
    iou: float
    area: float
    score_logit: float
    regions: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    report: str


def validation_samples(run: Path, seed: int = 5) -> list[Sample]:
    """Return the validation store's pictures, each with a fixed history of compression."""
    store = Store(run / "validation")
    samples = []
    for index in range(len(store)):
        one = store[index]
        image = degrade(one.image, np.random.default_rng([seed, index]))
        samples.append(Sample(image, one.mask, one.maps, one.multilabel, one.meta))
    return samples


def fits_calibration(identity: str) -> bool:
    """Tell whether a validation identity fits the calibration; rates are measured on the others."""
    return int(identity) % 2 == 0


def iou_and_area(logits: NDArray[Any], mask: NDArray[np.uint8]) -> tuple[float, float]:
    """Return IoU and predicted share; probabilities are resized to the truth's size, cut at 0.5."""
    size = mask.shape[1::-1]
    found = cv2.resize(logits, size, interpolation=cv2.INTER_LINEAR) > 0
    union = (found | (mask > 0)).sum()
    return float((found & (mask > 0)).sum() / union) if union else 1.0, float(found.mean())


@torch.no_grad()
def answers(
    model: Nano, reporter: Reporter | None, samples: list[Sample], threshold: float = 0.5,
    batch: int = 16,
) -> list[Answer]:  # fmt: skip
    """Run the chain as the SDK does: regions above `threshold`, mask, report (greedy)."""
    results: list[Answer] = []
    for start in range(0, len(samples), batch):
        part = samples[start : start + batch]
        pixels = torch.from_numpy(np.stack([target(sample).pixels for sample in part]))
        seen = model.see(pixels.to(memory_format=torch.channels_last))
        chosen = (seen.region_logits.sigmoid() > threshold).float()
        logits = model.mask(seen, chosen)
        reports = [""] * len(part)
        regions = chosen.byte().numpy()
        if reporter is not None:
            prompts = [prompt_for(label_names(row)) for row in regions]
            reports = reporter.write(model.tokens(seen, logits, chosen), prompts)
        for row, sample in enumerate(part):
            iou, area = iou_and_area(logits[row].numpy(), sample.mask)
            results.append(Answer(
                sample.meta["family"], sample.meta["identity"], iou, area,
                float(seen.score_logits[row, 0]), regions[row], sample.multilabel, reports[row],
            ))  # fmt: skip
    return results


def _region_f1(results: list[Answer]) -> float:
    found = np.array([answer.regions for answer in results])
    truth = np.array([answer.truth for answer in results])
    hits = float((found & truth).sum())
    return 2 * hits / max(float(found.sum() + truth.sum()), 1.0)


def _names_part(answer: Answer) -> bool:
    truth = set(label_names(answer.truth))
    truth |= {"eye"} if "pupil" in truth else set()
    return bool(truth & named_regions(answer.report)) or not truth


def measure(results: list[Answer], calibration: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a validation run, as they go into its JSON.

    The two rates at the operating point come from identities that did not fit the calibration.
    """
    forged = [answer for answer in results if answer.family != UNTOUCHED]
    quiet = [answer for answer in results if answer.family == UNTOUCHED]
    families = sorted({answer.family for answer in forged})
    iou = {f: float(np.mean([a.iou for a in forged if a.family == f])) for f in families}
    logits = {f: np.array([a.score_logit for a in forged if a.family == f]) for f in families}
    low = np.array([answer.score_logit for answer in quiet])
    every = np.concatenate(list(logits.values()))
    score = calibration["score"]
    cut = score["operating_points"]["default"]
    kept = [answer for answer in results if not fits_calibration(answer.identity)]
    kept_low = np.array([a.score_logit for a in kept if a.family == UNTOUCHED])
    kept_high = np.array([a.score_logit for a in kept if a.family != UNTOUCHED])
    found = [answer for answer in forged if answer.iou >= FOUND_IOU]
    return {
        "pictures": {"forged": len(forged), UNTOUCHED: len(quiet)},
        "mean_iou": float(np.mean([answer.iou for answer in forged])),
        "mean_iou_without_gan_edit": float(
            np.mean([answer.iou for answer in forged if answer.family != "gan_edit"])
        ),
        "iou": iou,
        "auc": auc(low, every),
        "auc_by_family": {family: auc(low, values) for family, values in logits.items()},
        "false_positive_rate": float((likelihood(kept_low, score) > cut).mean()),
        "detected": float((likelihood(kept_high, score) > cut).mean()),
        "untouched_with_mask": float(np.mean([answer.area > 0.001 for answer in quiet])),
        "region_f1": _region_f1(results),
        "found": len(found) / len(forged),
        "found_named": float(np.mean([_names_part(a) for a in found])) if found else 0.0,
    }


def table(figures: dict[str, Any]) -> Table:
    """Return the figures as a table for the terminal."""
    out = Table("measure", "value", title="Validation on unseen identities")
    for family, value in figures["iou"].items():
        area = figures["auc_by_family"][family]
        out.add_row(f"{family}: IoU / AUC", f"{value:.3f} / {area:.3f}")
    for name, value in figures.items():
        if isinstance(value, float):
            out.add_row(name, f"{value:.3f}")
    return out


def main(
    weights: Annotated[Path, typer.Option(help="The weights folder.")],
    run: Annotated[Path, typer.Option(help="The run's folder with the validation store.")],
    out: Annotated[Path | None, typer.Option(help="Where to write the figures as JSON.")] = None,
) -> None:
    """Measure a weights folder, for example: --weights run/weights --run run --out figures.json."""
    model, reporter, calibration = read_weights(weights)
    threshold = calibration["region_threshold"]
    results = answers(model, reporter, validation_samples(run), threshold)
    figures = measure(results, calibration)
    Console().print(table(figures))
    if out is not None:
        out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
