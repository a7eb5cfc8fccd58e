"""What a report says: sentences that follow from what was done and where.

Each sentence names the parts, one or two visible signs and what they suggest. Outside the list of
parts no sentence uses a region's name, so that a report can be checked against the mask word by
word.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ft_forge.labels import label_names
from ftsdk.regions import REGIONS, face_region

#: The order in which parts are named: what a viewer looks at first.
_SALIENCE = ("eye", "mouth", "lip", "nose", "eyebrow", "chin", "forehead", "cheek", "jaw", "skin")

#: More parts than this, and the sentence speaks of the whole face.
_WHOLE_FACE = 7
_MOST_NAMED = 4

_LEADS = (
    "Around the {parts}, {degree} traces of manipulation are visible:",
    "The area of the {parts} looks {manner} manipulated:",
    "There are {degree} signs of editing at the {parts}:",
    "The picture was {manner} changed at the {parts}:",
    "In the region of the {parts}, something looks {manner} unnatural:",
)
_WHOLE_LEADS = (
    "The whole face looks {manner} manipulated, above all the {parts}:",
    "There are {degree} signs of editing across the whole face, including the {parts}:",
)
_ELSEWHERE_LEADS = (
    "An area beside the facial features looks {manner} manipulated:",
    "There are {degree} signs of editing away from the facial features:",
)
_SIGNS: dict[str, tuple[str, ...]] = {
    "seam": (
        "a visible border separates the area from its surroundings",
        "the edge of a pasted area shows as a sharp step",
    ),
    "soft_edge": (
        "a blurred transition surrounds the area and fades into its neighbourhood",
        "the boundary is feathered and loses fine detail",
    ),
    "colour": (
        "the tone differs from the neighbouring areas",
        "the colours change abruptly at the border",
    ),
    "light": (
        "shading and highlights do not follow the light on the rest of the face",
        "the brightness does not match the light of the scene",
    ),
    "texture": (
        "pores and fine grain are missing inside",
        "the fine texture differs from the rest of the face",
    ),
    "blur": (
        "the details are softer than in the surroundings",
        "the area is blurred while its surroundings are sharp",
    ),
    "missing": (
        "structures that belong there are smeared away",
        "the natural details have been wiped out",
    ),
    "smooth": (
        "the surface is unnaturally smooth and has lost its pores",
        "fine details have been polished away",
    ),
    "sharp": (
        "the details are harder and crisper than in the surroundings",
        "fine lines are exaggerated against the rest of the picture",
    ),
    "warp": (
        "outlines are bent and the proportions look stretched",
        "nearby lines curve and the shape looks pulled",
    ),
    "shape": (
        "the shape does not match the other features of the face",
        "form and expression disagree with the rest of the face",
    ),
    "noise": (
        "the image noise is stronger than elsewhere",
        "a coarse grain appears that the rest of the picture does not have",
    ),
    "compression": (
        "blocky compression marks appear that are absent elsewhere",
        "the area carries traces of an earlier, stronger compression",
    ),
    "doubled": (
        "a pattern of the same picture appears twice",
        "the content repeats another place of the picture",
    ),
}
_ENDINGS: dict[str, tuple[str, ...]] = {
    "face_swap": (
        "which suggests that the face was replaced by another person's",
        "as if another face had been put in its place",
    ),
    "part_swap": (
        "as if it had been taken from another person",
        "which suggests parts of a different face",
    ),
    "gan_edit": (
        "as if it had been generated anew",
        "which suggests an edit by a generative model",
    ),
    "inpainting": (
        "as if the content had been removed and filled in",
        "which suggests that the area was filled from its surroundings",
    ),
    "retouching": (
        "which points to digital retouching",
        "as if a beauty filter had been applied there",
    ),
    "local_warp": (
        "which points to a local distortion of the face",
        "as if it had been resized or pushed",
    ),
    "copy_move": (
        "as if a patch had been copied within the picture",
        "which suggests a cloned area",
    ),
    "splice": (
        "as if a piece of another picture had been inserted",
        "which suggests foreign material",
    ),
}
# What these do is what others leave, so that they are spoken of alike.
_ENDINGS["self_blend"] = _ENDINGS["face_swap"]
_ENDINGS["resynthesis"] = _ENDINGS["gan_edit"]
_ENDINGS["reprocessing"] = _ENDINGS["retouching"]
_ENDINGS["healing"] = _ENDINGS["copy_move"]
_NOTHING_FOUND = (
    "No manipulation was found: texture, light and edges are consistent across the whole face, "
    "and no traces of editing stand out anywhere in the picture.",
    "No manipulation was found: the grain, the colours and the transitions look even throughout, "
    "and no part of the face stands out from the others.",
)

#: Mean change in grey levels from which a forgery is called clear, and below which faint.
_CLEAR, _FAINT = 20.0, 7.0
#: How often a sentence stops at one sign; keeps the mean length near MMTT's 27 words.
_ONE_SIGN = 0.8


def _enumerate(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def spoken_parts(names: Sequence[str]) -> list[str]:
    """Return the phrases for region `names`, the most salient first, at most four.

    Pupils go without saying beside eyes, and lips beside the mouth.
    """
    kept = set(names)
    if "eye" in kept:
        kept.discard("pupil")
    if "mouth" in kept:
        kept.discard("lip")
    if len(kept) > 1:
        kept.discard("skin")
    ranked = [name for name in _SALIENCE if name in kept]
    ranked += [name for name in names if name in kept and name not in ranked]
    return [face_region(name).phrase for name in ranked[:_MOST_NAMED]]


def nothing_found(rng: np.random.Generator) -> str:
    """Return a sentence for a picture in which nothing was found; it claims no authenticity."""
    return str(rng.choice(_NOTHING_FOUND))


def report(
    names: Sequence[str], family: str, traces: Sequence[str], strength: float,
    rng: np.random.Generator,
) -> str:  # fmt: skip
    """Return a sentence of about 27 words on a found forgery.

    Args:
        names: manipulated regions, names of LABELS; none: the area is beside the features.
        family: how it was made; decides what the signs suggest.
        traces: visible signs, strongest first; one or two are named.
        strength: mean change inside the mask, in grey levels of 255.
        rng: chooses among the wordings.
    """
    level = 0 if strength >= _CLEAR else 1 if strength >= _FAINT else 2
    whole = len(names) >= _WHOLE_FACE
    leads = _ELSEWHERE_LEADS if not names else _WHOLE_LEADS if whole else _LEADS
    lead = str(rng.choice(leads)).format(
        parts=_enumerate(spoken_parts(names)) if names else "",
        degree=("clear", "some", "faint")[level],
        manner=("clearly", "probably", "slightly")[level],
    )
    count = 1 if rng.random() < _ONE_SIGN else 2
    signs = [str(rng.choice(_SIGNS[trace])) for trace in dict.fromkeys(traces)][:count]
    ending = str(rng.choice(_ENDINGS[family]))
    return f"{lead} {' and '.join(signs)}, {ending}."


def words_for(
    multilabel: NDArray[np.uint8], family: str, traces: Sequence[str], strength: float,
    rng: np.random.Generator,
) -> str:  # fmt: skip
    """Return the sentence for a made picture; `multilabel` `[21]` 0/1, no traces: untouched."""
    if not traces:
        return nothing_found(rng)
    return report(label_names(multilabel), family, traces, strength, rng)


def all_sentences() -> list[str]:
    """Return texts that together hold every word that a report can use, for a vocabulary."""
    levels = (("clear", "clearly"), ("some", "probably"), ("faint", "slightly"))
    texts = [*_NOTHING_FOUND, _enumerate([region.phrase for region in REGIONS])]
    for lead in (*_LEADS, *_WHOLE_LEADS, *_ELSEWHERE_LEADS):
        texts += [lead.format(parts="nose", degree=d, manner=m) for d, m in levels]
    for group in (*_SIGNS.values(), *_ENDINGS.values()):
        texts += [f"{clause}." for clause in group]
    return texts
