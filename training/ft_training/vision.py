"""Stage one: vision encoder, prompter and mask decoder, trained until a wall-time budget ends."""

from __future__ import annotations

import math
import os
import time
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from ft_training.batches import Batch, TrainingBatches
from ft_training.model import Nano, channels_last, conditioning, keep_exact, normalised
from ft_training.pretrained import load_lite0
from ft_training.weights import WEIGHTS, read_vision

CHECKPOINT = "vision.pt"
#: First many small windows around the changes, where traces are seen best, for this share of the
#: time; then whole pictures. A GPU waits for pictures anyway, and sees whole ones. Sides in px.
WINDOWS, WHOLE = 256, 384
WINDOWS_SHARE = {"cpu": 0.5, "cuda": 0.0}
#: Highest learning rate of a run that begins with ImageNet's trunk, at 16 pictures a step.
RATE = 1.2e-3
#: Seconds that a step counts for at the most: a machine put to sleep does not use up the budget.
LONGEST_STEP = 20.0


def _dice(logits: Tensor, truth: Tensor) -> Tensor:
    """1 - soft dice of each picture, mean over those with something to find."""
    found, wanted = logits.sigmoid().flatten(1), truth.flatten(1)
    overlap = 2 * (found * wanted).sum(1)
    dice = 1 - (overlap + 1) / (found.sum(1) + wanted.sum(1) + 1)
    forged = (wanted.amax(1) > 0.5).float()
    return (dice * forged).sum() / forged.sum().clamp_min(1)


@cache
def _multiplies_bfloat16() -> bool:
    """Tell whether this processor multiplies bfloat16 itself; elsewhere it is no gain."""
    able = torch.cpu.get_capabilities()
    return any(able.get(name) for name in ("amx_bf16", "avx512_bf16"))


def losses(model: Nano, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """Return the weighted terms of the loss; the sigmoid is taken once, inside each of them."""
    images, mask, maps, labels, corners = batch
    bce = functional.binary_cross_entropy_with_logits
    lowered = images.is_cuda or _multiplies_bfloat16()
    with torch.autocast(images.device.type, torch.bfloat16, enabled=lowered):
        seen = model.see(normalised(images), corners)
        chosen = conditioning(labels, seen.region_logits, generator)
        logits = model.pixel_logits(seen, chosen).float()
    evidence = seen.evidence.float()
    coarse = functional.avg_pool2d(mask[:, None], 4)
    forged = (mask.amax((1, 2))[:, None] > 0.5).float()
    return {
        "mask": bce(logits, mask) + 0.7 * _dice(logits, mask),
        "evidence": 0.5 * bce(evidence, coarse) + 0.3 * _dice(evidence, coarse),
        "maps": 0.5 * bce(seen.region_maps.float(), maps),
        "regions": bce(seen.region_logits.float(), labels),
        "score": bce(seen.score_logits.float(), forged),
    }


def _freeze(model: Nano) -> None:
    """Keep the trunk's stem as ImageNet made it: generic, and the dearest to train."""
    stem = model.vision_encoder.trunk.stem
    stem.requires_grad_(False)
    stem.eval()


def _optimizer(model: Nano, rate: float) -> torch.optim.AdamW:
    vision = [model.vision_encoder, model.forgery_prompter, model.mask_decoder]
    trunk = {id(p) for p in model.vision_encoder.trunk.parameters()}
    every = [p for part in vision for p in part.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in every if id(p) in trunk], "scale": 0.3},
        {"params": [p for p in every if id(p) not in trunk], "scale": 1.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, weight_decay=0.02, foreach=True)


def _seed(start: Path) -> int:
    """Return a seed for a run that goes on from weights: not that of the run that made them.

    With one seed for all, weights that are trained again and again would see the same draws of
    person and forgery each time.
    """
    return zlib.crc32((start / WEIGHTS).read_bytes())


