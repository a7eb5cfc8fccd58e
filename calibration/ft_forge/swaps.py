"""Families that take material from another face: GAN edit, face swap, part swap, splice."""

from __future__ import annotations

import cv2
import numpy as np

from ft_forge.blend import Blend, Mask, composite, random_blend
from ft_forge.degrade import add_noise, jpeg
from ft_forge.faces import Face
from ft_forge.families import Donors, Edit
from ft_forge.geometry import PARTS
from ft_forge.picture import Image
from ft_forge.regions import face_area, parts_mask, random_parts, random_patch
from ft_forge.resynthesis import generated
from ft_forge.warp import align_by_points, mesh_warp

#: How often the face that comes in is as a generator returns it.
_GENERATED = 0.45
_INTERPOLATIONS = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


def _edge_traces(blend: Blend) -> tuple[str, ...]:
    if blend.edge == "hard":
        return ("seam",) if blend.colour > 0.6 else ("seam", "colour")
    if blend.edge == "poisson":
        return ("light", "texture")
    edge = "seam" if blend.sigma < 2 else "soft_edge"
    return (edge,) if blend.colour > 0.6 else ("colour", edge)


def _used_donor(image: Image, rng: np.random.Generator) -> Image:
    """Give the donor the history that a picture from elsewhere has."""
    draw = rng.random()
    if draw < 0.2:
        image = jpeg(image, int(rng.integers(55, 92)))
    elif draw < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.2)))
    elif draw < 0.4:
        small = cv2.resize(image, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return image


def _as_large(image: Image, other: Image) -> Image:
    """Return `image` resized to the size of `other`."""
    if image.shape == other.shape:
        return image
    return cv2.resize(image, other.shape[1::-1], interpolation=cv2.INTER_AREA)


def _paste(face: Face, patch: Image, area: Mask, blend: Blend, traces: tuple[str, ...]) -> Edit:
    image, alpha = composite(face.image, patch, area, blend)
    return Edit(image, alpha > 0.4, traces)


def gan_edit(face: Face, donors: Donors, rng: np.random.Generator) -> Edit | None:
    """Put parts, or the face, of another level of the same GAN edit into this picture."""
    donor = donors.level(rng)
    if donor is None:
        return None
    whole = rng.random() < 0.25
    area = (
        face_area(face.geometry, rng) if whole
        else parts_mask(face.geometry, random_parts(rng), rng)
    )  # fmt: skip
    edge = "hard" if rng.random() < 0.15 else "feather"
    blend = Blend(edge, float(rng.uniform(0.7, 6.0)), 1.0, 0.0)
    return _paste(face, donor.image, area, blend, ("shape", *_edge_traces(blend)))


def face_swap(face: Face, donors: Donors, rng: np.random.Generator) -> Edit | None:
    """Replace the face by another identity's, moved by a mesh or a similarity."""
    donor = donors.other(rng)
    inserted = generated(donor, donors, rng) if rng.random() < _GENERATED else donor.image
    patch, size = _used_donor(inserted, rng), face.image.shape[:2]
    source, target = donor.geometry.points, face.geometry.points
    interpolation = int(rng.choice(_INTERPOLATIONS))
    if rng.random() < 0.6:
        patch = mesh_warp(patch, source, target, size, interpolation)
    else:
        oval = PARTS["face_oval"]
        patch = align_by_points(patch, source[oval], target[oval], size, interpolation)
    blend = random_blend(rng, hard=0.08, poisson=0.25)
    return _paste(face, patch, face_area(face.geometry, rng), blend, _edge_traces(blend))


def part_swap(face: Face, donors: Donors, rng: np.random.Generator) -> Edit | None:
    """Replace one to four parts by another identity's, each part moved on its own."""
    donor = donors.other(rng)
    material, blend = _used_donor(donor.image, rng), random_blend(rng)
    interpolation = int(rng.choice(_INTERPOLATIONS))
    image, support = face.image, np.zeros(face.geometry.size, bool)
    for part in random_parts(rng):
        source, target = donor.geometry.part_points(part), face.geometry.part_points(part)
        patch = align_by_points(material, source, target, face.geometry.size, interpolation)
        area = parts_mask(face.geometry, [part], rng)
        image, alpha = composite(image, patch, area, blend)
        support |= alpha > 0.4
    return Edit(image, support, ("shape", *_edge_traces(blend)))


def splice(face: Face, donors: Donors, rng: np.random.Generator) -> Edit | None:
    """Paste a patch with foreign noise, compression or sharpness."""
    own = rng.random() < 0.35
    patch = face.image if own else _as_large(donors.other(rng).image, face.image)
    if not own and rng.random() < 0.5:
        patch = np.ascontiguousarray(patch[:, ::-1])
    kind = str(rng.choice(["noise", "compression", "blur"]))
    if kind == "noise":
        patch = add_noise(patch, float(rng.uniform(3, 14)), rng)
    elif kind == "compression":
        patch = jpeg(patch, int(rng.integers(15, 65)))
    else:
        patch = cv2.GaussianBlur(patch, (0, 0), float(rng.uniform(0.7, 2.5)))
    area = (
        random_patch(face.geometry, rng) if rng.random() < 0.6
        else parts_mask(face.geometry, random_parts(rng), rng)
    )  # fmt: skip
    blend = random_blend(rng, hard=0.3, poisson=0.05)
    traces = ("blur",) if kind == "blur" else (kind,)
    return _paste(face, patch, area, blend, (*traces, *_edge_traces(blend)))
