"""From a seed to a forgery: face, family, mask, labels and words, always the same."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ft_forge.blend import Mask, changed_mask
from ft_forge.faces import Entry, Face, FaceSet
from ft_forge.families import Edit, Family
from ft_forge.labels import labels_from_mask
from ft_forge.picture import Image
from ft_forge.reprocessing import healing, reprocessing
from ft_forge.resynthesis import resynthesis
from ft_forge.self_blend import self_blend
from ft_forge.swaps import face_swap, gan_edit, part_swap, splice
from ft_forge.synthesis import copy_move, inpainting, local_warp, retouching

FAMILIES: dict[str, Family] = {
    "gan_edit": gan_edit,
    "face_swap": face_swap,
    "part_swap": part_swap,
    "inpainting": inpainting,
    "retouching": retouching,
    "local_warp": local_warp,
    "copy_move": copy_move,
    "splice": splice,
    "self_blend": self_blend,
    "resynthesis": resynthesis,
    "reprocessing": reprocessing,
    "healing": healing,
}
UNTOUCHED = "untouched"

#: The default mix: how often each family is made. Published figures are of sets of these.
DEFAULT_MIX: dict[str, float] = {
    "gan_edit": 0.12, "face_swap": 0.12, "part_swap": 0.12, "inpainting": 0.10, "retouching": 0.09,
    "local_warp": 0.09, "copy_move": 0.05, "splice": 0.06, "self_blend": 0.06, "resynthesis": 0.06,
    UNTOUCHED: 0.13,
}  # fmt: skip
#: How often the later families are made where they are named: the sets that were published before
#: them can be made again.
NAMED_MIX: dict[str, float] = {"reprocessing": 0.09, "healing": 0.05}

#: A smaller mask than this share of the picture, or a fainter mean change (of 255), is made anew.
MINIMUM_AREA = 0.0008
MINIMUM_CHANGE = 2.5
#: How often the picture was saved once more, at another quality, before it was forged.
SAVED_BEFORE = 0.35


@dataclass(frozen=True)
class Forgery:
    """One made picture and everything known about it.

    `image` `[H, W, 3]` uint8 BGR, `mask` `[H, W]` bool (all False when untouched), `strength` the
    mean absolute change inside the mask in grey levels of 255.
    """

    image: Image
    mask: Mask
    family: str
    face: Face
    traces: tuple[str, ...]
    strength: float

    @property
    def multilabel(self) -> NDArray[np.uint8]:
        """The labels `[21]` uint8 0/1 that the mask implies."""
        return labels_from_mask(self.mask, self.face.geometry)


def draw_save_seed(rng: np.random.Generator) -> int:
    """Return a seed for :meth:`FaceSet.load`, or 0: not every picture was saved twice."""
    return int(rng.integers(1, 2**31)) if rng.random() < SAVED_BEFORE else 0


class _Pool:
    """Other faces for one chosen face."""

    def __init__(self, faces: FaceSet, entries: list[Entry], chosen: Entry, save_seed: int) -> None:
        self.faces, self.entries, self.chosen, self.save_seed = faces, entries, chosen, save_seed

    def other(self, rng: np.random.Generator) -> Face:
        identity = self.chosen.identity
        while True:
            entry = self.entries[int(rng.integers(len(self.entries)))]
            if entry.identity != identity:
                return self.faces.load(entry)

    def level(self, rng: np.random.Generator) -> Face | None:
        if not self.chosen.attribute:
            return None
        same = [
            e for e in self.entries
            if e.identity == self.chosen.identity and e.row != self.chosen.row and e.attribute
            and (e.attribute == self.chosen.attribute and e.level != self.chosen.level)
        ]  # fmt: skip
        if not same:
            return None
        return self.faces.load(same[int(rng.integers(len(same)))], self.save_seed)

    def regenerated(self, face: Face, rng: np.random.Generator) -> Image | None:
        return self.faces.regenerated.of(face.file, face.image, rng)


class Forge:
    """Makes forgeries from the faces of `entries`, each from its own seed.

    Args:
        faces: the face folder.
        entries: which of its pictures may be used (one side of an identity split).
        mix: how often each family is made; names of :data:`FAMILIES` and "untouched".
        seed: the first half of every picture's seed.
    """

    def __init__(
        self, faces: FaceSet, entries: list[Entry], mix: dict[str, float] | None = None,
        seed: int = 0,
    ) -> None:  # fmt: skip
        self.faces, self.entries, self.seed = faces, entries, seed
        self.mix = dict(DEFAULT_MIX if mix is None else mix)
        self._edits = [entry for entry in entries if entry.attribute]
        if not self._edits:
            self.mix.pop("gan_edit", None)

    def make(self, index: int, family: str | None = None) -> Forgery:
        """Make picture number `index`; the same index and seed give the same picture."""
        rng = np.random.default_rng([self.seed, index])
        names = list(self.mix)
        weights = np.array([self.mix[name] for name in names])
        family = family or str(rng.choice(names, p=weights / weights.sum()))
        while True:
            made = self._attempt(family, rng)
            if made is not None:
                return made

    def _attempt(self, family: str, rng: np.random.Generator) -> Forgery | None:
        pool = self._edits if family == "gan_edit" else self.entries
        # Edits are many pictures of few people: draw base faces more often than their share.
        entry = pool[int(rng.integers(len(pool)))]
        if family != "gan_edit" and entry.attribute and rng.random() < 0.7:
            return None
        save_seed = draw_save_seed(rng)
        face = self.faces.load(entry, save_seed)
        if family == UNTOUCHED:
            empty = np.zeros(face.geometry.size, bool)
            return Forgery(face.image, empty, family, face, (), 0.0)
        edit = FAMILIES[family](face, _Pool(self.faces, self.entries, entry, save_seed), rng)
        return None if edit is None else _judged(face, edit, family)


def _judged(face: Face, edit: Edit, family: str) -> Forgery | None:
    """Return the forgery with its true mask, or None when nothing worth naming changed."""
    mask = changed_mask(face.image, edit.image, edit.support)
    if mask.mean() < MINIMUM_AREA:
        return None
    strength = float(cv2.absdiff(edit.image, face.image)[mask].mean())
    if strength < MINIMUM_CHANGE:
        return None
    return Forgery(edit.image, mask, family, face, edit.traces, strength)