class VisionTraining:
    """A resumable run; its state is one file, replaced whole.

    Args:
        faces: the face folders, and those of pictures without a face.
        run: the run's folder.
        minutes: wall time at which the learning rate reaches zero.
        start: a weights folder to go on from; None begins with ImageNet's trunk.
        batch: pictures a step; the learning rate grows with its root.
        device: where the model is trained, "cpu" or "cuda".
        workers: processes that make pictures.
        rate: the highest learning rate, at 16 pictures a step.
    """

    def __init__(
        self, faces: list[Path], run: Path, minutes: float, start: Path | None = None,
        batch: int = 16, device: str = "cpu", workers: int = 1, rate: float = RATE,
    ) -> None:  # fmt: skip
        torch.manual_seed(0)
        self.run, self.budget, self.rate = run, minutes * 60, rate * math.sqrt(batch / 16)
        self.device, self.workers = torch.device(device), workers
        self.windows = WINDOWS_SHARE[self.device.type]
        self.model = Nano()
        if start is None:
            load_lite0(self.model.vision_encoder.trunk)
        else:
            read_vision(self.model, start)
        self.model.to(self.device)
        channels_last(self.model)
        keep_exact(self.model)
        self.average = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.step, self.elapsed = 0, 0.0
        _freeze(self.model.train())
        self.optimizer = _optimizer(self.model, self.rate)
        if (run / CHECKPOINT).exists():
            self._restore(torch.load(run / CHECKPOINT, self.device, weights_only=True))
        self.seed = 7 if start is None else _seed(start)
        self.generator = torch.Generator().manual_seed(self.seed + self.step)
        self.faces, self.batch = faces, batch

    def _restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.step, self.elapsed = state["average"], state["step"], state["elapsed"]

    def save(self) -> None:
        """Write the checkpoint: temporary file, then rename."""
        state = {
            "model": self.model.state_dict(), "average": self.average,
            "optimizer": self.optimizer.state_dict(), "step": self.step, "elapsed": self.elapsed,
        }  # fmt: skip
        torch.save(state, self.run / "vision.tmp")
        (self.run / "vision.tmp").replace(self.run / CHECKPOINT)

    def _batches(self) -> Iterator[Batch]:
        """Yield batches of windows, then of whole pictures."""
        for side, until in ((WINDOWS, self.windows), (WHOLE, 1.0)):
            if self.elapsed >= until * self.budget:
                continue
            # A worker has one processor to itself; NumPy's BLAS reads this as it is loaded there.
            os.environ["OPENBLAS_NUM_THREADS"] = "1"
            stream = TrainingBatches(self.faces, self.batch, self.seed + self.step, side)
            loader = DataLoader(
                stream, None, num_workers=self.workers, prefetch_factor=4,
                multiprocessing_context="spawn",  # a fork of a process that has threads may hang
            )  # fmt: skip
            batches = iter(loader)
            while self.elapsed < until * self.budget:
                yield next(batches)

    def _schedule(self) -> None:
        part = min(self.elapsed / self.budget, 1.0)
        factor = min(1.0, (self.step + 1) / 150) * (0.5 + 0.5 * math.cos(math.pi * part) + 0.01)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * group["scale"] * factor

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the averaged weights; short at first, so that early checkpoints are of use."""
        keep = min(0.998, (1 + self.step) / (10 + self.step))
        state = self.model.state_dict()
        floats = [name for name, value in state.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [self.average[name] for name in floats], [state[name] for name in floats], 1 - keep
        )
        for name in state.keys() - set(floats):
            self.average[name].copy_(state[name])

    def train(self, log_every: int = 25, save_every: float = 120.0) -> None:
        """Train until the budget is used up."""
        last, saved, sums = time.monotonic(), time.monotonic(), dict[str, Tensor]()
        for batch in self._batches():
            self._schedule()
            images, mask, maps, labels, corners = (one.to(self.device) for one in batch)
            terms = losses(self.model, (images, mask, maps, labels, corners), self.generator)
            self.optimizer.zero_grad(set_to_none=True)
            torch.stack(list(terms.values())).sum().backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
            self.optimizer.step()
            self.step += 1
            self._follow()
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value.detach() / log_every
            now = time.monotonic()
            self.elapsed, last = self.elapsed + min(now - last, LONGEST_STEP), now
            if self.step % log_every == 0:
                text = " ".join(f"{name} {value:.4f}" for name, value in sums.items())
                print(f"step {self.step} {self.elapsed / 60:.1f} min {text}", flush=True)
                sums.clear()
            if now - saved > save_every:
                self.save()
                saved = now
        self.save()
