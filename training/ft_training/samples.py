"""Whole pictures with the truth about them, drawn from seeds: for calibration and for text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch

from ft_eval.robustness import distort
from ft_forge import FAMILIES, UNTOUCHED, FaceSet, Forge, Forgery
from ft_forge.degrade import add_noise, jpeg
from ft_forge.faces import Entry
from ft_forge.filming import filmed
from ft_forge.framing import face_box
from ft_forge.picture import Image
from ft_training.batches import TRAINING_MIX, view
from ft_training.history import apply, draw_history
from ft_training.model import normalised
from ft_training.views import SIDE, Target, scaled, see, seen_geometry, truth
from ftsdk.analyzer import Analyzer
from ftsdk.imaging.faces import FaceFramer
from ftsdk.imaging.framing import Box

#: Standard deviation of the noise of that treatment, in grey levels.
_NOISE = 4.0
#: The distortions of `ft_eval` among the treatments.
_DISTORTIONS = ("jpeg_70", "half_size_jpeg_80", "denoised", "contrast", "avif_50")
#: What may have happened to an untouched picture [H, W, 3] uint8 of the calibration, by name. What
#: is mirrored is mirrored as the model sees it.
TREATMENTS: dict[str, Callable[[Image], Image]] = {
    "as it is": lambda image: image,
    "mirrored": lambda image: image,
    "noise": lambda image: add_noise(image, _NOISE, np.random.default_rng(0)),
    "frame of a video": lambda image: filmed(image, 28, "medium", (0.7, 0.4), 4),
    **{name: partial(distort, name=name, seed=0) for name in _DISTORTIONS},
}
#: How far the middle of a found frame may lie from that of the landmarks, in sides of theirs.
_SAME_FACE = 0.25
#: JPEG qualities below those that the calibration holds for, by name, the highest first.
LOW_QUALITIES = {f"jpeg_{quality}": quality for quality in (50, 40)}


@dataclass(frozen=True)
class Sample:
    """A whole picture as the model sees it, and how it came about.

    `identity` and `source` say whose picture it was (no source: a synthetic person); `strength` is
    the mean change inside the mask in grey levels of 255.
    """

    seen: Target
    family: str
    traces: tuple[str, ...]
    strength: float
    identity: str
    source: str

    def pixel_values(self) -> torch.Tensor:
        """Return [1, 3, S, S] float32, CLIP-normalised."""
        return normalised(torch.from_numpy(self.seen.image[None]))


def _sample(made: Forgery, seen: Target) -> Sample:
    face = made.face
    return Sample(seen, made.family, made.traces, made.strength, face.identity, face.source)


@cache
def _framer() -> FaceFramer:
    framer = Analyzer("nano", device="cpu", threads=1).chain.framer
    assert isinstance(framer, FaceFramer)
    return framer


def sdk_box(image: Image, near: Box) -> Box:
    """Return the square that the SDK's face finder gives for the face about `near`, or `near`.

    A calibration on landmarks' frames promises fewer false alarms than users see.
    """

    def away(box: Box) -> float:
        return float(np.hypot(*np.subtract(box.middle, near.middle)))

    found = min(_framer().boxes(image), key=away, default=near)
    return found if away(found) < _SAME_FACE * near.side else near


def _framed(made: Forgery, image: Image) -> Target:
    """Return the square that the SDK shows the model of `image`, `made` at any size."""
    points = made.face.geometry.points
    scale = image.shape[1] / made.image.shape[1]
    box = sdk_box(image, scaled(face_box(points), scale))
    there = scaled(box, 1 / scale)
    return Target(see(image, box), *truth(made.mask, seen_geometry(points, there), there))


def training_samples(faces: list[Path], count: int, seed: int) -> list[Sample]:
    """Draw `count` pictures of training people as training sees them, every fourth untouched."""
    rng = np.random.default_rng([seed, count])
    forges = [Forge(one, one.split()[0], TRAINING_MIX, seed + 77) for one in map(FaceSet, faces)]
    samples = []
    for number in range(count):
        forge = forges[number % len(forges)]
        made = forge.make(number, UNTOUCHED if number % 4 == 3 else None)
        (window,) = view(made, (made.family != UNTOUCHED,), SIDE, rng)
        samples.append(_sample(made, window.seen()))
    return samples


def validation_forgeries(faces: list[Path], a_family: int, seed: int) -> list[Sample]:
    """Return forgeries of validation people, each after a history of its own.

    `a_family` of each family of each face folder.
    """
    samples = []
    for folder in map(FaceSet, faces):
        forge = Forge(folder, folder.split()[1], TRAINING_MIX, seed)
        names = [name for name in FAMILIES if name in forge.mix]
        for number, family in enumerate(islice(cycle(names), a_family * len(names))):
            made = forge.make(number, family)
            rng = np.random.default_rng([seed, number])
            steps = draw_history(face_box(made.face.geometry.points).side, rng)
            samples.append(_sample(made, _framed(made, apply(steps, made.image))))
    return samples


def untouched(faces: list[Path], treatment: str) -> Iterator[Sample]:
    """Yield every untouched validation picture of the face folders after `treatment`.

    `treatment` names one of :data:`TREATMENTS` or of :data:`LOW_QUALITIES`. Of people with GAN
    edits, many pictures of few, only the plain ones.
    """
    treat = TREATMENTS.get(treatment) or partial(jpeg, quality=LOW_QUALITIES[treatment])
    for folder in map(FaceSet, faces):
        forge = Forge(folder, folder.split()[1], {UNTOUCHED: 1.0})
        for entry in (one for one in forge.entries if not one.attribute):
            made = _untouched(folder, entry)
            seen = _framed(made, treat(made.image))
            if treatment == "mirrored":
                image = np.ascontiguousarray(seen.image[:, ::-1])
                seen = Target(image, seen.mask, seen.maps[..., ::-1].copy(), seen.labels)
            yield _sample(made, seen)


def _untouched(folder: FaceSet, entry: Entry) -> Forgery:
    face = folder.load(entry)
    nothing = np.zeros(face.geometry.size, bool)
    return Forgery(face.image, nothing, UNTOUCHED, face, (), 0.0)
