"""Stage two: Q-Former and language model, on the cached words of the frozen vision stages."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ft_forge import UNTOUCHED
from ft_forge.labels import label_names
from ft_forge.words import nothing_found, report
from ft_training.features import Features
from ft_training.language import Reporter, prompt_for
from ft_training.model import DIMENSIONS, Nano

CHECKPOINT = "text.pt"
#: Learning rates of a text stage that begins, and of one whose model can write already.
FIRST_RATE, CONTINUED_RATE = 1.5e-3, 5e-4

#: From which score a report may speak of a change as strong as this: faint, some, clear.
_MOST_STRENGTH = ((0.0, 6.0), (0.6, 19.0), (0.8, 255.0))
#: What can be said where an untouched picture got a mask: no more than that it looks odd.
_FALSE_ALARM = ("retouching", ("texture",), 4.0)


def sentence(named: list[str] | None, meta: dict[str, Any], rng: np.random.Generator) -> str:
    """Return the report to learn: about the parts of the predicted mask, in the true words.

    It is never more certain than the score.
    """
    if named is None:
        return nothing_found(rng)
    family, traces, strength = meta["family"], meta["traces"], meta["strength"]
    if family == UNTOUCHED:
        family, traces, strength = _FALSE_ALARM
    most = max(strong for least, strong in _MOST_STRENGTH if meta["score"] >= least)
    return report(named, family, traces, min(strength, most), rng)


class TextModel(nn.Module):
    """Q-Former and reporter together."""

    def __init__(self, nano: Nano) -> None:
        super().__init__()
        self.qformer = nano.qformer
        self.reporter = Reporter(DIMENSIONS["qformer"]["width"])

    def tokens(self, features: Features, rows: Tensor) -> tuple[Tensor, list[str]]:
        """Return Q-Former tokens `[B, 24, W]` and prompts for some rows of `features`."""
        values = {name: features.tensors[name][rows].float() for name in self.qformer.inputs}
        prompts = [prompt_for(label_names(labels.numpy())) for labels in values["region_labels"]]
        return self.qformer(*values.values()), prompts


def _batches(count: int, size: int, seed: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield from torch.randperm(count, generator=generator).split(size)


def train_text(
    model: TextModel, features: Features, minutes: float, run: Path, rate: float,
    batch: int = 16, seed: int = 0,
) -> None:  # fmt: skip
    """Train for a wall-time budget with a cosine rate; the result is written to the run."""
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    model.train()
    began, mean = time.monotonic(), 0.0
    for step, rows in enumerate(_batches(len(features.named), batch, seed)):
        part = (time.monotonic() - began) / (60 * minutes)
        if part >= 1:
            break
        factor = min(1.0, (step + 1) / 50) * (0.5 + 0.5 * math.cos(math.pi * part) + 0.01)
        for group in optimizer.param_groups:
            group["lr"] = rate * factor
        tokens, prompts = model.tokens(features, rows)
        reports = [sentence(features.named[i], features.meta[i], rng) for i in rows.tolist()]
        loss = model.reporter.loss(tokens, prompts, reports)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        mean += float(loss.detach()) / 50
        if step % 50 == 49:
            print(f"text step {step + 1} {60 * minutes * part:.0f} s loss {mean:.4f}", flush=True)
            mean = 0.0
    model.eval()
    model.reporter.round_to_bfloat16()
    torch.save(model.state_dict(), run / "text.tmp")
    (run / "text.tmp").replace(run / CHECKPOINT)
